"""Faults of the body: an answer that is whole, and makes no sense or costs too much to read."""

from __future__ import annotations

import zlib

from attrs import evolve, frozen

from ...messages import HttpResponse
from .fault import API, Answer, CallContext, Fault, FaultPreset

_PORTAL = """<!DOCTYPE html>
<html><head><title>Welcome</title><style>body { color: grey }</style></head>
<body><h1>Please log in</h1><p>This network asks for a password.</p></body></html>
"""
_GATEWAY = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center></body>\r\n</html>\r\n"


@frozen(kw_only=True)
class Page(Fault):
    """A page of HTML that somebody on the way has written."""

    status: int = 200
    text: str = _PORTAL

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        headers = {"content-type": "text/html; charset=utf-8"}
        return HttpResponse(status=self.status, headers=headers, body=self.text.encode())


@frozen(kw_only=True)
class Empty(Fault):
    """A success without a body."""

    status: int = 200

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return HttpResponse(status=self.status)


@frozen(kw_only=True)
class HalfJSON(Fault):
    """The first half of the body, in an answer that is otherwise whole."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return evolve(answer, body=answer.body[: len(answer.body) // 2])


@frozen(kw_only=True)
class Inserted(Fault):
    """One more member in the JSON object, with a *value* as it stands in the text."""

    operations = API
    value: bytes

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return evolve(answer, body=answer.body.replace(b"{", b'{"emulated_fault": ' + self.value + b", ", 1))


@frozen(kw_only=True)
class Recoded(Fault):
    """The body in another encoding than UTF-8, of Python's names."""

    operations = API
    encoding: str

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return evolve(answer, body=answer.body.decode().encode(self.encoding))


@frozen(kw_only=True)
class Bomb(Fault):
    """A body that unfolds, by gzip, to much more than it is."""

    size: int = 32 * 1024 * 1024
    """Bytes of the unfolded body."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        press = zlib.compressobj(9, wbits=31)
        blank = b" " * 65536
        body = press.compress(answer.body) + b"".join(press.compress(blank) for _ in range(self.size // len(blank)))
        return evolve(answer, headers={**answer.headers, "content-encoding": "gzip"}, body=body + press.flush())


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


BODIES: dict[str, FaultPreset] = {
    "half-json": FaultPreset(HalfJSON(), "a 200 with the first half of the body"),
    "empty-200": FaultPreset(Empty(), "a 200 without a body"),
    "empty-204": FaultPreset(Empty(status=204), "a 204"),
    "html-502": FaultPreset(Page(status=502, text=_GATEWAY.format("502 Bad Gateway")), "a gateway's HTML with a 502"),
    "html-503": FaultPreset(
        Page(status=503, text=_GATEWAY.format("503 Service Temporarily Unavailable")),
        "a gateway's HTML with a 503, which may come after the request was taken",
    ),
    "html-200": FaultPreset(Page(), "the page of a captive portal with a 200"),
    "huge-json": FaultPreset(Inserted(value=b'"' + b"x" * 1_200_000 + b'"'), "JSON of more than 1 MiB"),
    "gzip-bomb": FaultPreset(Bomb(), "a compressed body that unfolds to 32 MiB"),
    "deep-json": FaultPreset(Inserted(value=_deep(100_000)), "JSON that is nested 100,000 deep"),
    "bad-utf-8": FaultPreset(Inserted(value=b'"\xff\xfe"'), "bytes that are no UTF-8"),
    "byte-order-mark": FaultPreset(Recoded(encoding="utf-8-sig"), "JSON behind a byte order mark"),
    "utf-16": FaultPreset(Recoded(encoding="utf-16"), "JSON in UTF-16"),
    "lone-surrogate": FaultPreset(Inserted(value=b'"\\ud800"'), "half of a surrogate pair"),
    "nan": FaultPreset(Inserted(value=b"NaN"), "`NaN` for a number"),
    "infinite-number": FaultPreset(Inserted(value=b"1e999"), "a number beyond the largest"),
    "long-number": FaultPreset(Inserted(value=b"7" * 5000), "a number of 5,000 digits"),
}
"""By name."""
