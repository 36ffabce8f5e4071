"""From a provider's fields to the bytes of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..adapter import Account
from ..errors import InvalidRequestError
from ..messages import HttpRequest


def json_request(
    method: str,
    url: str,
    account: Account,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpRequest:
    """
    Write a request to a JSON API that takes the key as a bearer token.

    The bytes of the body are compact UTF-8, and the same for the same fields in the same order.

    :param body: the fields; a request without any has no body.
    :param headers: what the provider wants beside the usual.
    :raises InvalidRequestError: a field cannot be written as JSON.
    """
    content = {} if body is None else {"Content-Type": "application/json"}
    return HttpRequest(
        method=method,
        url=url,
        headers={
            "Authorization": f"Bearer {account.api_key}",
            "Accept": "application/json",
            **content,
            **(headers or {}),
        },
        body=None if body is None else _json(body, account),
    )


def _json(body: Mapping[str, Any], account: Account) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        # The error itself is dropped: that of half a surrogate pair holds the whole body, prompt and signed URLs.
        reason = str(error)
    raise InvalidRequestError(f"the request cannot be written as JSON: {reason}", provider=account.provider)
