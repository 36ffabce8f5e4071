"""HTTP messages of JSON APIs: requests, the bodies of answers and callbacks, and the headers that all share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from textwrap import shorten
from typing import Any

from attrs import frozen

from ..adapter import Account, UploadFile
from ..errors import InvalidRequestError, InvalidResponseError
from ..messages import HttpRequest, HttpResponse
from ..redaction import redact_text


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


def read_json(response: HttpResponse) -> Any:
    """
    Decode the JSON body of *response*.

    :raises InvalidResponseError: the body is not JSON in UTF-8, is nested too deeply, or contains a number or a
        character that JSON does not allow.
    """
    try:
        value = _JSON.decode(response.body.decode())
        if b"\\u" in response.body and b"\\ud" in response.body.lower():
            # JSON allows half of a surrogate pair as an escape; such a text cannot be printed or stored.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # Do not chain the decoder's error: its repr shows the whole body.
        pass
    else:
        return value
    raise InvalidResponseError(f"the answer is not readable JSON: {_excerpt(response)}", status_code=response.status)


def read_object(response: HttpResponse) -> Mapping[str, Any]:
    """
    Decode the JSON object in the body of *response*.

    :raises InvalidResponseError: the body is not a JSON object.
    """
    value = read_json(response)
    if not isinstance(value, dict):
        raise InvalidResponseError(
            f"the answer is a JSON {type(value).__name__}, not an object", status_code=response.status
        )
    return value  # pyright: ignore[reportUnknownVariableType]


def has_no_content(response: HttpResponse) -> bool:
    """Return whether *response* is a success without a body, such as a 204 after a cancellation."""
    return response.ok and not response.body.strip()


def read_refusal(response: HttpResponse) -> Mapping[str, Any]:
    """
    Decode the JSON object in the body of a refusal; an empty mapping if there is none.

    A proxy or a CDN in front of the provider answers with a page of its own. Then nothing is left to read, and
    `error_from_response` is to be given no class.
    """
    with suppress(InvalidResponseError):
        return read_object(response)
    return {}


def read_callback(message: HttpRequest) -> Mapping[str, Any]:
    """
    Decode the JSON object in the body of a callback.

    :param message: the callback, with lower-case header names. `Content-Type` may be missing, but must not be wrong.
    :raises InvalidResponseError: the body is not a JSON object. The error does not quote it: the sender is not
        authenticated yet.
    """
    content_type = message.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise InvalidResponseError("the callback is not sent as JSON")
    with suppress(InvalidResponseError):
        return read_object(HttpResponse(status=200, body=message.body or b""))
    raise InvalidResponseError("the callback is not a JSON object")


def _reject_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


_JSON = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite)


def _excerpt(response: HttpResponse) -> str:
    # Cut between words: half of an echoed key would not be recognized and masked later.
    text = redact_text(shorten(response.body[:600].decode(errors="replace"), 200, placeholder=" …"))
    return repr(text) if text else "the body is empty"
