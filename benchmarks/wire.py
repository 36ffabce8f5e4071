"""What a provider's wire form is: how it reads requests to an account, and how it writes the answers."""

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
    """Below the form's root."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Form(ABC):
    """One provider's way to speak of an account. Where it does not say otherwise, a POST submits and a GET queries."""

    root: ClassVar[str] = ""
    """What a client's base URL has after the host."""
    taken: ClassVar[int] = 200
    """The status that answers a submit."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def answer(self, call: Call) -> tuple[int, bytes]:
        """Answer *call* with a status and a JSON document. A status of 0 is no answer at all."""
        self.account.settle()
        kind, status, document = self.reply(call)
        self.account.note(kind, status)
        return status, json.dumps(document).encode()

    def reply(self, call: Call) -> tuple[str, int, object]:
        """Return what was asked for, a status and a document."""
        if call.method == "POST":
            return self.submit(call)
        task = self.account.tasks.get(self.named(call))
        return ("query", 404, {"error": "there is no such task"}) if task is None else ("query", 200, self.show(task))

    def submit(self, call: Call) -> tuple[str, int, object]:
        """Take the job of *call*, and let its answer have the fate that its prompt asks for."""
        prompt = self.prompt(call)
        task = self.account.take(prompt, self.key(call))
        fate = self.account.fate(prompt)
        if fate is not None:
            return "submit", fate, {"error": {"message": "something went wrong"}}
        return "submit", self.taken, self.created(task, call)

    def key(self, _: Call) -> str | None:
        """Return the key of idempotency, where the provider takes one."""
        return None

    def named(self, call: Call) -> str:
        """Return the id of the task that a query is about."""
        return call.path.rstrip("/").rpartition("/")[2]

    @abstractmethod
    def query(self, task_id: str) -> Call:
        """Return the bare query of a task."""

    @abstractmethod
    def prompt(self, call: Call) -> str:
        """Return the prompt of a submit."""

    @abstractmethod
    def created(self, task: Task, call: Call) -> object:
        """Return the document that answers a submit."""

    @abstractmethod
    def show(self, task: Task) -> object:
        """Return the document that answers a query."""
