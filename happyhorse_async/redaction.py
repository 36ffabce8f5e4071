"""
Keeps credentials out of logs, reprs and exceptions.

An API key gives access to the account. A result URL carries its own signature in the query string, so anyone who reads
the URL can fetch the video: it is a credential as well. Providers echo both in their messages, sometimes with control
characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

MASK = "***"

# Eight characters identify a key, and are more than an ordinary word shares with one by chance.
_PIECE = 8

# Headers without secrets. Any other may hold a credential of a provider that is not known yet.
_SHOWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "date",
        "location",
        "retry-after",
        "x-request-id",
    }
)

# A URL may be part of broken JSON, whose slashes may be escaped. An apostrophe is a legal part of a URL; only one at
# its very end may be the quote around it. Providers choose the text, so each pattern must take linear time.
_URL_SECRETS = re.compile(
    r"""(?P<head>(?:\\?/){2}[^\s"<>?#]*)(?P<secret>[?#][^\s"<>]*?(?P<quote>'[^\s\w"<>]{0,3})?(?=[\s"<>]|\Z))?"""
)
_URL_USER = re.compile(r"""(?P<head>(?:\\?/){2})[^\s/"<>?#]*@""")
_DATA_URI = re.compile(r"""(?P<head>\bdata:(?=[\w.+\\-]*[/;])[\w.+/;=\\-]*,)[^\s"'<>]+""", re.IGNORECASE)
# A lone surrogate cannot be printed.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def redact_url(url: str) -> str:
    """Return *url* without its query, fragment, user and inline data, which may hold secrets."""
    head = re.split("[?#]", url, maxsplit=1)[0]
    return redact_text(head) if head == url else f"{redact_text(head)}?{MASK}"


def redact_text(text: str, *secrets: str) -> str:
    """
    Return *text* with *secrets* and the signed parts of URLs masked, and control characters escaped.

    Long pieces of a secret are masked too, in upper and lower case: a host name is lower-case, and a message may leave
    out the last characters of a key. A secret of a few characters, such as the `any` of an emulator, is masked only as
    a whole word: inside other words, masking would make the text unreadable.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _PIECE:
            text = _mask_pieces(text.replace(secret, MASK), secret.lower())
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    text = _URL_SECRETS.sub(_mask_query, text)
    text = _URL_USER.sub(rf"\g<head>{MASK}@", text)
    text = _DATA_URI.sub(rf"\g<head>{MASK}", text)
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def contains_secret(text: str, secret: str) -> bool:
    """
    Return whether *text* contains *secret*, in upper or lower case.

    A secret shorter than `_PIECE` is ignored: an emulator's key is any text, and occurs in many ids by chance.
    """
    return len(secret) >= _PIECE and secret.lower() in text.lower()


def _mask_pieces(text: str, secret: str) -> str:
    pieces = {secret[start : start + _PIECE] for start in range(len(secret) - _PIECE + 1)}
    lower = text.lower()
    if not pieces or len(lower) != len(text):
        return text
    masked, shown, start = list[str](), 0, 0
    while start <= len(lower) - _PIECE:
        if lower[start : start + _PIECE] not in pieces:
            start += 1
            continue
        masked += (text[shown:start], MASK)
        while lower[start : start + _PIECE] in pieces:
            start += 1
        start += _PIECE - 1
        shown = start
    return "".join((*masked, text[shown:]))


@frozen
class SecretUrl:
    """
    A URL that is a credential. Neither its repr nor its text shows the signature.

    Used instead of a `str` wherever an exception may be raised, since error trackers record the local variables of each
    frame.
    """

    value: str = field(repr=redact_url)
    """The URL itself."""

    def __str__(self) -> str:
        return redact_url(self.value)


def _mask_query(match: re.Match[str]) -> str:
    return f"{match['head']}?{MASK}{match['quote'] or ''}" if match["secret"] else match["head"]


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* with every value masked, except in headers that hold no secrets."""
    return {name: redact_url(value) if name.lower() in _SHOWN_HEADERS else MASK for name, value in headers.items()}
