"""Polling many tasks with one request, where the provider has a list that can be relied on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
POLL = hh.PollSchedule(interval=0.05, first_after=0.1)


class Videos:
    """The tasks of an account at the fifth provider, its own and those of others."""

    def __init__(self, gateway: Gateway, *, largest_page: int = 50) -> None:
        self.words: dict[str, str] = {}
        self.lists: list[list[str]] = []
        self.listed: Callable[[str, str], str | None] = lambda _, word: word
        self.broken_from = math.inf
        self._gateway = gateway
        self._largest_page = largest_page
        gateway.on("POST", "/videos", self._take)
        gateway.on("GET", "/videos/*", lambda seen: self._video(seen.path.rpartition("/")[2]))
        gateway.on("GET", "/videos", self.page)

    def _take(self, _: Any) -> Any:
        return self._video(self.add())

    def add(self) -> str:
        name = f"t-{len(self.words)}"
        self.words[name] = "queued"
        return name

    def end(self) -> None:
        """Let all tasks end."""
        self.words = dict.fromkeys(self.words, "done")

    @property
    def queries(self) -> int:
        """How many tasks were queried."""
        return len(self._gateway.seen("GET", "/videos/*"))

    def _video(self, name: str, word: str | None = None) -> dict[str, Any]:
        word = word or self.words[name]
        urls = [f"{self._gateway.url}/files/{name}.mp4"] if word == "done" else []
        return {"id": name, "status": word, "urls": urls}

    def page(self, seen: Any) -> Any:
        query = {name: int(values[0]) for name, values in parse_qs(urlsplit(seen.target).query).items()}
        if query["page"] >= self.broken_from:
            late = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, late.set)
            return self._gateway.reply({}, status=502, after=late)
        size = min(query["size"], self._largest_page)
        newest_first = [*reversed(self.words)][(query["page"] - 1) * size :][:size]
        rows = [(name, self.listed(name, self.words[name])) for name in newest_first]
        self.lists.append(newest_first)
        return {"tasks": [self._video(name, word) for name, word in rows if word], "size": size, "more": True}


def adapter(fifth: Fifth, *, whole: bool = False, **methods: Any) -> hh.Adapter:
    """Make the adapter of a provider whose list is live."""

    def decode_list(self: Any, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        answer = self._object(response, account)
        tasks = [self._task(row, account) for row in answer["tasks"]]
        return hh.TaskPage(
            tasks=tuple(task if whole else evolve(task, videos=()) for task in tasks), size=answer["size"]
        )

    plain = fifth.adapter()
    capabilities = evolve(plain.capabilities, list_is_live=True, list_has_results=whole, callbacks=True)
    made: hh.Adapter = fifth.adapter(capabilities=capabilities, **{"decode_list": decode_list, **methods})
    return made


async def submit(client: hh.Client, number: int) -> list[hh.TaskHandle]:
    """Submit *number* tasks, one after the other."""
    return [await client.submit(REQUEST) for _ in range(number)]


async def wait_for(handles: list[hh.TaskHandle]) -> list[hh.Task]:
    """Wait for all videos."""
    return await asyncio.gather(*(handle.wait(10) for handle in handles))


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def until_queried_again(gateway: Gateway, numbers: range) -> None:
    """Wait until each of these tasks was queried once more."""
    times = {number: len(gateway.seen("GET", f"/videos/t-{number}")) for number in numbers}
    await until(lambda: all(len(gateway.seen("GET", f"/videos/t-{number}")) > times[number] for number in numbers))


async def test_one_list_request_polls_many_tasks(gateway: Gateway, fifth: Fifth) -> None:
    """Hardly any running task is queried; each that has ended is queried once."""
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: len(videos.lists) >= 5)
        before = videos.queries
        videos.end()
        tasks = await wait_for(handles)

    # The first were due before the others were close to it.
    assert before <= 8
    assert videos.queries <= before + 20
    assert [handle.id for handle in handles] == [task.id for task in tasks]
    assert all(task.video_url for task in tasks)


async def test_a_list_with_whole_tasks_makes_queries_unnecessary(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth, whole=True), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: videos.lists)
        videos.end()
        tasks = await wait_for(handles)

    assert videos.queries <= 8
    assert all(task.video_url for task in tasks)


async def test_two_tasks_are_queried_since_a_page_would_not_pay(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 2)
        await until(lambda: videos.queries > 5)
        videos.end()
        await wait_for(handles)

    assert [] == videos.lists


async def test_a_list_that_is_not_live_is_not_used(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)

    async with fifth.open(poll=POLL) as client:
        handles = await submit(client, 10)
        await until(lambda: videos.queries > 20)
        videos.end()
        await wait_for(handles)

    assert [] == videos.lists


@pytest.mark.parametrize("foreign", [30, 120])
async def test_tasks_of_others_before_ours_do_not_hide_an_end(gateway: Gateway, fifth: Fifth, foreign: int) -> None:
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        for _ in range(foreign):
            videos.add()
        await until(lambda: len(videos.lists) >= 20)
        before = videos.queries
        videos.end()
        await wait_for(handles)

    assert before <= 20
    assert videos.queries <= before + 20


async def test_pages_show_several_of_our_tasks_although_others_submit_as_many(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway, largest_page=10)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles: list[hh.TaskHandle] = []
        for _ in range(30):
            handles += await submit(client, 1)
            videos.add()
        queries = math.inf
        async with asyncio.timeout(20):
            while queries > 20:
                before, lists = videos.queries, len(videos.lists)
                while len(videos.lists) < lists + 20:
                    await asyncio.sleep(0.005)
                queries = videos.queries - before
        videos.end()
        await wait_for(handles)


async def test_pages_smaller_than_requested_are_addressed_correctly(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway, largest_page=10)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 60)
        await until(lambda: {name for page in videos.lists for name in page} >= {handle.id for handle in handles})
        before = videos.queries
        videos.end()
        await wait_for(handles)

    assert before <= 30
    assert all(len(page) <= 10 for page in videos.lists)


async def test_a_task_that_the_list_leaves_out_is_queried(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)
    videos.listed = lambda name, word: None if name in ("t-3", "t-4") else word

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: gateway.seen("GET", "/videos/t-3") and gateway.seen("GET", "/videos/t-4"))
        videos.end()
        await wait_for(handles)


async def test_a_task_with_an_unknown_status_in_the_list_is_queried(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)
    videos.listed = lambda _, __: "pondering"

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(
            lambda: {seen.path for seen in gateway.seen("GET", "/videos/*")} >= {f"/videos/{h.id}" for h in handles}
        )
        videos.end()
        await wait_for(handles)


async def test_a_list_that_never_shows_an_end_is_abandoned_and_loses_no_task(
    gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture
) -> None:
    videos = Videos(gateway)
    videos.listed = lambda _, __: "running"

    async with fifth.open(adapter(fifth), poll=hh.PollSchedule(interval=0.01)) as client:
        while "not up to date" not in caplog.text:
            handles = await submit(client, 20)
            videos.end()
            await wait_for(handles)


async def test_with_a_short_interval_a_list_is_audited_as_often(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)
    videos.listed = lambda _, __: "running"

    async with fifth.open(adapter(fifth), poll=hh.PollSchedule(interval=0.2)) as client:
        handles = await submit(client, 20)
        await until(lambda: len(videos.lists) >= 3)
        videos.end()
        await wait_for(handles)

    assert len(videos.lists) < 20


async def test_an_end_in_the_list_is_confirmed_by_a_query(gateway: Gateway, fifth: Fifth) -> None:
    """A list that shows ends too early is not used any more."""
    videos = Videos(gateway)
    videos.listed = lambda _, __: "done"

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: videos.queries >= 60)
        lists = len(videos.lists)
        undone = [handle for handle in handles if handle.task and handle.task.status.is_terminal]
        videos.end()
        await wait_for(handles)

    assert [] == undone
    assert lists == len(videos.lists) < 10


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_a_list_that_is_refused_costs_a_few_requests_and_no_task(
    gateway: Gateway, fifth: Fifth, status: int
) -> None:
    videos = Videos(gateway)
    gateway.on("GET", "/videos", status)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: videos.queries >= 20)
        videos.end()
        await wait_for(handles)

    assert 1 <= len(gateway.seen("GET", "/videos")) <= 20


@pytest.mark.fault(37)
async def test_the_retry_after_of_the_list_is_honoured(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)
    pause = gateway.reply({}, status=503, headers={"Retry-After": "0.4"})
    gateway.on("GET", "/videos", pause, videos.page)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: len(gateway.seen("GET", "/videos")) > 1)
        videos.end()
        await wait_for(handles)

    first, second, *_ = gateway.seen("GET", "/videos")
    assert 0.4 <= second.at - first.at


async def test_the_tasks_of_a_page_that_fails_are_queried(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway, largest_page=10)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 20)
        videos.broken_from = 2
        await until_queried_again(gateway, range(10))
        videos.end()
        await wait_for(handles)


async def test_a_list_that_shows_new_tasks_late_loses_none(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)
    videos.listed = lambda name, word: None if int(name[2:]) >= 20 else word

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 30)
        await until(lambda: len(videos.lists) >= 10)
        await until_queried_again(gateway, range(20, 30))
        videos.end()
        await wait_for(handles)


async def test_a_page_shows_the_end_of_a_task_that_is_not_due_for_long(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 12)
        called = await client.submit(REQUEST, callback_url="https://app.example/hook")
        await until(lambda: len(videos.lists) >= 3)
        videos.words["t-12"] = "done"
        task = await called.wait(5)
        videos.end()
        await wait_for(handles)

    assert "t-12" == task.id


async def test_an_adapter_that_fails_to_read_the_list_loses_no_task(
    gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture
) -> None:
    videos = Videos(gateway)

    def decode_list(*_: object) -> hh.TaskPage:
        raise RuntimeError("a bug")

    async with fifth.open(adapter(fifth, decode_list=decode_list), poll=POLL) as client:
        handles = await submit(client, 20)
        await until(lambda: videos.queries >= 20)
        videos.end()
        await wait_for(handles)

    assert "cannot read" in caplog.text


async def test_a_change_that_only_the_list_shows_reaches_the_caller(gateway: Gateway, fifth: Fifth) -> None:
    """And a status never goes back."""
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 10)
        changes = handles[3].updates()
        seen = [(await anext(changes)).status]
        videos.words = dict.fromkeys(videos.words, "running")
        seen.append((await anext(changes)).status)
        videos.words = dict.fromkeys(videos.words, "queued")
        lists = len(videos.lists)
        await until(lambda: len(videos.lists) > lists + 3)
        videos.end()
        seen += [task.status async for task in changes]

    assert [hh.TaskStatus.PENDING, hh.TaskStatus.RUNNING, hh.TaskStatus.SUCCEEDED] == seen


async def test_the_error_of_a_failed_task_comes_from_a_query(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth, whole=True), poll=POLL) as client:
        handles = await submit(client, 10)
        await until(lambda: videos.lists)
        before = videos.queries
        videos.words = dict.fromkeys(videos.words, "failed")
        for handle in handles:
            with pytest.raises(hh.TaskFailedError):
                await handle.wait(10)

    assert 10 == videos.queries - before


async def test_a_refused_key_ends_the_wait_for_one_task_and_the_list_goes_on(gateway: Gateway, fifth: Fifth) -> None:
    videos = Videos(gateway)

    async with fifth.open(adapter(fifth), poll=POLL) as client:
        handles = await submit(client, 12)
        await until(lambda: videos.lists)
        gateway.on("GET", "/videos/t-5", 401)
        videos.words["t-5"] = "done"
        with pytest.raises(hh.AuthenticationError):
            await handles[5].wait(10)
        lists = len(videos.lists)
        await until(lambda: len(videos.lists) > lists)
        videos.end()
        await wait_for([handle for handle in handles if handle.id != "t-5"])

    assert 1 == len(gateway.seen("GET", "/videos/t-5"))
