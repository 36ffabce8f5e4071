"""HTTP messages as plain data: adapters encode and decode them, transports carry them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from .local_media import LocalMedium
from .redaction import redact_headers, redact_url


def _lower_names(headers: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name.lower(): value for name, value in headers.items()})


def _freeze(headers: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(headers))


def _show_headers(headers: Mapping[str, str]) -> str:
    return repr(redact_headers(headers))


def _show_url(url: str) -> str:
    return repr(redact_url(url))


def _show_body(body: bytes | None) -> str:
    return "None" if body is None else f"<{len(body)} bytes>"


@frozen(kw_only=True)
class HttpRequest:
    """A complete request, except for local media. Its repr shows neither credentials nor the body."""

    method: str
    """In upper case."""
    url: str = field(repr=_show_url)
    """Exactly as sent, with its query."""
    headers: Mapping[str, str] = field(factory=dict[str, str], converter=_freeze, hash=False, repr=_show_headers)
    """Names as they are sent; values include credentials."""
    body: bytes | None = field(default=None, repr=_show_body)
    """`None` for a message without a body. It may hold tokens in place of `media`."""
    media: tuple[LocalMedium, ...] = field(default=(), repr=False, hash=False)
    """Local pictures and videos that replace their tokens while the body is sent."""


@frozen(kw_only=True)
class HttpResponse:
    """A response with its whole body. Header names are lower-case. Its repr shows neither credentials nor the body."""

    status: int
    """The HTTP status."""
    headers: Mapping[str, str] = field(factory=dict[str, str], converter=_lower_names, hash=False, repr=_show_headers)
    """By lower-case name."""
    body: bytes = field(default=b"", repr=_show_body)
    """Whole and uncompressed."""

    @property
    def ok(self) -> bool:
        """Whether the status is one of the 2xx."""
        return 200 <= self.status < 300
