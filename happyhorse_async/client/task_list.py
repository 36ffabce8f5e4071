"""The tasks of an account, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Protocol

from ..adapter import PageRequest, TaskPage
from ..task import Task, TaskRef


class FetchPage(Protocol):
    """A function that requests a page."""

    async def __call__(self, page: PageRequest) -> TaskPage:
        """Request *page*."""
        ...


class TaskList:
    """
    The tasks of an account, newest first.

    Iterate over it with `async for`, which requests pages as needed; or await it for a list of all. Each task comes
    once, although a new task shifts the others on to the next page.
    """

    def __init__(self, fetch_page: FetchPage, *, limit: int | None) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be at least 0, not {limit}")
        self._fetch_page = fetch_page
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[Task]:
        seen: set[TaskRef] = set()
        page: PageRequest | None = PageRequest()
        while page is not None and len(seen) != self._limit:
            answer, known = await self._fetch_page(page), len(seen)
            for task in answer.tasks:
                if task.ref not in seen and len(seen) != self._limit:
                    seen.add(task.ref)
                    yield task
            # A provider that returns the same page for every number would never end.
            page = answer.next if len(seen) > known or not answer.tasks else None

    def __await__(self) -> Generator[object, None, list[Task]]:
        return self._all().__await__()

    async def _all(self) -> list[Task]:
        return [task async for task in self]
