"""What a provider's wire format is: how it reads requests and writes responses."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from account import Account, Task


@dataclass(frozen=True, slots=True)
class Call:
    """A request. Names of headers are lower-case."""

    method: str
    path: str
    """Below the root of the API."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class WireFormat(ABC):
    """The wire format of one provider. By default a POST submits and a GET queries."""

    root: ClassVar[str] = ""
    """The path of a client's base URL."""
    accepted: ClassVar[int] = 200
    """The status of the response to a submit."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def answer(self, call: Call) -> tuple[int, bytes]:
        """Return the status and body of the response. A status of 0 means that the connection is closed without one."""
        self.account.settle()
        kind, status, document = self.reply(call)
        self.account.note(kind, status)
        return status, json.dumps(document).encode()

    def reply(self, call: Call) -> tuple[str, int, object]:
        """Return the kind of request, a status and a document."""
        if call.method == "POST":
            return self.submit(call)
        task = self.account.tasks.get(self.named(call))
        return ("query", 404, {"error": "task not found"}) if task is None else ("query", 200, self.show(task))

    def submit(self, call: Call) -> tuple[str, int, object]:
        """Accept a job, and respond with the fault that its prompt asks for, if any."""
        prompt = self.prompt(call)
        task = self.account.accept(prompt, self.key(call))
        fault = self.account.fault(prompt)
        if fault is not None:
            return "submit", fault, {"error": {"message": "something went wrong"}}
        return "submit", self.accepted, self.created(task, call)

    def key(self, _: Call) -> str | None:
        """Return the idempotency key, if the provider supports one."""
        return None

    def named(self, call: Call) -> str:
        """Return the task id of a query."""
        return call.path.rstrip("/").rpartition("/")[2]

    @abstractmethod
    def query(self, task_id: str) -> Call:
        """Return the request that queries a task."""

    @abstractmethod
    def prompt(self, call: Call) -> str:
        """Return the prompt of a submit."""

    @abstractmethod
    def created(self, task: Task, call: Call) -> object:
        """Return the response to a submit."""

    @abstractmethod
    def show(self, task: Task) -> object:
        """Return the response to a query."""
