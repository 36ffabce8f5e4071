"""
Where the provider's list shows each of our tasks, and whether the list can be relied on.

A list is newest first. It holds our tasks and those of others who use the same account:

    row  task        number  others_before
     0   other's
     1   ours, t3       3         2
     2   other's                              newest = 3   tasks of ours so far
     3   ours, t2       2         1           others = 3   tasks of others so far
     4   ours, t1       1         1
     5   other's

The row of a task is the number of tasks that were accepted after it:

    row = (newest - number) + (others - others_before)

`newest` and `number` are counted here. `others` and `others_before` are estimates at first: a new task gets the present
`others` as its `others_before`. A page that shows our tasks corrects both, see `ListIndex._learn`.

No provider promises that its list is complete, in order or up to date. Where it is found not to be, it is not used for
a while, like a circuit breaker that opens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sized

from attrs import define, evolve, field, frozen

from ..adapter import PageRequest, TaskPage
from ..errors import HappyHorseError, ProviderError, RateLimitError, TransportError
from ..logs import get_logger
from ..task import Task, TaskRef, TaskStatus
from ..tracked_job import ListPosition, TrackedJob

_log = get_logger(__name__)

# Providers allow up to 100 rows, or do not say. The response tells if a page has fewer rows than were requested.
_SIZE = 50
_LARGEST_SIZE = 1000
# A page costs one request, and each end that it shows may cost another.
_WORTHWHILE = 3
# Pages that show fewer of our tasks than this, as a moving average, cost more than they save.
_LOWEST_YIELD = 2.0
_INITIAL_YIELD = 10.0
_YIELD_INERTIA = 0.1
# Tasks are queried occasionally all the same, to check that the list is right.
_MOST_LIST_POLLS = 30
_SHORTEST_AUDIT_INTERVAL = 1.0
_LONGEST_AUDIT_INTERVAL = 10.0
_MOST_MISSING = 3
_MOST_MISMATCHES = 3
_MOST_USELESS_PAGES = 6
# While pages show none of our tasks, the search goes down in steps that grow by this factor.
_SEARCH_FACTOR = 4
_REMEMBERED_ENDS = 1000
_SHORTEST_OPEN = 60.0
_LONGEST_OPEN = 3600.0


@frozen
class Page:
    """A page to request, and the state of the index when it was requested."""

    request: PageRequest
    requested_at: float
    wanted: TrackedJob
    """The task for which it is requested."""
    newest: int
    """How many tasks of ours had been accepted."""
    offset: int
    """How many rows further down than expected the search was."""


@define
class _End:
    """The end of a task that the list should show as well."""

    position: ListPosition
    at: float
    is_unconfirmed: bool
    """Whether the list has not shown it yet: when it does, that proves that the list is up to date."""


@define
class _Search:
    """The search for our tasks further down, while pages show none of them: exponential, then binary."""

    offset: int = 0
    """By how many rows the next page is moved down."""
    _only_others: int = 0
    """The largest offset at which there were only tasks of others."""
    _past_the_end: int | None = None
    """The smallest offset at which the list had ended."""

    def advance(self, size: int, *, is_empty: bool) -> None:
        """Choose the next offset, after a page that showed none of our tasks."""
        if is_empty:
            self._past_the_end = self.offset
        else:
            self._only_others = self.offset
        if self._past_the_end is None:
            self.offset = _SEARCH_FACTOR * self._only_others + size
        else:
            self.offset = (self._only_others + self._past_the_end) // 2


@define
class _CircuitBreaker:
    """Whether the list is used. It is not while the circuit is open, which lasts longer from time to time."""

    _open_until: float = 0.0
    _duration: float = _SHORTEST_OPEN
    _mismatches: int = 0
    _useless_pages: int = 0
    page_yield: float = field(default=_INITIAL_YIELD, init=False)
    """How many of our tasks a page shows, as a moving average."""

    def is_closed(self, now: float) -> bool:
        """Return whether the list may be used."""
        return now >= self._open_until

    def open(self, reason: str, now: float) -> bool:
        """Stop using the list, and return whether it was still in use."""
        if now < self._open_until:
            # Pages that were in flight together have failed together.
            return False
        _log.info("the task list is not used for %.0f s: %s", self._duration, reason)
        self._open_until = now + self._duration
        self._duration = min(2 * self._duration, _LONGEST_OPEN)
        self._mismatches = self._useless_pages = 0
        self.page_yield = _INITIAL_YIELD
        return True

    def open_until(self, moment: float) -> None:
        """Do not use the list before *moment*."""
        self._open_until = max(self._open_until, moment)

    def count_mismatch(self) -> bool:
        """Count a contradiction between the list and a query; return whether there were too many."""
        self._mismatches += 1
        return self._mismatches >= _MOST_MISMATCHES

    def count_useless_page(self) -> bool:
        """Count a page that showed none of our tasks; return whether there were too many."""
        self._useless_pages += 1
        return self._useless_pages >= _MOST_USELESS_PAGES

    def count_useful_page(self) -> None:
        """Note that a page showed tasks of ours."""
        self._useless_pages = 0

    def confirm(self) -> None:
        """Note that the list has proved to be up to date."""
        self._mismatches = 0
        self._duration = _SHORTEST_OPEN

    def count_found(self, found: int) -> bool:
        """Count how many tasks a page has shown; return whether that is too few on average."""
        self.page_yield += _YIELD_INERTIA * (found - self.page_yield)
        return self.page_yield < _LOWEST_YIELD


class ListIndex:
    """
    Finds our tasks in the provider's list. Times are the event loop's.

    :param is_usable: whether the provider's list shows the present state of tasks.
    :param interval: how often a task is polled, where nothing else is known.
    """

    def __init__(self, *, is_usable: bool, interval: float) -> None:
        self.is_usable = is_usable
        self._audit_interval = min(max(interval, _SHORTEST_AUDIT_INTERVAL), _LONGEST_AUDIT_INTERVAL)
        self._audited_at = 0.0
        self._tracked_jobs: dict[int, TrackedJob] = {}
        self._newest = 0
        self._others = 0
        self._size = _SIZE
        self._search = _Search()
        self._ended: OrderedDict[TaskRef, _End] = OrderedDict()
        self._circuit = _CircuitBreaker()

    def __len__(self) -> int:
        return len(self._tracked_jobs)

    def add(self, tracked: TrackedJob) -> None:
        """Add a task that is newer than all others."""
        position = tracked.poll.position
        self._tracked_jobs.pop(position.number, None)
        self._newest += 1
        position.number = self._newest
        position.others_before = self._others
        self._tracked_jobs[position.number] = tracked

    def remove(self, tracked: TrackedJob, now: float) -> None:
        """Remove a task. Its end is remembered for a while: the list must show it too."""
        if self._tracked_jobs.pop(tracked.poll.position.number, None) is None:
            return
        # EXPIRED is this client's own conclusion, which the list may not share.
        if tracked.task is not None and tracked.ended and tracked.task.status is not TaskStatus.EXPIRED:
            is_unconfirmed = not tracked.poll.list_polls
            self._ended[tracked.task.ref] = _End(tracked.poll.position, now, is_unconfirmed)
            if len(self._ended) > _REMEMBERED_ENDS:
                self._ended.popitem(last=False)

    def page_for(self, tracked: TrackedJob, now: float) -> Page | None:
        """Return the page that should show the task; `None` if it must be queried."""
        poll, position = tracked.poll, tracked.poll.position
        if not self.is_usable or not self._circuit.is_closed(now) or position.number not in self._tracked_jobs:
            return None
        if position.is_disputed or poll.list_polls >= _MOST_LIST_POLLS or position.missing >= _MOST_MISSING:
            return None
        if poll.list_polls and now >= self._audited_at + self._audit_interval:
            self._audited_at = now
            return None
        row = self._row(position)
        if row < 0:
            # The list is behind, and does not show the task yet.
            return None
        request = PageRequest(number=row // self._size + 1, size=_SIZE)
        return Page(request, now, tracked, self._newest, self._search.offset)

    def _row(self, position: ListPosition) -> int:
        """Return the row in which a task is expected: the formula above, moved down during a search."""
        others_after = self._others - position.others_before
        return self._newest - position.number + others_after + self._search.offset

    def expected_on(self, page: Page) -> list[TrackedJob]:
        """Return the tasks that *page* should show: neighbours of the one for which it is requested."""
        rows = self._rows(page)
        return [each for each in self._neighbours(page) if self._row(each.poll.position) in rows]

    def _neighbours(self, page: Page) -> Iterator[TrackedJob]:
        number = page.wanted.poll.position.number
        numbers = range(number - self._size + 1, number + self._size)
        return (tracked for tracked in map(self._tracked_jobs.get, numbers) if tracked)

    def _rows(self, page: Page) -> range:
        begin = (page.request.number - 1) * self._size
        return range(begin, begin + self._size)

    def queried(self, tracked: TrackedJob) -> None:
        """Note that a task is queried. After that the list gets another chance to show it."""
        tracked.poll.list_polls = 0
        tracked.poll.position.missing = min(tracked.poll.position.missing, _MOST_MISSING - 1)

    @staticmethod
    def is_worthwhile(tasks: Sized) -> bool:
        """Return whether one page costs less than a query for each of *tasks*."""
        return len(tasks) >= _WORTHWHILE

    def read(
        self, page: Page, response: TaskPage, find: Callable[[TaskRef], TrackedJob | None]
    ) -> list[tuple[TrackedJob, Task]]:
        """
        Return what a page says of our tasks, and learn from the rows in which it shows them.

        :param find: returns the live job of a task, if it is one of ours.
        """
        self._size = min(max(1, response.size or self._size), _LARGEST_SIZE)
        found: list[tuple[TrackedJob, Task]] = []
        rows: list[tuple[ListPosition, int]] = []
        for row, task in enumerate(response.tasks, start=self._rows(page).start):
            if task.status is TaskStatus.UNKNOWN:
                # A status that we do not know says nothing of the task.
                continue
            tracked = find(task.ref)
            if tracked is not None and tracked.poll.position.number in self._tracked_jobs:
                tracked.poll.position.missing = 0
                tracked.poll.list_polls += 1
                found.append((tracked, task))
                rows.append((tracked.poll.position, row))
            elif (end := self._ended.get(task.ref)) is not None:
                rows.append((end.position, row))
                self._check_end(end, task, page.requested_at)
        if rows:
            self._learn(page, rows)
        elif page.offset == self._search.offset:
            # Other pages of the same search failed for the same reason, and count once.
            self._search.advance(self._size, is_empty=not response.tasks)
            self._count_useless_page("it does not show our tasks", page.requested_at)
        if self._circuit.count_found(len(found)):
            self.open_circuit("it shows too few of our tasks", page.requested_at)
        return found

    def _learn(self, page: Page, rows: list[tuple[ListPosition, int]]) -> None:
        """
        Correct `others` and `others_before` by the rows in which tasks of ours were found.

        With the formula above, a row tells exactly how many tasks of others came after a task:

            others_after = row - (newest - number)

        where `newest` is that of the time of the request. Each task so gives an estimate of the total,
        `others_before + others_after`. The median is taken, because single `others_before` may be wrong. Then each task
        that was found gets `others - others_after`, and its neighbours are adjusted: `others_before` never decreases
        from an older task to a newer one.
        """
        self._circuit.count_useful_page()
        self._search = _Search()
        others_after = [(position, row - (page.newest - position.number)) for position, row in rows]
        estimates = sorted(position.others_before + after for position, after in others_after)
        others = estimates[len(estimates) // 2]
        # A list only grows. If the estimate is much lower than before, it is `others_before` that was wrong.
        if others > self._others - self._size // 2:
            self._others = others
        for position, after in others_after:
            position.others_before = self._others - after
        newest, oldest = max(rows, key=_number)[0], min(rows, key=_number)[0]
        for position in (tracked.poll.position for tracked in self._neighbours(page)):
            if position.number > newest.number:
                position.others_before = max(position.others_before, newest.others_before)
            elif position.number < oldest.number:
                position.others_before = min(position.others_before, oldest.others_before)

    def _check_end(self, end: _End, task: Task, requested_at: float) -> None:
        if not task.status.is_terminal:
            if end.at < requested_at:
                self.mismatch(requested_at)
        elif end.is_unconfirmed:
            # An end that the list was first to show proves nothing: it may have shown it late.
            end.is_unconfirmed = False
            self._circuit.confirm()

    def _count_useless_page(self, reason: str, now: float) -> None:
        if self._circuit.count_useless_page():
            self.open_circuit(reason, now)

    def missing(self, tracked: TrackedJob) -> None:
        """Note that a page did not show a task that it should have shown, or that the page failed."""
        if not self._search.offset:
            # During a search it is not the single task that is missing.
            tracked.poll.position.missing += 1

    def mismatch(self, now: float) -> None:
        """Note that the list and a query contradict each other."""
        if self._circuit.count_mismatch():
            self.open_circuit("it is not up to date", now)

    def open_circuit(self, reason: str, now: float) -> None:
        """Stop using the list for a while, and for longer each time."""
        if self._circuit.open(reason, now):
            self._search = _Search()

    def pause_until(self, moment: float) -> None:
        """Request no page before *moment*, as the provider asks."""
        self._circuit.open_until(moment)

    def failed(self, error: HappyHorseError, now: float) -> None:
        """Note that the request of a page failed."""
        if isinstance(error, TransportError | ProviderError | RateLimitError):
            # A query would have failed as well.
            self._count_useless_page(f"it cannot be read: {error}", now)
        else:
            self.open_circuit(f"the provider refuses it: {error}", now)


def _number(found: tuple[ListPosition, int]) -> int:
    return found[0].number


def updated(task: Task | None, row: Task) -> Task:
    """Return *task*, an active one, with the little that its row in a list adds to it."""
    if task is None:
        return row
    is_news = row.status is TaskStatus.RUNNING and (task.status is not row.status or not task.started_at)
    if not is_news:
        # A list may lag behind.
        return task
    return evolve(
        task,
        status=row.status,
        raw_status=row.raw_status,
        created_at=row.created_at or task.created_at,
        started_at=row.started_at or task.started_at,
        observed_at=row.observed_at,
    )
