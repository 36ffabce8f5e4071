"""
Which page of the provider's list shows which of our tasks, and whether the list can be relied on.

A list is newest first, so that a task's row is the number of tasks that came later: ours, which are counted here, and
those of others, of which each task of ours remembers how many came before it. That is a guess at first, namely as many
as there were when we took it, and known once a page has shown it. Nobody promises that a list is complete, in order or
up to date. Where it turns out not to be, it is left alone for a while.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping

from attrs import define, frozen

from ..adapter import PageRequest, TaskPage
from ..errors import HappyHorseError, ProviderError, RateLimitError, TransportError
from ..poll_state import ListPosition
from ..task import Task, TaskRef, TaskStatus
from ..tracked_job import TrackedJob

_log = logging.getLogger("happyhorse_async")

# Providers allow up to 100 rows, or do not say. The answer tells where a page has fewer than were asked for.
_SIZE = 50
_LARGEST_SIZE = 1000
# A page costs a request, and each end that it shows may cost another.
_WORTHWHILE = 3
# Pages that show fewer of ours than this, on the average of late, cost more than they save.
_FEWEST = 2.0
_AMPLE = 10.0
_YIELD_INERTIA = 0.1
# Now and then a task is queried all the same, to see whether the list says the truth.
_TRUSTED_LOOKS = 30
_SHORTEST_AUDIT_INTERVAL = 1.0
_LONGEST_AUDIT_INTERVAL = 10.0
_MOST_STRAYS = 3
_MOST_STRIKES = 3
_MOST_IN_VAIN = 6
# Where a page shows none of ours, they are looked for so many times as far down.
_STRIDE = 4
_REMEMBERED = 1000
_SHORTEST_BAN = 60.0
_LONGEST_BAN = 3600.0


@frozen
class Page:
    """A page to ask for, and what was known when it was."""

    request: PageRequest
    asked_at: float
    wanted: TrackedJob
    """The task that it is asked for."""
    newest: int
    """How many tasks of ours had been taken."""
    skipped: int
    """How many rows had been searched in vain."""


@define
class _End:
    position: ListPosition
    at: float
    is_unheard: bool
    """Whether the list has not told of it yet, so that it can still show whether it is up to date."""


@define
class _Search:
    """How many rows further down than they should be ours are looked for, while pages show none of them."""

    skipped: int = 0
    _near: int = 0
    """How far down there were only tasks of others."""
    _far: int | None = None
    """How far down there was nothing any more."""

    def go_on(self, size: int, *, is_empty: bool) -> None:
        if is_empty:
            self._far = self.skipped
        else:
            self._near = self.skipped
        self.skipped = _STRIDE * self._near + size if self._far is None else (self._near + self._far) // 2


class ListIndex:
    """
    Finds our tasks in the provider's list. Times are the event loop's.

    :param is_usable: whether the provider's list shows how tasks stand now.
    :param interval: how often a task is looked at, where nothing else is known.
    """

    def __init__(self, *, is_usable: bool, interval: float) -> None:
        self._is_usable = is_usable
        self._audit_interval = min(max(interval, _SHORTEST_AUDIT_INTERVAL), _LONGEST_AUDIT_INTERVAL)
        self._tracked_jobs: dict[int, TrackedJob] = {}
        self._newest = 0
        self._foreign = 0
        self._search = _Search()
        self._size = _SIZE
        self._yield = _AMPLE
        self._ended: OrderedDict[TaskRef, _End] = OrderedDict()
        self._audited_at = 0.0
        self._banned_until = 0.0
        self._ban = _SHORTEST_BAN
        self._strikes = 0
        self._in_vain = 0

    def __len__(self) -> int:
        return len(self._tracked_jobs)

    def enter(self, tracked: TrackedJob) -> None:
        """Count a task that is newer than all others."""
        position = tracked.poll.position
        self._tracked_jobs.pop(position.number, None)
        self._newest += 1
        position.number = self._newest
        position.others_before = self._foreign
        self._tracked_jobs[position.number] = tracked

    def leave(self, tracked: TrackedJob, now: float) -> None:
        """Look for a task no more. Its end is remembered for a while: the list must show it too."""
        if self._tracked_jobs.pop(tracked.poll.position.number, None) is None:
            return
        # That a task has expired is our own word, not the provider's.
        if tracked.task is not None and tracked.ended and tracked.task.status is not TaskStatus.EXPIRED:
            self._ended[tracked.task.ref] = _End(
                tracked.poll.position, now, is_unheard=not tracked.poll.list_polls
            )
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    def page_with(self, tracked: TrackedJob, now: float) -> Page | None:
        """Return the page on which *watch* should be; `None` where it must have a query of its own."""
        position = tracked.poll.position
        if not self._is_usable or now < self._banned_until or position.number not in self._tracked_jobs:
            return None
        if position.is_disputed or tracked.poll.list_polls >= _TRUSTED_LOOKS or position.missing >= _MOST_STRAYS:
            return None
        if tracked.poll.list_polls and now >= self._audited_at + self._audit_interval:
            self._audited_at = now
            return None
        row = self._row(position)
        if row < 0:
            # The list is late, and does not show it yet.
            return None
        request = PageRequest(number=row // self._size + 1, size=_SIZE)
        return Page(request, now, tracked, self._newest, self._search.skipped)

    @property
    def _total(self) -> int:
        # How many tasks were taken, ours and those of others; and more while ours are looked for further down.
        return self._newest + self._foreign + self._search.skipped

    def on(self, page: Page) -> list[TrackedJob]:
        """Return the tasks that *page* should show, which are neighbours of the one that it is asked for."""
        rows = self._rows(page)
        return [each for each in self._neighbours(page) if self._row(each.poll.position) in rows]

    def _row(self, position: ListPosition) -> int:
        return self._total - position.number - position.others_before

    def _neighbours(self, page: Page) -> Iterator[TrackedJob]:
        number = page.wanted.poll.position.number
        numbers = range(number - self._size + 1, number + self._size)
        return (tracked for tracked in map(self._tracked_jobs.get, numbers) if tracked)

    def _rows(self, page: Page) -> range:
        begin = (page.request.number - 1) * self._size
        return range(begin, begin + self._size)

    def queried(self, tracked: TrackedJob) -> None:
        """Note that a task has a query of its own. After that the list gets another chance to show it."""
        tracked.poll.list_polls = 0
        tracked.poll.position.missing = min(tracked.poll.position.missing, _MOST_STRAYS - 1)

    @staticmethod
    def is_worth(tracked_jobs: list[TrackedJob]) -> bool:
        """Tell whether one page is better than as many queries."""
        return len(tracked_jobs) >= _WORTHWHILE

    def read(self, page: Page, answer: TaskPage, known: Mapping[TaskRef, TrackedJob]) -> list[tuple[TrackedJob, Task]]:
        """Return what *page* says of our tasks, and learn where they stand."""
        self._size = min(max(1, answer.size or self._size), _LARGEST_SIZE)
        found: list[tuple[TrackedJob, Task]] = []
        ours: list[tuple[ListPosition, int]] = []
        for row, task in enumerate(answer.tasks, start=self._rows(page).start):
            tracked = known.get(task.ref)
            if task.status is TaskStatus.UNKNOWN:
                # A row without a word that we know tells nothing of its task.
                continue
            if tracked is not None and tracked.poll.position.number in self._tracked_jobs:
                tracked.poll.position.missing = 0
                tracked.poll.list_polls += 1
                found.append((tracked, task))
                ours.append((tracked.poll.position, row))
            elif (end := self._ended.get(task.ref)) is not None:
                ours.append((end.position, row))
                self._check_end(end, task, page.asked_at)
        if ours:
            self._learn(page, ours)
        elif page.skipped == self._search.skipped:
            # Others that were asked for at the same time are in vain for the same reason.
            self._search.go_on(self._size, is_empty=not answer.tasks)
            self._count_in_vain("it does not show our tasks", page.asked_at)
        self._yield += _YIELD_INERTIA * (len(found) - self._yield)
        if self._yield < _FEWEST:
            self.distrust("it shows too few of our tasks", page.asked_at)
        return found

    def _learn(self, page: Page, ours: list[tuple[ListPosition, int]]) -> None:
        self._in_vain, self._search = 0, _Search()
        # How many of others came later than each: its row without ours that are above it.
        later = [(position, row - (page.newest - position.number)) for position, row in ours]
        foreign = sorted(position.others_before + number for position, number in later)[len(later) // 2]
        # A list only grows. If they stand much higher than they should, it is their own places that were wrong.
        if foreign > self._foreign - self._size // 2:
            self._foreign = foreign
        for position, number in later:
            position.others_before = self._foreign - number
        newest, oldest = max(ours, key=_number)[0], min(ours, key=_number)[0]
        for position in (tracked.poll.position for tracked in self._neighbours(page)):
            # What came later has at least as many before it.
            if position.number > newest.number:
                position.others_before = max(position.others_before, newest.others_before)
            elif position.number < oldest.number:
                position.others_before = min(position.others_before, oldest.others_before)

    def _check_end(self, end: _End, task: Task, asked_at: float) -> None:
        if not task.status.is_terminal:
            if end.at < asked_at:
                self.contradicted(asked_at)
        elif end.is_unheard:
            # What it has told of by itself, sooner or later, does not show that it is up to date.
            end.is_unheard = False
            self._strikes = 0
            self._ban = _SHORTEST_BAN

    def _count_in_vain(self, reason: str, now: float) -> None:
        self._in_vain += 1
        if self._in_vain >= _MOST_IN_VAIN:
            self.distrust(reason, now)

    def missed(self, tracked: TrackedJob) -> None:
        """Note that a page did not show a task that should have been on it, or did not come."""
        if not self._search.skipped:
            # While all are looked for further down, it is not the task that is missing.
            tracked.poll.position.missing += 1

    def contradicted(self, now: float) -> None:
        """Note that the list and a query say different things."""
        self._strikes += 1
        if self._strikes >= _MOST_STRIKES:
            self.distrust("it is not up to date", now)

    def distrust(self, reason: str, now: float) -> None:
        """Leave the list alone for a while, and for longer from time to time."""
        if now < self._banned_until:
            # Pages that were on their way together are at fault together.
            return
        _log.info("the task list is not used for %.0f s: %s", self._ban, reason)
        self._banned_until = now + self._ban
        self._ban = min(2 * self._ban, _LONGEST_BAN)
        self._strikes = self._in_vain = 0
        self._search = _Search()
        self._yield = _AMPLE

    def leave_until(self, moment: float) -> None:
        """Ask for no page before *moment*, as the provider wishes."""
        self._banned_until = max(self._banned_until, moment)

    def failed(self, error: HappyHorseError, now: float) -> None:
        """Note that a page did not come."""
        if isinstance(error, TransportError | ProviderError | RateLimitError):
            # A query would not have fared better.
            self._count_in_vain(f"it does not come: {error}", now)
        else:
            self.distrust(f"it is refused: {error}", now)


def _number(found: tuple[ListPosition, int]) -> int:
    return found[0].number
