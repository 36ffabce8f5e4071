"""
Which page of the provider's list shows which of our tasks, and whether the list can be relied on.

A list is newest first, so that a task's place in it is the number of tasks that came later: ours, which are counted
here, and those of others, which show by how much further down ours are found. Nobody promises that a list is complete,
in order or up to date. Where it turns out not to be, it is left alone for a while.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping

from attrs import evolve, frozen

from ..adapter import PageRequest, TaskPage
from ..errors import HappyHorseError, ProviderError, RateLimitError, TransportError
from ..task import Task, TaskRef, TaskStatus
from ..watch import Watch

_log = logging.getLogger("happyhorse_async")

# Providers allow up to 100 rows, or do not say. The answer tells where a page has fewer than were asked for.
_SIZE = 50
_LARGEST_SIZE = 1000
# A page costs a request, and each end that it shows may cost another.
_WORTHWHILE = 4
# Now and then a task is queried all the same, to see whether the list says the truth.
_TRUSTED_LOOKS = 30
_SHORTEST_AUDIT_INTERVAL = 1.0
_LONGEST_AUDIT_INTERVAL = 10.0
_MOST_STRAYS = 3
_MOST_STRIKES = 3
_MOST_IN_VAIN = 5
_REMEMBERED = 1000
_SHORTEST_BAN = 60.0
_LONGEST_BAN = 3600.0


@frozen
class Page:
    """A page to ask for, and what was known when it was."""

    request: PageRequest
    asked_at: float
    newest: int
    """How many tasks of ours had been taken."""


@frozen
class _End:
    number: int
    at: float
    is_unheard: bool
    """Whether the list has not told of it yet, so that it can still show whether it is up to date."""


class Pages:
    """
    Finds our tasks in the provider's list. Times are the event loop's.

    :param is_usable: whether the provider's list shows how tasks stand now.
    :param interval: how often a task is looked at, where nothing else is known.
    """

    def __init__(self, *, is_usable: bool, interval: float) -> None:
        self._is_usable = is_usable
        self._audit_interval = min(max(interval, _SHORTEST_AUDIT_INTERVAL), _LONGEST_AUDIT_INTERVAL)
        self._watches: dict[int, Watch] = {}
        self._newest = 0
        self._offset = 0
        self._size = _SIZE
        self._ended: OrderedDict[TaskRef, _End] = OrderedDict()
        self._audited_at = 0.0
        self._banned_until = 0.0
        self._ban = _SHORTEST_BAN
        self._strikes = 0
        self._in_vain = 0

    def __len__(self) -> int:
        return len(self._watches)

    def enter(self, watch: Watch) -> None:
        """Count a task that is newer than all others."""
        self._watches.pop(watch.number, None)
        self._newest += 1
        watch.number = self._newest
        self._watches[watch.number] = watch

    def leave(self, watch: Watch, now: float) -> None:
        """Look for a task no more. Its end is remembered for a while: the list must show it too."""
        if self._watches.pop(watch.number, None) is None:
            return
        # That a task has expired is our own word, not the provider's.
        if watch.task is not None and watch.ended and watch.task.status is not TaskStatus.EXPIRED:
            self._ended[watch.task.ref] = _End(watch.number, now, is_unheard=not watch.listed)
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    def page_with(self, watch: Watch, now: float) -> Page | None:
        """Return the page on which *watch* should be; `None` where it must have a query of its own."""
        if not self._is_usable or now < self._banned_until or watch.number not in self._watches:
            return None
        if watch.is_disputed or watch.listed >= _TRUSTED_LOOKS or watch.strays >= _MOST_STRAYS:
            return None
        if watch.listed and now >= self._audited_at + self._audit_interval:
            self._audited_at = now
            return None
        row = self._newest - watch.number + self._offset
        if row < 0:
            # The list is late, and does not show it yet.
            return None
        return Page(PageRequest(number=row // self._size + 1, size=_SIZE), now, self._newest)

    def on(self, page: Page) -> list[Watch]:
        """Return the tasks that *page* should show."""
        first = self._newest + self._offset - (page.request.number - 1) * self._size
        numbers = range(first, first - self._size, -1)
        return [watch for number in numbers if (watch := self._watches.get(number))]

    def queried(self, watch: Watch) -> None:
        """Note that a task has a query of its own. After that the list gets another chance to show it."""
        watch.listed = 0
        watch.strays = min(watch.strays, _MOST_STRAYS - 1)

    @staticmethod
    def is_worth(watches: list[Watch]) -> bool:
        """Tell whether one page is better than as many queries."""
        return len(watches) >= _WORTHWHILE

    def read(self, page: Page, answer: TaskPage, known: Mapping[TaskRef, Watch]) -> list[tuple[Watch, Task]]:
        """Return what *page* says of our tasks, and learn where they stand."""
        self._size = min(max(1, answer.size or self._size), _LARGEST_SIZE)
        begin = (page.request.number - 1) * self._size
        found: list[tuple[Watch, Task]] = []
        offsets: list[int] = []
        for row, task in enumerate(answer.tasks, start=begin):
            watch = known.get(task.ref)
            if task.status is TaskStatus.UNKNOWN:
                # A row without a word that we know tells nothing of its task.
                continue
            if watch is not None and watch.number in self._watches:
                watch.strays = 0
                watch.listed += 1
                found.append((watch, task))
                offsets.append(row - page.newest + watch.number)
            elif task.ref in self._ended:
                offsets.append(row - page.newest + self._ended[task.ref].number)
                self._check_end(task, page.asked_at)
        self._move(sorted(offsets), is_empty=not answer.tasks, now=page.asked_at)
        return found

    def _check_end(self, task: Task, asked_at: float) -> None:
        end = self._ended[task.ref]
        if not task.status.is_terminal:
            if end.at < asked_at:
                self.contradicted(asked_at)
        elif end.is_unheard:
            # What it has told of by itself, sooner or later, does not show that it is up to date.
            self._ended[task.ref] = evolve(end, is_unheard=False)
            self._strikes = 0
            self._ban = _SHORTEST_BAN

    def _move(self, offsets: list[int], *, is_empty: bool, now: float) -> None:
        if offsets:
            self._in_vain = 0
            self._offset = offsets[len(offsets) // 2]
            return
        # Ours are further down, where others have put theirs before them; or it has been shorter than it was thought.
        self._offset = 0 if is_empty else self._offset + self._size
        self._count_in_vain("it does not show our tasks", now)

    def _count_in_vain(self, reason: str, now: float) -> None:
        self._in_vain += 1
        if self._in_vain >= _MOST_IN_VAIN:
            self.distrust(reason, now)

    def missed(self, watch: Watch) -> None:
        """Note that a page did not show a task that should have been on it, or did not come."""
        watch.strays += 1

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
        self._offset = 0

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
