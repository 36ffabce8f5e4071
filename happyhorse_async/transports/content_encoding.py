"""
Undoes the compression of a response, within a limit, whatever its label says.

No compression is asked for. Relays compress all the same, and some label plain JSON with the name of a charset.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

GZIP = b"\x1f\x8b"
"""How content begins that is compressed with gzip, whatever its label says."""
ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
"""How content begins that is compressed as zlib does by itself. No JSON and no page begins so."""
_MOST_LAYERS = 3
# How videos begin that are not compressed, and how many bytes tell.
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")
_CONTAINERS = (b"\x1a\x45\xdf\xa3", b"RIFF")
_ENOUGH = 8
_STEP = 1024 * 1024
# https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding
_UNSUPPORTED = frozenset(
    {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm", "lzma", "xz", "bzip2"}
)


class CompressionError(ValueError):
    """The content cannot be uncompressed, or becomes too large."""


def codings(headers: Mapping[str, str]) -> list[str]:
    """Return the compressions that the label of a response names. Labels such as `utf-8` name none."""
    labels = headers.get("content-encoding", "").lower().replace(" ", "").split(",")
    return [label.removeprefix("x-") if label == "x-gzip" else label for label in labels if _is_coding(label)]


def unsupported(headers: Mapping[str, str]) -> str | None:
    """Return the name of a compression that is not supported, where the label of a response names one."""
    return next((coding for coding in codings(headers) if coding in _UNSUPPORTED), None)


def uncompressed(body: bytes, headers: Mapping[str, str], *, limit: int, whole: bool = True) -> bytes:
    """
    Return *body* uncompressed, of at most *limit* bytes. Content that is not compressed is returned as it is.

    :param whole: whether all of the body has arrived; if not, what can be read of it is returned.
    :raises CompressionError: it becomes larger than that, is damaged, or is compressed in another way than gzip and
        deflate.
    """
    labels = codings(headers)
    for _ in range(_MOST_LAYERS):
        if body.startswith(GZIP):
            wbits = zlib.MAX_WBITS | 16
        elif body.startswith(ZLIB) or (labels and _is_zlib(body)):
            wbits = zlib.MAX_WBITS
        elif body and "deflate" in labels and not _is_text(body):
            # The label means zlib, and some servers send the bare stream: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
            wbits = -zlib.MAX_WBITS
            labels.remove("deflate")
        else:
            break
        body = _inflate(body, wbits, limit=limit, whole=whole)
    coding = unsupported(headers)
    if coding is not None and body and not _is_text(body):
        raise CompressionError(f"compressed with {coding}, which was not asked for")
    return body


async def uncompressed_chunks(chunks: AsyncGenerator[bytes], coding: str) -> AsyncGenerator[bytes]:
    """
    Yield the content of *chunks*, which are compressed, in pieces of at most a mebibyte.

    Content that is not compressed, whatever its label says, is yielded as it is.

    :param coding: what the label says: `gzip` or `deflate`.
    :raises CompressionError: it is damaged, or ends too early.
    """
    async with aclosing(chunks):
        begin = b""
        while len(begin) < _ENOUGH and (chunk := await anext(chunks, b"")):
            begin += chunk
        wbits = _wbits(begin, coding)
        if wbits is None:
            yield begin
            async for chunk in chunks:
                yield chunk
            return
        rest = begin
        while rest.startswith(GZIP) or rest is begin:
            stream = zlib.decompressobj(wbits)
            while not stream.eof:
                if not rest and not (rest := await anext(chunks, b"")):
                    raise CompressionError("compressed, and ends too early")
                yield _decompress(stream.decompress, rest, _STEP)
                rest = stream.unconsumed_tail
            # gzip may have several members.
            rest = stream.unused_data or await anext(chunks, b"")


def _wbits(begin: bytes, coding: str) -> int | None:
    """Return how zlib is to read a stream that begins like this, `None` if it is not compressed."""
    if begin.startswith(GZIP) or _is_zlib(begin):
        return zlib.MAX_WBITS | 32
    is_plain = begin[4:8] in _BOXES or begin.startswith(_CONTAINERS) or _is_text(begin)
    return -zlib.MAX_WBITS if coding == "deflate" and len(begin) >= _ENOUGH and not is_plain else None


def _is_coding(label: str) -> bool:
    return label in _UNSUPPORTED or label in ("gzip", "x-gzip", "deflate")


def _is_zlib(body: bytes) -> bool:
    # https://www.rfc-editor.org/rfc/rfc1950#section-2.2
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


def _is_text(body: bytes) -> bool:
    return body.lstrip()[:1] in (b"{", b"[", b"<") or body.startswith(b"\xef\xbb\xbf")


def _inflate(body: bytes, wbits: int, *, limit: int, whole: bool) -> bytes:
    content, rest, is_whole = b"", body, False
    while rest:
        stream = zlib.decompressobj(wbits)
        content += _decompress(stream.decompress, rest, limit + 1 - len(content))
        if len(content) > limit:
            raise CompressionError(f"larger than {limit} bytes when uncompressed")
        is_whole = stream.eof
        # gzip may have several members: https://www.rfc-editor.org/rfc/rfc1952#section-2.2
        rest = stream.unused_data if stream.unused_data.startswith(GZIP) else b""
    if whole and body and not is_whole:
        raise CompressionError("compressed, and ends too early")
    return content


def _decompress(decompress: Callable[[bytes, int], bytes], data: bytes, limit: int) -> bytes:
    try:
        return decompress(data, limit)
    except zlib.error:
        raise CompressionError("compressed, and damaged") from None
