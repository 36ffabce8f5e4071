"""
`data:` URIs (https://www.rfc-editor.org/rfc/rfc2397): how a picture travels inside a request.

Encoding goes in pieces, so that neither a whole text nor a second copy of the picture is ever in memory, and the length
is known before the first piece.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from ..errors import InvalidRequestError
from .formats import MediaFormat, detect

# A multiple of 3: the pieces can be joined without padding between them.
_PIECE = 48 * 1024 * 3
_HEADER = re.compile(r"data:([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)?((?:;[^;,]*)*),", re.ASCII)
_SYNONYMS = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp", "image/x-png": "image/png"}


def prefix(media_format: MediaFormat) -> str:
    """Return what comes before the base64 text."""
    return f"data:{media_format.mime};base64,"


def length(size: int, media_format: MediaFormat) -> int:
    """Return the characters of the URI of a file of *size* bytes."""
    return len(prefix(media_format)) + 4 * ((size + 2) // 3)


def encode(chunks: Iterable[bytes], media_format: MediaFormat) -> Iterator[bytes]:
    """Yield the URI of the file that *chunks* make up, piece by piece."""
    yield prefix(media_format).encode("ascii")
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) - len(data) % 3
        for start in range(0, whole, _PIECE):
            yield base64.b64encode(data[start : min(start + _PIECE, whole)])
        rest = data[whole:]
    if rest:
        yield base64.b64encode(rest)


def decode(uri: str, *, name: str) -> tuple[MediaFormat, bytes]:
    """
    Return the format of the picture in *uri*, by its content, and its bytes.

    :param name: the field of the request, for the error.
    :raises InvalidRequestError: it is not base64, its bytes are no known format, or not the one that it declares.
    """
    header = _HEADER.match(uri)
    if header is None or not header[2].lower().endswith(";base64"):
        raise InvalidRequestError(f"{name}: a data: URI must be written data:image/png;base64,…")
    try:
        content = base64.b64decode(uri[header.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"{name}: the data: URI is not valid base64") from None
    found = detect(content)
    if found is None:
        raise InvalidRequestError(f"{name}: the data: URI holds no picture that is known by its first bytes")
    declared = (header[1] or "text/plain").lower()
    if _SYNONYMS.get(declared, declared) != found.mime:
        raise InvalidRequestError(f"{name}: the data: URI says {declared}, and its content is {found.mime}")
    return found, content
