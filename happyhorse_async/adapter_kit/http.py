"""HTTP requests to JSON APIs, and the headers that every provider's answers share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from ..adapter import Account, UploadFile
from ..errors import InvalidRequestError
from ..messages import HttpRequest, HttpResponse


@frozen
class AuthScheme:
    """The header that carries the API key, such as `AuthScheme("X-Api-Key")`."""

    header: str
    """The name of the header."""
    prefix: str = ""
    """What precedes the key, such as `"Bearer "`."""


BEARER = AuthScheme("Authorization", "Bearer ")
"""`Authorization: Bearer <key>`, https://www.rfc-editor.org/rfc/rfc6750#section-2.1."""
KEY = AuthScheme("Authorization", "Key ")
"""`Authorization: Key <key>`."""


def json_request(
    method: str,
    url: str,
    account: Account,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: AuthScheme | None = BEARER,
) -> HttpRequest:
    """
    Make a request to a JSON API.

    The body is compact UTF-8. The same fields in the same order always give the same bytes.

    :param body: the fields; `None` sends no body.
    :param headers: further headers.
    :param auth: how the API key is sent; `None` sends no key.
    :raises InvalidRequestError: a field cannot be written as JSON.
    """
    credential = {} if auth is None else {auth.header: f"{auth.prefix}{account.api_key}"}
    content_type = {} if body is None else {"Content-Type": "application/json"}
    return HttpRequest(
        method=method,
        url=url,
        headers={**credential, "Accept": "application/json", **content_type, **(headers or {})},
        body=None if body is None else _encode(body, account),
    )


def request_id(response: HttpResponse) -> str | None:
    """Return the provider's id of the call from the `X-Request-Id` header; `None` if there is none."""
    return response.headers.get("x-request-id") or None


def form_request(
    url: str, file: UploadFile, *, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """
    Make the upload of a file as `multipart/form-data`, https://www.rfc-editor.org/rfc/rfc7578, without an API key.

    :param fields: further fields. The file comes last, in a field called `file`.
    :param headers: further headers.
    :raises InvalidRequestError: a field holds the boundary of the form.
    """
    boundary = f"happyhorse-{file.name.partition('.')[0]}"
    lines: list[str] = []
    for name, value in (fields or {}).items():
        if boundary in value or '"' in name:
            raise InvalidRequestError(f"the field {name!r} cannot be written into a form")
        lines += [f"--{boundary}", f'Content-Disposition: form-data; name="{name}"', "", value]
    disposition = f'Content-Disposition: form-data; name="file"; filename="{file.name}"'
    lines += [f"--{boundary}", disposition, f"Content-Type: {file.mime}", "", file.token, f"--{boundary}--", ""]
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return HttpRequest(
        method="POST", url=url, headers={**content_type, **(headers or {})}, body="\r\n".join(lines).encode()
    )


def _encode(body: Mapping[str, Any], account: Account) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        # The error itself holds the whole body: prompt, signed URLs and inline images.
        problem = "a text contains half of a surrogate pair"
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InvalidRequestError(f"the request cannot be written as JSON: {problem}", provider=account.provider)
