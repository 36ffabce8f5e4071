"""Which page of the list shows which task, and when the list is left alone."""

from __future__ import annotations

import pytest

import happyhorse_async as hh
from happyhorse_async.polling.list_index import ListIndex, Page
from happyhorse_async.tracked_job import TrackedJob

RUNNING, DONE, EXPIRED = hh.TaskStatus.RUNNING, hh.TaskStatus.SUCCEEDED, hh.TaskStatus.EXPIRED


class Account:
    """The tasks of a client, and a list of them."""

    def __init__(self, number: int) -> None:
        self.pages = ListIndex(is_usable=True, interval=15.0)
        self.tracked_jobs: list[TrackedJob] = []
        self.known: dict[hh.TaskRef, TrackedJob] = {}
        for _ in range(number):
            self.submit()

    def submit(self) -> TrackedJob:
        tracked = TrackedJob(hh.TaskRef("fifth", f"t-{len(self.tracked_jobs)}"), job_id="job")
        self.tracked_jobs.append(tracked)
        self.pages.enter(tracked)
        assert tracked.ref is not None
        self.known[tracked.ref] = tracked
        return tracked

    def row(self, number: int, status: hh.TaskStatus = RUNNING) -> hh.Task:
        ref = self.tracked_jobs[number].ref
        assert ref is not None
        return hh.Task(ref=ref, status=status)

    def end(self, number: int, now: float, status: hh.TaskStatus = DONE) -> None:
        self.pages.queried(self.tracked_jobs[number])
        self.tracked_jobs[number].task = self.row(number, status)
        self.pages.leave(self.tracked_jobs[number], now)

    def page_with(self, number: int, now: float = 1.0) -> Page | None:
        return self.pages.page_with(self.tracked_jobs[number], now)

    def read(self, page: Page | None, *rows: hh.Task, size: int | None = None) -> list[hh.TaskRef | None]:
        assert page is not None
        found = self.pages.read(page, hh.TaskPage(tasks=rows, size=size), self.known)
        return [tracked.ref for tracked, _ in found]

    def show(self, now: float, *ended: int) -> None:
        """Read a page that shows all tasks, of which those numbered *ended* have ended."""
        newest_first = reversed(range(len(self.tracked_jobs)))
        rows = [self.row(number, DONE if number in ended else RUNNING) for number in newest_first]
        self.read(self.page_with(len(self.tracked_jobs) - 1, now), *rows)


class Busy(Account):
    """An account that others use as well, and its list."""

    def __init__(self, size: int = 10) -> None:
        super().__init__(0)
        self._size = size
        self._oldest_first: list[hh.Task] = []

    def submit(self) -> TrackedJob:
        tracked = super().submit()
        self._oldest_first.append(self.row(tracked.number - 1))
        return tracked

    def foreign(self, number: int = 1) -> None:
        """Let others submit as many."""
        for _ in range(number):
            ref = hh.TaskRef("fifth", f"foreign-{len(self._oldest_first)}")
            self._oldest_first.append(hh.Task(ref=ref, status=RUNNING))

    def look(self, number: int) -> bool:
        """Ask for the page of one task, and return whether it is on it."""
        self.pages.queried(self.tracked_jobs[number])
        page = self.page_with(number)
        assert page is not None
        newest_first = self._oldest_first[::-1]
        rows = newest_first[(page.request.number - 1) * self._size :][: self._size]
        if not (found := self.tracked_jobs[number].ref in self.read(page, *rows, size=self._size)):
            self.pages.missed(self.tracked_jobs[number])
        return found

    def find(self, number: int) -> int:
        """Look for one task until it is found, and return how many pages that took."""
        for page in range(1, 100):
            if self.look(number):
                return page
        raise AssertionError("it was not found")

    def misses(self) -> int:
        """Look for all, and count those that are not where they should be."""
        return sum(not self.look(number) for number in range(len(self.tracked_jobs)))


def test_tasks_of_others_between_ours() -> None:
    """Each task has a place of its own: where it was seen, it is found again, whatever other pages have shown."""
    account = Busy()
    for number in range(200):
        account.submit()
        account.foreign(number % 3)
        account.look(number)

    assert 0 == account.misses()


def test_a_new_task_among_those_of_others() -> None:
    """A task that no page has shown yet is found by what pages have shown of the others meanwhile."""
    account = Busy()
    for _ in range(200):
        account.submit()
        account.look(0)
        account.foreign()

    assert 20 >= account.misses()


@pytest.mark.parametrize("foreign", [10, 35, 200])
def test_many_tasks_of_others_at_once(foreign: int) -> None:
    """What others put before ours is noticed on one page, and counts for all."""
    account = Busy()
    for _ in range(200):
        account.submit()
    account.foreign(foreign)

    assert 5 >= account.find(50)
    assert 0 == account.misses()


def test_a_list_of_hardly_anything_but_tasks_of_others() -> None:
    """A list on whose pages few of ours stand is left alone, since a page would cost more than queries."""
    account = Busy()
    for _ in range(200):
        account.submit()
        account.foreign(9)
    looks = 0
    while account.page_with(looks % 200) is not None:
        account.look(looks % 200)
        looks += 1

    assert 60 >= looks


def test_a_list_that_is_late() -> None:
    """A task that the list cannot show yet has a query of its own, and is not taken to be on the first page."""
    account = Account(10)
    account.read(account.page_with(9), *(account.row(number) for number in range(4, -1, -1)))

    assert account.page_with(9) is None
    page = account.page_with(4)
    assert page is not None
    assert account.tracked_jobs[4] in account.pages.on(page)


def test_every_page_shows_the_task_it_is_asked_for() -> None:
    """Whatever was read before, a task is one of those on the page that is asked for it."""
    account = Account(120)
    for rows in (range(100, 50, -1), range(30), range(119, 90, -1)):
        account.read(account.page_with(60), *(account.row(number) for number in rows), size=7)
        for number, tracked in enumerate(account.tracked_jobs):
            page = account.page_with(number)
            assert page is None or tracked in account.pages.on(page)


def test_tasks_that_are_taken_while_a_page_is_on_its_way() -> None:
    """A page shows how the list was when it was asked for, and moves nothing that has come since."""
    account = Account(60)
    page = account.page_with(59)
    for _ in range(45):
        account.submit()
    account.read(page, *(account.row(number) for number in range(59, 9, -1)))

    found = account.page_with(59)
    assert found is not None
    assert 1 == found.request.number
    assert account.tracked_jobs[59] in account.pages.on(found)


def test_a_size_that_cannot_be_true() -> None:
    """A page is never searched for more tasks than a page can have."""
    account = Account(3000)
    account.read(account.page_with(2999), account.row(2999), size=10**12)

    page = account.page_with(2999)
    assert page is not None
    assert len(account.pages.on(page)) <= 1000


def test_the_end_of_a_task_whose_place_is_unknown() -> None:
    """A task that was never looked for tells nothing of where the others stand."""
    account = Account(200)
    stranger = TrackedJob(hh.TaskRef("fifth", "old"), job_id="job")
    stranger.task = hh.Task(ref=hh.TaskRef("fifth", "old"), status=DONE)
    account.pages.leave(stranger, 1.0)
    before = account.page_with(0)
    account.read(account.page_with(199), stranger.task)

    after = account.page_with(0)
    assert before is not None
    assert after is not None
    # As after any page on which none of ours was found.
    assert before.request.number + 1 == after.request.number


def test_rows_that_show_an_end_too_late() -> None:
    """A list that lags behind is found out, though it shows older ends as they are."""
    account = Account(20)
    account.end(0, 1.0)
    account.show(1.5, 0)
    account.end(1, 2.0)
    for now in (3.0, 4.0, 5.0):
        account.show(now, 0)

    assert account.page_with(19, 6.0) is None


def test_rows_that_show_an_end_by_themselves() -> None:
    """A list that was wrong twice and then shows what only a query had seen goes on being used."""
    account = Account(20)
    for number in range(4):
        now = float(number)
        account.end(number, now)
        account.show(now + 0.1, *range(number))
        account.show(now + 0.2, *range(number))
        account.show(now + 0.3, *range(number + 1))

    assert account.page_with(19, 6.0) is not None


def test_one_that_has_expired_for_us() -> None:
    """That a task has outlived its time here is no reason to mistrust a list that shows it."""
    account = Account(20)
    for number in range(4):
        account.end(number, 1.0, EXPIRED)
    for now in (2.0, 3.0, 4.0):
        account.show(now)

    assert account.page_with(19, 5.0) is not None


@pytest.mark.parametrize("status", [DONE, EXPIRED])
def test_nothing_is_kept_of_a_task_that_has_ended(status: hh.TaskStatus) -> None:
    """However many tasks end, only the last thousand ends are remembered."""
    account = Account(3000)
    for number in range(3000):
        account.end(number, 1.0, status)

    assert not account.pages._tracked_jobs
    assert len(account.pages._ended) <= 1000


def test_a_row_that_is_missing_again_and_again() -> None:
    """A task that pages do not show is queried, and after that the list gets another chance."""
    account = Account(20)
    for _ in range(3):
        account.pages.missed(account.tracked_jobs[5])

    assert account.page_with(5) is None
    account.pages.queried(account.tracked_jobs[5])
    assert account.page_with(5) is not None
    account.pages.missed(account.tracked_jobs[5])
    assert account.page_with(5) is None
    account.read(account.page_with(19), account.row(5))
    assert account.page_with(5) is not None
