"""What polling knows of one task. Only the package `polling` changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .billing import ExpectedUsage

if TYPE_CHECKING:
    from .polling.estimator import DurationModel


class PollState:
    """The polls of one task. Times are the event loop's, in seconds."""

    __slots__ = (
        "active_at",
        "due",
        "empty_successes",
        "entry",
        "expected",
        "failures",
        "list_polls",
        "model",
        "position",
        "queued_for",
        "submitted_at",
        "unchanged",
    )

    def __init__(self) -> None:
        self.entry = 0
        """The number of its valid entry in the poll queue; 0 while it is not polled."""
        self.due = 0.0
        """When it is polled next."""
        self.submitted_at = 0.0
        """When the task's lifetime began."""
        self.active_at = 0.0
        """When the provider last showed that the task had not ended; 0 if it has not yet."""
        self.queued_for = 0.0
        """Seconds after its submit at which it was still queued at the provider."""
        self.model: DurationModel | None = None
        """What was learned of the duration of tasks like it."""
        self.expected: ExpectedUsage | None = None
        """What the request asked for of everything that is billed. Kept because the job may forget its request."""
        self.unchanged = 0
        """How many polls in a row brought no change."""
        self.empty_successes = 0
        """How many polls showed a success without a video."""
        self.failures: PollFailures | None = None
        """The polls that have failed since the last one that succeeded."""
        self.list_polls = 0
        """How many polls in a row were made by the provider's list."""
        self.position = ListPosition()
        """Where the provider's list should show it."""

    def failing(self) -> PollFailures:
        """Return the counts of failed polls, to be increased."""
        if self.failures is None:
            self.failures = PollFailures()
        return self.failures


class PollFailures:
    """Polls of one task that have failed in a row, by the kind of failure."""

    __slots__ = ("faults", "not_found", "refusals")

    def __init__(self) -> None:
        self.faults = 0
        """No answer, or none that says anything of the task."""
        self.not_found = 0
        """The provider does not know the task."""
        self.refusals = 0
        """The provider refused the request."""


class ListPosition:
    """Where the provider's list should show one task."""

    __slots__ = ("is_disputed", "missing", "number", "others_before")

    def __init__(self) -> None:
        self.number = 0
        """Its number in the order in which this client's tasks were accepted."""
        self.others_before = 0
        """How many tasks of others the account had accepted before it, as far as list pages have shown."""
        self.missing = 0
        """How many pages in a row did not show it where it should have been."""
        self.is_disputed = False
        """Whether the list shows its end, and a query is to confirm it."""
