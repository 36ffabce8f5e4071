"""URLs as they go onto the wire: what a URL cannot hold is percent-encoded, and what is encoded stays as it is."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

from yarl import URL

# A signature covers the bytes of a URL, so nothing is touched that servers accept in practice, such as `[`, `|` or `^`.
_ILLEGAL = re.compile(r"""[^\x21-\x7e]+|["<>\\`{}]|%(?![0-9A-Fa-f]{2})""")
_HOST = re.compile(r"(?P<user>.*@)?(?P<host>.*?)(?P<port>:[0-9]*)?", re.DOTALL)


def encode_url(text: str) -> str:
    """
    Return *text* as a URL that can be requested.

    Spaces, letters beyond ASCII (as UTF-8) and single percent signs are percent-encoded, and the host is written in
    its ASCII form.

    :raises ValueError: it is not a URL.
    """
    parts = urlsplit(text.strip())
    path, query = _ILLEGAL.sub(_encode, parts.path), _ILLEGAL.sub(_encode, parts.query)
    return urlunsplit((parts.scheme, _encode_host(parts.netloc), path, query, ""))


def request_url(text: str) -> URL:
    """
    Return *text* as the URL that is requested.

    :raises ValueError: it is not a URL.
    """
    return URL(encode_url(text), encoded=True)


def _encode(match: re.Match[str]) -> str:
    # aiohttp decodes headers with surrogateescape, so a Location in another encoding than UTF-8 keeps its bytes.
    return quote(match.group().encode(errors="surrogateescape"), safe="")


def _encode_host(netloc: str) -> str:
    parts = _HOST.fullmatch(netloc)
    if netloc.isascii() or parts is None:
        return netloc
    host = URL.build(scheme="http", host=parts["host"]).raw_host or ""
    return f"{_ILLEGAL.sub(_encode, parts['user'] or '')}{host}{parts['port'] or ''}"
