"""Faults of the connection and of the HTTP framing. They fit every call."""

from __future__ import annotations

from email.utils import formatdate
from enum import Enum, auto

from attrs import evolve

from ...messages import HttpResponse
from .fault import CallContext, Fault, RawResponse, ResponseChange, serialize, serialize_head


class Part(Enum):
    """How much of a response arrives before the connection ends."""

    NOTHING = auto()
    HALF_THE_HEAD = auto()
    HALF_THE_BODY = auto()
    WHOLE_BODY = auto()
    """The complete body, although one more byte was announced."""


def cut(part: Part, *, reset: bool = True) -> ResponseChange:
    """
    End the connection after *part* of the response.

    :param reset: whether it ends with a reset instead of a regular close.
    """

    def change(response: HttpResponse, call: CallContext) -> RawResponse:
        body = len(response.body)
        data = serialize(response, length=body + (part is Part.WHOLE_BODY))
        head = len(data) - body
        ends = {Part.NOTHING: 0, Part.HALF_THE_HEAD: head // 2, Part.HALF_THE_BODY: head + body // 2}
        return RawResponse(data=data[: ends.get(part)], reset=reset)

    return change


def trickle(*, pause: float = 5.0) -> Fault:
    """Send the body byte by byte, each after *pause* seconds, so that no wait for the next byte is long."""

    def change(response: HttpResponse, call: CallContext) -> RawResponse:
        data = serialize(response)
        start = len(data) - len(response.body)
        return RawResponse(data=data[:start], slow_data=data[start:], pause=pause)

    return Fault(f"the body comes byte by byte, one every {pause:g} seconds", response=change)


def _cut_chunk(response: HttpResponse, call: CallContext) -> RawResponse:
    half = response.body[: len(response.body) // 2]
    chunk = f"{len(response.body):x}\r\n".encode() + half
    return RawResponse(data=serialize_head(response, "Transfer-Encoding: chunked\r\n") + chunk)


def _hang(response: HttpResponse, call: CallContext) -> RawResponse:
    return RawResponse(data=serialize(response), held=True)


def _not_http(response: HttpResponse, call: CallContext) -> RawResponse:
    return RawResponse(data=b"220 mail.example ESMTP ready\r\n")


def _long_header(response: HttpResponse, call: CallContext) -> RawResponse:
    return RawResponse(data=serialize(response, more=f"X-Long: {'x' * 200_000}\r\n"))


def _two_lengths(response: HttpResponse, call: CallContext) -> RawResponse:
    return RawResponse(data=serialize(response, more="Transfer-Encoding: chunked\r\n"))


def _wrong_clock(response: HttpResponse, call: CallContext) -> HttpResponse:
    return evolve(response, headers={**response.headers, "date": http_date(call.now + 5 * 3600)})


def _partial_content(response: HttpResponse, call: CallContext) -> HttpResponse:
    whole = call.whole or response
    if not 200 <= whole.status < 300:
        return response
    size = len(whole.body)
    place = {"content-range": f"bytes 0-{size - 1}/{size}"}
    return evolve(whole, status=206, headers={**whole.headers, **place})


def http_date(moment: float) -> str:
    """Return Unix seconds in the format of HTTP headers: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7."""
    return formatdate(moment, usegmt=True)


CONNECTION: dict[str, Fault] = {
    "reset-before-answer": Fault("the connection is reset before a byte of the response", response=cut(Part.NOTHING)),
    "reset-in-head": Fault("the connection is reset inside the headers", response=cut(Part.HALF_THE_HEAD)),
    "reset-in-body": Fault("the connection is reset inside the body", response=cut(Part.HALF_THE_BODY)),
    "cut-after-object": Fault(
        "the complete body comes, and less than was announced", response=cut(Part.WHOLE_BODY, reset=False)
    ),
    "close-before-answer": Fault(
        "the connection is closed without a response", response=cut(Part.NOTHING, reset=False)
    ),
    "stale-connection": Fault(
        "the connection is closed as the request arrives, unread",
        accepted=False,
        response=cut(Part.NOTHING, reset=False),
    ),
    "hang": Fault("nothing comes until the injection is released", response=_hang),
    "trickle": trickle(),
    "not-http": Fault("the response is not HTTP", response=_not_http),
    "long-header": Fault("a header has 200,000 characters", response=_long_header),
    "two-lengths": Fault("the head has a length and says that the body is chunked", response=_two_lengths),
    "cut-chunk": Fault("a chunked body ends inside a chunk", response=_cut_chunk),
    "wrong-clock": Fault("the server's `Date` is five hours ahead", response=_wrong_clock),
    "partial-content": Fault("a 206 with the complete body where a 200 was due", response=_partial_content),
}
"""By name."""
