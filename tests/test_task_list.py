"""The tasks of an account, page by page."""

from __future__ import annotations

import pytest
from attrs import evolve

from happyhorse_async.adapter import PageRequest, TaskPage
from happyhorse_async.client import TaskList
from happyhorse_async.errors import ProviderError
from happyhorse_async.task import Task, TaskRef, TaskStatus

TASKS = tuple(Task(ref=TaskRef("main", str(number)), status=TaskStatus.PENDING) for number in range(7))


class Account:
    """An account whose tasks come two on a page, and which counts the pages that were asked for."""

    def __init__(self, tasks: tuple[Task, ...] = TASKS) -> None:
        self.tasks = tasks
        self.asked: list[int] = []

    async def page(self, page: PageRequest) -> TaskPage:
        """Bring a page, and name the next one where there is one."""
        self.asked.append(page.number)
        end = page.number * 2
        more = end < len(self.tasks)
        return TaskPage(tasks=self.tasks[end - 2 : end], next=evolve(page, number=page.number + 1) if more else None)


async def test_all_of_them() -> None:
    """Awaited, a list has every task, in order, from as many pages as there are."""
    account = Account()

    assert list(TASKS) == await TaskList(account.page, limit=None)
    assert [1, 2, 3, 4] == account.asked


async def test_one_after_the_other() -> None:
    """Iterated over, a list asks for a page only when it is needed."""
    account = Account()
    seen: list[Task] = []
    async for task in TaskList(account.page, limit=None):
        seen.append(task)
        if len(seen) == 3:
            break

    assert list(TASKS[:3]) == seen
    assert [1, 2] == account.asked


@pytest.mark.parametrize(
    ("limit", "count", "pages"),
    [(0, 0, []), (1, 1, [1]), (2, 2, [1]), (3, 3, [1, 2]), (7, 7, [1, 2, 3, 4]), (99, 7, [1, 2, 3, 4])],
)
async def test_no_more_than_asked_for(limit: int, count: int, pages: list[int]) -> None:
    """A limit is kept exactly, and no page is asked for beyond it."""
    account = Account()

    assert list(TASKS[:count]) == await TaskList(account.page, limit=limit)
    assert pages == account.asked


def test_a_limit_below_zero() -> None:
    """A negative limit means nothing and is refused."""
    with pytest.raises(ValueError, match="limit must be at least 0, not -1"):
        TaskList(Account().page, limit=-1)


async def test_an_empty_account() -> None:
    """An account without tasks has an empty list."""

    assert [] == await TaskList(Account(()).page, limit=None)


async def test_a_page_may_be_empty() -> None:
    """A page on which nothing could be read does not end the list while another is announced."""

    async def page(page: PageRequest) -> TaskPage:
        return TaskPage(tasks=()) if page.number > 1 else TaskPage(tasks=(), next=evolve(page, number=2))

    async def second(page: PageRequest) -> TaskPage:
        return TaskPage(tasks=TASKS) if page.number > 1 else TaskPage(tasks=(), next=evolve(page, number=2))

    assert [] == await TaskList(page, limit=None)
    assert list(TASKS) == await TaskList(second, limit=None)


async def test_a_list_can_be_read_again() -> None:
    """Each reading begins with the first page."""
    account = Account(TASKS[:2])
    tasks = TaskList(account.page, limit=None)

    assert list(TASKS[:2]) == await tasks
    assert list(TASKS[:2]) == [task async for task in tasks]
    assert [1, 1] == account.asked


async def test_a_page_that_fails() -> None:
    """An error on the way reaches the reader after the tasks before it."""
    account = Account()
    seen: list[Task] = []

    async def page(page: PageRequest) -> TaskPage:
        if page.number == 2:
            raise ProviderError("busy")
        return await account.page(page)

    async def read() -> None:
        async for task in TaskList(page, limit=None):
            seen.append(task)  # noqa: PERF401 - a comprehension would lose them

    with pytest.raises(ProviderError, match="busy"):
        await read()

    assert list(TASKS[:2]) == seen


async def test_a_task_that_comes_meanwhile() -> None:
    """What moves on to the next page while the list is read is there once."""
    account = Account()
    seen: list[Task] = []
    async for task in TaskList(account.page, limit=None):
        seen.append(task)
        if len(seen) == 2:
            newer = Task(ref=TaskRef("main", "newer"), status=TaskStatus.PENDING)
            account.tasks = (newer, *account.tasks)

    assert list(TASKS) == seen


async def test_the_same_page_for_every_number() -> None:
    """A provider that does not look at the number of the page is asked for two."""
    asked: list[int] = []

    async def page(page: PageRequest) -> TaskPage:
        asked.append(page.number)
        return TaskPage(tasks=TASKS, next=evolve(page, number=page.number + 1))

    assert list(TASKS) == await TaskList(page, limit=None)
    assert [1, 2] == asked
