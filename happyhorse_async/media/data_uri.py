"""Decodes `data:` URIs (https://www.rfc-editor.org/rfc/rfc2397), and checks their content."""

from __future__ import annotations

import base64
import binascii
import re

from ..errors import InvalidRequestError
from .formats import HEAD, MediaFormat, detect

_HEADER = re.compile(r"data:([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)?((?:;[^;,]*)*),", re.ASCII)
_SYNONYMS = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp", "image/x-png": "image/png"}

_BY_MIME = {media_format.mime: media_format for media_format in MediaFormat}


def decode(uri: str, *, name: str) -> tuple[MediaFormat, bytes]:
    """
    Return the format of the picture in *uri*, by its content, and its bytes.

    :param name: the field of the request, for the error.
    :raises InvalidRequestError: it is not base64, its bytes are no known format, or not the one that it declares.
    """
    header = _header(uri, name)
    try:
        content = base64.b64decode(uri[header.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"{name}: the data: URI is not valid base64") from None
    return _format(header, content, name), content


def peek(uri: str, *, name: str) -> tuple[MediaFormat, int]:
    """
    Return the format and the size of the picture in *uri*, from its beginning alone. Checks of the whole content are
    left to `decode`.

    :raises InvalidRequestError: it is not base64, or its first bytes are another format than the one that it declares.
    """
    header = _header(uri, name)
    head = uri[header.end() : header.end() + HEAD]
    try:
        content = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"{name}: the data: URI is not valid base64") from None
    padding = len(uri) - len(uri.rstrip("="))
    size = (len(uri) - header.end()) // 4 * 3 - padding
    declared = _declared(header)
    if detect(content) is None and declared in _BY_MIME:
        return _BY_MIME[declared], size
    return _format(header, content, name), size


def _header(uri: str, name: str) -> re.Match[str]:
    header = _HEADER.match(uri)
    if header is None or not header[2].lower().endswith(";base64"):
        raise InvalidRequestError(f"{name}: a data: URI must be written data:image/png;base64,…")
    return header


def _declared(header: re.Match[str]) -> str:
    declared = (header[1] or "text/plain").lower()
    return _SYNONYMS.get(declared, declared)


def _format(header: re.Match[str], content: bytes, name: str) -> MediaFormat:
    found = detect(content)
    if found is None:
        raise InvalidRequestError(f"{name}: the data: URI holds no picture that is known by its first bytes")
    declared = _declared(header)
    if declared != found.mime:
        raise InvalidRequestError(f"{name}: the data: URI says {declared}, and its content is {found.mime}")
    return found
