"""
What a fault of the emulator is: a small change to how one call is answered.

A fault is pure. It may change what is said of a task, put another answer in the place of the true one, or say in which
broken way an answer is written to the connection; the emulator does the writing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar, TypeAlias

from attrs import frozen

from ...emulation import ApiFault
from ...messages import HttpResponse
from ...task import Task


class Operation(StrEnum):
    """What a fault may be played on."""

    SUBMIT = "submit"
    """The paid request."""
    QUERY = "query"
    """A look at one task."""
    LIST = "list"
    """A look at the account's tasks."""
    CANCEL = "cancel"
    """The wish to cancel a task."""
    DOWNLOAD = "download"
    """The video, or its cover."""


EVERYWHERE = frozenset(Operation)
API = EVERYWHERE - {Operation.DOWNLOAD}
LOOKS = frozenset({Operation.QUERY, Operation.LIST})
DOWNLOADS = frozenset({Operation.DOWNLOAD})


@frozen(kw_only=True)
class RawResponse:
    """How an answer is written to the connection that no web server would write so. The connection ends with it."""

    data: bytes = b""
    """Written at once."""
    drops: bytes = b""
    """Written after it, byte by byte."""
    pause: float = 0.0
    """Seconds before each of the drops."""
    repeated: bytes = b""
    """Written after that, over and over, until the client leaves."""
    reset: bool = False
    """Whether the connection is reset at the end, and not closed."""
    held: bool = False
    """Whether nothing is written before the injection is released."""


Answer: TypeAlias = HttpResponse | RawResponse
"""An answer that is fit for a web server, or bytes."""


@frozen(kw_only=True)
class CallContext:
    """The call that a fault is played on."""

    operation: Operation
    now: float
    """Unix seconds."""
    refuse: Callable[[ApiFault], HttpResponse]
    """Writes a refusal in the form of the one who is asked: the provider, or the store of the videos."""
    whole: HttpResponse | None = None
    """The whole video, where a part of it was asked for."""


@frozen(kw_only=True)
class Fault:
    """
    One thing that goes wrong. Inherit from it for a fault of your own.

    Unless it says otherwise, the provider has carried the call out, and taken the money for a submit, before anything
    goes wrong: that is the worse case.
    """

    operations: ClassVar[frozenset[Operation]] = EVERYWHERE
    """What it can be played on."""

    taken: bool = True
    """Whether the provider carries the call out. If not, nothing is billed, and its answer would be a 503."""

    def seen(self, task: Task, context: CallContext) -> Task | None:
        """Change what a look at *task* shows; `None`: the provider does not know it."""
        return task

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        """Change the *answer* that would be given."""
        return answer


@frozen
class FaultPreset:
    """A fault by a name, ready to be switched on."""

    fault: Fault
    meaning: str
    """What happens, in a sentence for the documentation."""


def written(answer: HttpResponse, *, length: int | None = None, more: str = "") -> bytes:
    """
    Write *answer* as a server does that closes the connection afterwards.

    :param length: the length that is announced; by default the true one.
    :param more: more lines of the head, each with its line end.
    """
    return head(answer, f"Content-Length: {len(answer.body) if length is None else length}\r\n{more}") + answer.body


def head(answer: HttpResponse, framing: str = "") -> bytes:
    """Write the head of *answer*, in which *framing* says how long the body is."""
    given = {name: value for name, value in answer.headers.items() if name not in ("content-length", "connection")}
    fields = {"Server": "happyhorse-emulator", "Connection": "close", **given}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {answer.status} {_phrase(answer.status)}\r\n{lines}{framing}\r\n".encode("latin-1")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
