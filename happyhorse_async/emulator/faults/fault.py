"""
A fault of the emulator: a change to the response to one call.

A fault is data and pure functions. It may change the reported task, replace the response, or describe a broken response
byte by byte; the emulator writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from typing import TypeAlias

from attrs import field, frozen

from ...emulation import ApiFault, ErrorReply
from ...messages import HttpResponse
from ...task import Task


class Operation(StrEnum):
    """A kind of call that a fault may be applied to."""

    SUBMIT = "submit"
    """The paid request."""
    QUERY = "query"
    """A status request for one task."""
    RESULT = "result"
    """A request for the result of one task, at providers that separate it. It shares the faults of its query."""
    LIST = "list"
    """A request for the account's tasks."""
    CANCEL = "cancel"
    """A request to cancel a task."""
    DOWNLOAD = "download"
    """A request for the video or its cover."""
    PERMIT = "permit"
    """A request for the permission to upload a file, where one is needed."""
    UPLOAD = "upload"
    """A file sent to the provider's storage."""


EVERYWHERE = frozenset(Operation)
API = EVERYWHERE - {Operation.DOWNLOAD}
POLLS = frozenset({Operation.QUERY, Operation.LIST})
SUBMITS = frozenset({Operation.SUBMIT})
DOWNLOADS = frozenset({Operation.DOWNLOAD})
UPLOADS = frozenset({Operation.UPLOAD})


@frozen(kw_only=True)
class RawResponse:
    """The bytes of a response that no web server would write. The connection ends after it."""

    data: bytes = b""
    """Written at once."""
    slow_data: bytes = b""
    """Written next, one byte at a time."""
    pause: float = 0.0
    """Seconds before each byte of `slow_data`."""
    repeated: bytes = b""
    """Written after that, repeatedly, until the client disconnects."""
    reset: bool = False
    """Whether the connection ends with a reset instead of a regular close."""
    held: bool = False
    """Whether nothing is written before the injection is released."""


@frozen(kw_only=True)
class CallContext:
    """The call that a fault is applied to."""

    operation: Operation
    now: float
    """Unix seconds."""
    refuse: Callable[[ApiFault | ErrorReply], HttpResponse]
    """Writes an error in the format of the called server: the provider, or the storage of the videos."""
    whole: HttpResponse | None = None
    """A download only: the response with the complete video, also where a range was requested."""


TaskChange: TypeAlias = Callable[[Task, CallContext], Task | None]
"""Changes the reported task; `None`: the provider does not know it."""
ResponseChange: TypeAlias = Callable[[HttpResponse, CallContext], HttpResponse | RawResponse]
"""Changes the response, or replaces it."""


@frozen
class Fault:
    """
    One thing that goes wrong.

    Unless `accepted` is false, the provider carries out the call before the fault occurs, so that a submit is billed:
    the worse case.
    """

    summary: str
    """What happens, in a sentence."""
    on: frozenset[Operation] = field(default=EVERYWHERE, kw_only=True)
    """The calls it can be applied to."""
    accepted: bool = field(default=True, kw_only=True)
    """Whether the provider carries out the call. If not, nothing is billed."""
    task: TaskChange | None = field(default=None, kw_only=True)
    """Changes the task in a status response."""
    response: ResponseChange | None = field(default=None, kw_only=True)
    """Changes the response."""


def serialize(response: HttpResponse, *, length: int | None = None, more: str = "") -> bytes:
    """
    Return *response* as the bytes of a server that then closes the connection.

    :param length: the `Content-Length`; by default the true one.
    :param more: more header lines, each with its line end.
    """
    framing = f"Content-Length: {len(response.body) if length is None else length}\r\n{more}"
    return serialize_head(response, framing) + response.body


def serialize_head(response: HttpResponse, framing: str = "") -> bytes:
    """Return the head of *response*, with *framing*: the header lines that give the length of the body."""
    given = {name: value for name, value in response.headers.items() if name not in ("content-length", "connection")}
    fields = {"Server": "happyhorse-emulator", "Connection": "close", **given}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    phrase = HTTPStatus(response.status).phrase if response.status in set(HTTPStatus) else "Unknown"
    return f"HTTP/1.1 {response.status} {phrase}\r\n{lines}{framing}\r\n".encode("latin-1")
