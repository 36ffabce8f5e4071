"""The client: opening and closing, one look, another day's tasks, lists, plans."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.registry import adapter_names

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

KEY = "sk-canary-0451-never-to-be-seen"
REQUEST = hh.TextToVideo("a train at night")


async def test_a_video(gateway: Gateway, fifth: Fifth) -> None:
    """One request, one task, one video."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")

    async with fifth.open() as client:
        task = await client.generate(REQUEST)

    assert ("fifth", "t-1", hh.TaskStatus.SUCCEEDED) == (task.provider, task.id, task.status)
    assert f"{gateway.url}/files/t-1.mp4?signature=s3cr3t" == task.video_url
    (seen,) = gateway.seen("POST")
    assert {"prompt": "a train at night", "model": "fifth-t2v"} == json.loads(seen.body)


@pytest.mark.fault(89)
@pytest.mark.parametrize(
    "image", [b"\x89PNG", Path("no such.png"), Path("/dev/zero")], ids=["bytes", "gone", "endless"]
)
@pytest.mark.parametrize("provider", adapter_names())
async def test_an_image_that_is_none(gateway: Gateway, provider: str, image: bytes | Path) -> None:
    """A file that is no picture is refused before anything is written down or sent, and a device is not opened."""
    async with hh.Client(provider, api_key=KEY, base_url=gateway.url) as client:
        for ask in (client.submit, client.enqueue):
            with pytest.raises((hh.UnsupportedFeatureError, hh.InvalidRequestError), match=r"^image: "):
                await ask(hh.ImageToVideo(image))
        pending = await client.pending()

    assert [] == gateway.requests
    assert [] == pending


async def test_a_generation_that_takes_too_long(gateway: Gateway, fifth: Fifth) -> None:
    """The timeout of `generate` leaves the task and names it."""
    gateway.accept("t-1")
    gateway.show("t-1", "running", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.05)) as client:
        with pytest.raises(hh.WaitTimeoutError) as raised:
            await client.generate(REQUEST, timeout=0.01)
        task = await client.resume(str(raised.value.ref))

    assert "t-1" == task.id
    assert 1 == len(gateway.seen("POST"))


async def test_leaving_what_was_enqueued(gateway: Gateway, fifth: Fifth) -> None:
    """What was enqueued is sent, though somebody asks for it under the same key and leaves."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "running")
    gateway.show("t-2", "done")

    async with fifth.open(limits=hh.Limits(submits_per_second=1)) as client:
        await client.enqueue(hh.TextToVideo("first"))
        handle = await client.enqueue(REQUEST, key="order-8472")
        asking = asyncio.create_task(client.submit(REQUEST, key="order-8472"))
        await gateway.until(1, "POST")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        task = await handle

    assert "t-2" == task.id
    assert 2 == len(gateway.seen("POST"))


async def test_resuming_only_looks(gateway: Gateway, fifth: Fifth) -> None:
    """A task of another day is taken up by its name: nothing is sent at first, and nothing is paid ever."""
    gateway.show("a:b/c", "running", "done")

    async with fifth.open() as client:
        handle = client.resume("fifth:a:b/c")
        await asyncio.sleep(0.03)
        quiet = len(gateway.requests)
        task = await handle

    assert 0 == quiet
    assert "a:b/c" == task.id
    assert [] == gateway.seen("POST")


@pytest.mark.parametrize("ref", ["hiapi:t-1", "t-1", "fifth:", ":t-1", "", "FIFTH:t-1", hh.TaskRef("main", "t-1")])
async def test_a_name_of_somebody_else(gateway: Gateway, fifth: Fifth, ref: str | hh.TaskRef) -> None:
    """A ref of an unknown provider is a configuration error, any other text an unknown task; nothing is sent."""
    is_ref = ref in ("hiapi:t-1", hh.TaskRef("main", "t-1"))
    error = hh.ConfigurationError if is_ref else hh.TaskNotFoundError
    async with fifth.open() as client:
        with pytest.raises(error):
            client.resume(ref)
        for call in (client.fetch, client.cancel, client.job):
            with pytest.raises(error):
                await call(ref)

    assert [] == gateway.requests


async def test_one_look(gateway: Gateway, fifth: Fifth) -> None:
    """A look returns what is seen, without waiting and without judging."""
    gateway.show("t-1", "running", "failed", {"id": "t-1", "status": "done", "urls": []})

    async with fifth.open() as client:
        seen = [await client.fetch("fifth:t-1") for _ in range(3)]

    assert [hh.TaskStatus.RUNNING, hh.TaskStatus.FAILED, hh.TaskStatus.FAILED] == [task.status for task in seen]
    assert seen[2].error is not None
    assert hh.FailureReason.NO_OUTPUT is seen[2].error.reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (404, hh.TaskNotFoundError),
        (401, hh.AuthenticationError),
        (429, hh.RateLimitError),
        (502, hh.ProviderError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", hh.TransportError),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", hh.TransportError),
        ({"id": "t-2", "status": "done", "urls": ["https://other.example"]}, hh.InvalidResponseError),
    ],
)
async def test_a_look_that_fails(
    gateway: Gateway, fifth: Fifth, answer: int | bytes | dict[str, Any], expected: type[hh.HappyHorseError]
) -> None:
    """A look that fails is raised at once, with the task it was about."""
    gateway.show("t-1", answer)

    async with fifth.open() as client:
        with pytest.raises(expected) as raised:
            await client.fetch("fifth:t-1")

    assert expected is type(raised.value)
    assert ("fifth", "fifth:t-1") == (raised.value.provider, str(raised.value.ref))
    assert 1 == len(gateway.requests)


async def test_an_answer_without_what_matters(gateway: Gateway) -> None:
    """An object that lacks a field is an error with the field's path, and with the status it came with."""
    gateway.on("GET", "/v1/videos/tasks/t-1", {"task_id": "t-1"})

    async with hh.Client("imini", api_key="any", base_url=gateway.url) as client:
        with pytest.raises(hh.InvalidResponseError) as raised:
            await client.fetch("imini:t-1")

    assert ("status", 200) == (raised.value.path, raised.value.status_code)


async def test_a_list(gateway: Gateway, fifth: Fifth) -> None:
    """The tasks of the account come page by page, as one list or one by one."""
    pages: dict[str, dict[str, Any]] = {
        "1": {"tasks": [{"id": "t-4", "status": "running"}, {"id": "t-3", "status": "done"}], "more": True},
        "2": {"tasks": [], "more": True},
        "3": {"tasks": [{"id": "t-1", "status": "dreaming"}]},
    }
    gateway.on("GET", "/videos", lambda seen: pages[seen.target.partition("page=")[2][0]])

    async with fifth.open() as client:
        awaited = await client.list_tasks()
        iterated = [task.id async for task in client.list_tasks()]
        limited = [task.id for task in await client.list_tasks(limit=1)]
        before = len(gateway.requests)
        async for _ in client.list_tasks():
            break

    assert ["t-4", "t-3", "t-1"] == [task.id for task in awaited] == iterated
    assert ["t-4"] == limited
    assert 3 + 3 + 1 == before
    assert before + 1 == len(gateway.requests)


async def test_a_list_that_fails(gateway: Gateway, fifth: Fifth) -> None:
    """A page that cannot be had ends the list with the reason."""
    gateway.on("GET", "/videos", {"tasks": [{"id": "t-1", "status": "done"}], "more": True}, 502)

    async with fifth.open() as client:
        with pytest.raises(hh.ProviderError):
            await client.list_tasks()


async def test_what_a_provider_lacks(gateway: Gateway, fifth: Fifth) -> None:
    """An operation that the provider does not have is refused before anything is sent."""

    def without(self: hh.Adapter, *arguments: Any) -> Any:
        raise self.unsupported("such thing", arguments[-1])

    async with fifth.open(fifth.adapter(encode_list=without, encode_cancel=without)) as client:
        with pytest.raises(hh.UnsupportedFeatureError):
            await client.list_tasks()
        with pytest.raises(hh.UnsupportedFeatureError):
            await client.cancel("fifth:t-1")
        with pytest.raises(hh.UnsupportedFeatureError, match="image-to-video"):
            await client.submit(hh.ImageToVideo("https://example.org/frame.png"))
        with pytest.raises(hh.UnsupportedFeatureError, match="callbacks"):
            await client.submit(REQUEST, callback_url="https://app.example/hook")
        with pytest.raises(hh.InvalidRequestError, match="resolution"):
            await client.submit(hh.TextToVideo("a train", resolution="8K"))

    assert [] == gateway.requests


async def test_a_plan(gateway: Gateway, fifth: Fifth) -> None:
    """A plan says what would be sent, byte for byte, and sends nothing."""
    gateway.accept("t-1")
    plan = fifth.client().plan(REQUEST)
    planned = len(gateway.requests)

    async with fifth.open(poll=hh.PollSchedule(interval=3600)) as client:
        await client.submit(REQUEST)

    assert 0 == planned
    assert ("fifth", "fifth-t2v") == (plan.provider, plan.model)
    assert [seen.body for seen in gateway.requests] == [message.body for message in plan.messages]
    assert "sk-canary" not in repr(plan)


async def test_a_client_that_is_not_open(fifth: Fifth) -> None:
    """Outside its `async with` a client says that it is not open, whatever it is asked."""
    client = fifth.client()
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED)

    for use in (
        lambda: client.submit(REQUEST),
        lambda: client.generate(REQUEST),
        lambda: client.fetch("fifth:t-1"),
        lambda: client.cancel("fifth:t-1"),
        lambda: client.download(task, "train.mp4"),
    ):
        with pytest.raises(RuntimeError, match="not open"):
            await use()
    for ask in (lambda: client.resume("fifth:t-1"), lambda: client.generate_many([]), client.list_tasks):
        with pytest.raises(RuntimeError, match="not open"):
            ask()


async def test_a_client_opens_once_at_a_time(fifth: Fifth) -> None:
    """A client that is open cannot be opened once more; one that was closed can, and closing twice does no harm."""
    client = fifth.client()

    async with client:
        with pytest.raises(RuntimeError, match="already open"):
            await client.__aenter__()
    await client.aclose()
    async with client:
        pass


@pytest.mark.fault(79)
async def test_another_event_loop(fifth: Fifth) -> None:
    """A client that is open on one event loop cannot be used on another."""
    async with fifth.open() as client:
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, client.fetch("fifth:t-1"))


async def test_one_budget_for_two_clients(gateway: Gateway, fifth: Fifth) -> None:
    """Clients that are given the same limits share one budget."""
    numbers = iter(range(10))
    gateway.on("POST", "/videos", lambda seen: {"id": f"t-{next(numbers)}", "status": "queued"})
    limits = hh.Limits(submits_per_second=5)
    slowly = hh.PollSchedule(interval=3600)

    async with fifth.client(limits=limits, poll=slowly) as first, fifth.client(limits=limits, poll=slowly) as second:
        await asyncio.gather(*(client.submit(REQUEST) for client in (first, second) for _ in range(5)))

    times = [seen.at for seen in gateway.requests]
    assert all(later - earlier > 0.95 for earlier, later in zip(times, times[5:], strict=False))


async def test_submits_at_once(gateway: Gateway, fifth: Fifth) -> None:
    """No more submits are on the way at the same time than the limits allow."""
    numbers = iter(range(9))
    answer = asyncio.Event()
    gateway.on(
        "POST",
        "/videos",
        lambda seen: gateway.reply({"id": f"t-{next(numbers)}", "status": "queued"}, after=answer),
    )

    adapter = fifth.adapter(idempotent=True)
    limits = hh.Limits(max_concurrent_submits=3)
    async with fifth.open(adapter, limits=limits, poll=hh.PollSchedule(interval=3600)) as client:
        submitting = asyncio.gather(*(client.submit(REQUEST) for _ in range(9)))
        await gateway.until(3, "POST")
        await asyncio.sleep(0.02)
        at_once = len(gateway.requests)
        answer.set()
        await submitting

    assert 3 == at_once
    assert 9 == len(gateway.requests)


async def test_the_name_of_a_configuration_section(gateway: Gateway, fifth: Fifth) -> None:
    """A client made by hand has its adapter's name; refs and errors carry it."""
    assert "fifth" == fifth.client().provider


@pytest.mark.fault(87)
@pytest.mark.parametrize("key", ["", "  ", "sk-1\r\nX-Evil: 1", "sk-ключ"])
def test_a_key_that_is_none(fifth: Fifth, key: str) -> None:
    """A key that no header can carry is refused at once, and not shown."""
    with pytest.raises(hh.ConfigurationError) as raised:
        fifth.client(api_key=key)

    assert key.strip() == "" or key not in str(raised.value)


def test_the_key_of_the_environment(fifth: Fifth, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not given is read from the adapter's variable, which the error names when it is not set."""
    monkeypatch.delenv("FIFTH_API_KEY", raising=False)

    with pytest.raises(hh.ConfigurationError, match="FIFTH_API_KEY"):
        fifth.client(api_key=None)
    monkeypatch.setenv("FIFTH_API_KEY", "sk-of-the-environment")
    assert "fifth" == fifth.client(api_key=None).provider


def test_importing_is_light() -> None:
    """Neither the import nor making a client loads aiohttp: a command line has to answer at once."""
    code = "import sys, happyhorse_async as hh; hh.Client('hiapi', api_key='sk'); print('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()
