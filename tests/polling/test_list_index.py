"""Which page of the list shows which task, and when the list is not used."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import happyhorse_async as hh
from happyhorse_async.polling.list_index import ListIndex, Page
from happyhorse_async.tracked_job import TrackedJob

RUNNING, DONE, EXPIRED = hh.TaskStatus.RUNNING, hh.TaskStatus.SUCCEEDED, hh.TaskStatus.EXPIRED


def tracked_task(ref: hh.TaskRef) -> TrackedJob:
    """Make the job of a task that nothing is known of."""
    endpoint = hh.Endpoint(provider=ref.provider, adapter="fifth", base_url="https://fifth.example")
    job = hh.Job(
        job_id="job",
        endpoint=endpoint,
        model="",
        created_at=datetime.now(UTC),
        state=hh.JobState.ACCEPTED,
        task_id=ref.id,
    )
    return TrackedJob(job)


class Account:
    """The tasks of a client, and a list of them."""

    def __init__(self, number: int) -> None:
        self.index = ListIndex(is_usable=True, interval=15.0)
        self.tracked_jobs: list[TrackedJob] = []
        self.known: dict[hh.TaskRef, TrackedJob] = {}
        for _ in range(number):
            self.submit()

    def submit(self) -> TrackedJob:
        tracked = tracked_task(hh.TaskRef("fifth", f"t-{len(self.tracked_jobs)}"))
        self.tracked_jobs.append(tracked)
        self.index.add(tracked)
        assert tracked.ref is not None
        self.known[tracked.ref] = tracked
        return tracked

    def row(self, number: int, status: hh.TaskStatus = RUNNING) -> hh.Task:
        ref = self.tracked_jobs[number].ref
        assert ref is not None
        return hh.Task(ref=ref, status=status)

    def end(self, number: int, now: float, status: hh.TaskStatus = DONE) -> None:
        self.index.queried(self.tracked_jobs[number])
        self.tracked_jobs[number].observe(self.row(number, status))
        self.index.remove(self.tracked_jobs[number], now)

    def page_for(self, number: int, now: float = 1.0) -> Page | None:
        return self.index.page_for(self.tracked_jobs[number], now)

    def read(self, page: Page | None, *rows: hh.Task, size: int | None = None) -> list[hh.TaskRef | None]:
        assert page is not None
        found = self.index.read(page, hh.TaskPage(tasks=rows, size=size), self.known.get)
        return [tracked.ref for tracked, _ in found]

    def show(self, now: float, *ended: int) -> None:
        """Read a page that shows all tasks, of which those numbered *ended* have ended."""
        newest_first = reversed(range(len(self.tracked_jobs)))
        rows = [self.row(number, DONE if number in ended else RUNNING) for number in newest_first]
        self.read(self.page_for(len(self.tracked_jobs) - 1, now), *rows)


class SharedAccount(Account):
    """An account that others use as well, and its list."""

    def __init__(self, size: int = 10) -> None:
        super().__init__(0)
        self._size = size
        self._oldest_first: list[hh.Task] = []

    def submit(self) -> TrackedJob:
        tracked = super().submit()
        self._oldest_first.append(self.row(tracked.poll.position.number - 1))
        return tracked

    def others(self, number: int = 1) -> None:
        """Let others submit *number* tasks."""
        for _ in range(number):
            ref = hh.TaskRef("fifth", f"other-{len(self._oldest_first)}")
            self._oldest_first.append(hh.Task(ref=ref, status=RUNNING))

    def poll(self, number: int) -> bool:
        """Request the page for one task, and return whether the page shows it."""
        self.index.queried(self.tracked_jobs[number])
        page = self.page_for(number)
        assert page is not None
        newest_first = self._oldest_first[::-1]
        rows = newest_first[(page.request.number - 1) * self._size :][: self._size]
        if not (found := self.tracked_jobs[number].ref in self.read(page, *rows, size=self._size)):
            self.index.missing(self.tracked_jobs[number])
        return found

    def find(self, number: int) -> int:
        """Request pages until one shows the task, and return how many it took."""
        for page in range(1, 100):
            if self.poll(number):
                return page
        raise AssertionError("it was not found")

    def misses(self) -> int:
        """Request a page for each task, and count those that are not where they should be."""
        return sum(not self.poll(number) for number in range(len(self.tracked_jobs)))


def test_a_task_is_found_again_in_the_row_in_which_it_was_seen() -> None:
    account = SharedAccount()
    for number in range(200):
        account.submit()
        account.others(number % 3)
        account.poll(number)

    assert 0 == account.misses()


def test_a_new_task_is_found_by_what_pages_have_shown_of_the_others() -> None:
    account = SharedAccount()
    for _ in range(200):
        account.submit()
        account.poll(0)
        account.others()

    assert 20 >= account.misses()


@pytest.mark.parametrize("others", [10, 35, 200])
def test_many_new_tasks_of_others_are_noticed_on_one_page_for_all_tasks(others: int) -> None:
    account = SharedAccount()
    for _ in range(200):
        account.submit()
    account.others(others)

    assert 5 >= account.find(50)
    assert 0 == account.misses()


def test_a_list_with_few_of_our_tasks_on_a_page_is_not_used() -> None:
    account = SharedAccount()
    for _ in range(200):
        account.submit()
        account.others(9)
    polls = 0
    while account.page_for(polls % 200) is not None:
        account.poll(polls % 200)
        polls += 1

    assert 60 >= polls


def test_a_task_that_the_list_cannot_show_yet_is_queried() -> None:
    account = Account(10)
    account.read(account.page_for(9), *(account.row(number) for number in range(4, -1, -1)))

    assert account.page_for(9) is None
    page = account.page_for(4)
    assert page is not None
    assert account.tracked_jobs[4] in account.index.expected_on(page)


def test_a_task_is_expected_on_the_page_that_is_requested_for_it() -> None:
    account = Account(120)
    for rows in (range(100, 50, -1), range(30), range(119, 90, -1)):
        account.read(account.page_for(60), *(account.row(number) for number in rows), size=7)
        for number, tracked in enumerate(account.tracked_jobs):
            page = account.page_for(number)
            assert page is None or tracked in account.index.expected_on(page)


def test_tasks_accepted_while_a_page_is_in_flight_do_not_shift_positions() -> None:
    account = Account(60)
    page = account.page_for(59)
    for _ in range(45):
        account.submit()
    account.read(page, *(account.row(number) for number in range(59, 9, -1)))

    found = account.page_for(59)
    assert found is not None
    assert 1 == found.request.number
    assert account.tracked_jobs[59] in account.index.expected_on(found)


def test_an_absurd_page_size_is_limited() -> None:
    account = Account(3000)
    account.read(account.page_for(2999), account.row(2999), size=10**12)

    page = account.page_for(2999)
    assert page is not None
    assert len(account.index.expected_on(page)) <= 1000


def test_an_ended_task_without_a_position_teaches_nothing_about_positions() -> None:
    account = Account(200)
    unknown = tracked_task(hh.TaskRef("fifth", "old"))
    ended = hh.Task(ref=hh.TaskRef("fifth", "old"), status=DONE)
    unknown.observe(ended)
    account.index.remove(unknown, 1.0)
    before = account.page_for(0)
    account.read(account.page_for(199), ended)

    after = account.page_for(0)
    assert before is not None
    assert after is not None
    # As after any page that shows none of our tasks.
    assert before.request.number + 1 == after.request.number


def test_a_list_that_lags_behind_is_not_used_although_it_shows_older_ends() -> None:
    account = Account(20)
    account.end(0, 1.0)
    account.show(1.5, 0)
    account.end(1, 2.0)
    for now in (3.0, 4.0, 5.0):
        account.show(now, 0)

    assert account.page_for(19, 6.0) is None


def test_a_list_that_catches_up_in_time_stays_in_use() -> None:
    account = Account(20)
    for number in range(4):
        now = float(number)
        account.end(number, now)
        account.show(now + 0.1, *range(number))
        account.show(now + 0.2, *range(number))
        account.show(now + 0.3, *range(number + 1))

    assert account.page_for(19, 6.0) is not None


def test_a_task_that_expired_by_our_clock_is_no_mismatch() -> None:
    account = Account(20)
    for number in range(4):
        account.end(number, 1.0, EXPIRED)
    for now in (2.0, 3.0, 4.0):
        account.show(now)

    assert account.page_for(19, 5.0) is not None


@pytest.mark.parametrize("status", [DONE, EXPIRED])
def test_only_the_last_thousand_ends_are_remembered(status: hh.TaskStatus) -> None:
    account = Account(3000)
    for number in range(3000):
        account.end(number, 1.0, status)

    assert not account.index._tracked_jobs
    assert len(account.index._ended) <= 1000


def test_a_task_missing_from_three_pages_is_queried_and_then_gets_another_chance() -> None:
    account = Account(20)
    for _ in range(3):
        account.index.missing(account.tracked_jobs[5])

    assert account.page_for(5) is None
    account.index.queried(account.tracked_jobs[5])
    assert account.page_for(5) is not None
    account.index.missing(account.tracked_jobs[5])
    assert account.page_for(5) is None
    account.read(account.page_for(19), account.row(5))
    assert account.page_for(5) is not None
