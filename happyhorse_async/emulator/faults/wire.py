"""Faults of the connection: whichever the provider, and whatever it was going to say."""

from __future__ import annotations

from email.utils import formatdate
from enum import Enum, auto

from attrs import evolve, frozen

from ...messages import HttpResponse
from .fault import Answer, CallContext, Fault, FaultPreset, RawResponse, head, written


class Part(Enum):
    """How much of an answer arrives."""

    NOTHING = auto()
    HALF_THE_HEAD = auto()
    HALF_THE_BODY = auto()
    ALL_BUT_THE_END = auto()
    """The whole body, of which one more byte was announced."""


@frozen(kw_only=True)
class Cut(Fault):
    """The connection ends before the answer does."""

    part: Part = Part.NOTHING
    """How much of the answer arrives."""
    reset: bool = True
    """Whether the connection is reset, and not closed."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        whole, body = written(answer, length=len(answer.body) + 1), len(answer.body)
        lengths = {
            Part.NOTHING: 0,
            Part.HALF_THE_HEAD: (len(whole) - body) // 2,
            Part.HALF_THE_BODY: len(whole) - body + body // 2,
            Part.ALL_BUT_THE_END: len(whole),
        }
        if self.part is Part.HALF_THE_BODY:
            whole = written(answer)
        return RawResponse(data=whole[: lengths[self.part]], reset=self.reset)


@frozen(kw_only=True)
class CutChunk(Fault):
    """A body in chunks ends in the middle of one."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        half = answer.body[: len(answer.body) // 2]
        chunk = f"{len(answer.body):x}\r\n".encode() + half
        return RawResponse(data=head(answer, "Transfer-Encoding: chunked\r\n") + chunk)


@frozen(kw_only=True)
class Hang(Fault):
    """The server says nothing until the injection is released, and then gives its answer."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=written(answer), held=True)


@frozen(kw_only=True)
class Trickle(Fault):
    """The body comes byte by byte, so that no wait for the next one is ever long."""

    pause: float = 5.0
    """Seconds before each byte."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        whole = written(answer)
        start = len(whole) - len(answer.body)
        return RawResponse(data=whole[:start], drops=whole[start:], pause=self.pause)


@frozen(kw_only=True)
class NotHTTP(Fault):
    """Something answers that speaks another protocol."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=b"220 mail.example ESMTP ready\r\n")


@frozen(kw_only=True)
class LongHeader(Fault):
    """A header is longer than any client reads."""

    length: int = 200_000

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=written(answer, more=f"X-Long: {'x' * self.length}\r\n"))


@frozen(kw_only=True)
class TwoLengths(Fault):
    """The head has a length and says that the body comes in chunks, so that two readers see two bodies."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=written(answer, more="Transfer-Encoding: chunked\r\n"))


@frozen(kw_only=True)
class WrongClock(Fault):
    """The server's `Date` is wrong."""

    hours: float = 5.0

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return evolve(answer, headers={**answer.headers, "date": http_date(context.now + 3600 * self.hours)})


def http_date(moment: float) -> str:
    """Write Unix seconds as HTTP does: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7."""
    return formatdate(moment, usegmt=True)


WIRE: dict[str, FaultPreset] = {
    "reset-before-answer": FaultPreset(Cut(), "the connection is reset before a byte of the answer"),
    "reset-in-head": FaultPreset(Cut(part=Part.HALF_THE_HEAD), "the connection is reset in the middle of the headers"),
    "reset-in-body": FaultPreset(Cut(part=Part.HALF_THE_BODY), "the connection is reset in the middle of the body"),
    "cut-after-object": FaultPreset(
        Cut(part=Part.ALL_BUT_THE_END, reset=False), "all of the body comes, and less than was announced"
    ),
    "close-before-answer": FaultPreset(Cut(reset=False), "the connection is closed without an answer"),
    "stale-connection": FaultPreset(
        Cut(reset=False, taken=False), "the connection is closed as the request comes, which nobody has read"
    ),
    "hang": FaultPreset(Hang(), "nothing comes until the injection is released"),
    "trickle": FaultPreset(Trickle(), "the body comes byte by byte, one in five seconds"),
    "not-http": FaultPreset(NotHTTP(), "the answer is another protocol's"),
    "long-header": FaultPreset(LongHeader(), "a header has 200,000 characters"),
    "two-lengths": FaultPreset(TwoLengths(), "the head has both a length and chunks"),
    "cut-chunk": FaultPreset(CutChunk(), "a body in chunks ends in the middle of one"),
    "wrong-clock": FaultPreset(WrongClock(), "the server's `Date` is five hours ahead"),
}
"""By name."""
