"""The requests that an emulator has received, for tests."""

from __future__ import annotations

from attrs import frozen

from .faults.fault import Operation

KEPT = 10_000
"""How many requests are kept."""


@frozen(kw_only=True)
class ReceivedRequest:
    """One request and how it was answered. Neither key nor body is kept."""

    provider: str
    """The provider's name."""
    operation: Operation | None
    """The operation; `None` if the provider does not know such a request."""
    method: str
    path: str
    """The path without the query, which may be a signature."""
    task_id: str | None = None
    """The provider's id of the task, if the request has one."""
    status: int | None = None
    """The HTTP status of the response; `None` if a fault broke it."""
    fault: str | None = None
    """A description of the applied fault."""
    received_at: float = 0.0
    """Unix seconds."""
