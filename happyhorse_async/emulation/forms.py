"""Forms with files, https://www.rfc-editor.org/rfc/rfc7578, as a provider that receives uploads reads them."""

from __future__ import annotations

import re

from ..messages import HttpRequest

_BOUNDARY = re.compile(r'multipart/form-data;.*\bboundary="?([^";]+)', re.IGNORECASE)
_FIELD_NAME = re.compile(r'\bname="([^"]*)"')


def form_fields(request: HttpRequest) -> dict[str, bytes] | None:
    """Return the fields of a form by their names, a file as its content; `None` if *request* has no form."""
    boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
    if boundary is None:
        return None
    fields: dict[str, bytes] = {}
    for part in (b"\r\n" + (request.body or b"")).split(f"\r\n--{boundary[1]}".encode())[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        if name := _FIELD_NAME.search(head.decode(errors="replace")):
            fields[name[1]] = content
    return fields
