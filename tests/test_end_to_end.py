"""
One program text for all four providers, from the request to the video on disk, against the emulator over real HTTP.

The name of the provider is all that changes. What a provider does not have is in one table, and asking for it is an
error that names those that have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import av
import pytest

import happyhorse_async as hh
from happyhorse_async.registry import adapter_names, find_adapter

PROVIDERS = adapter_names()

_ABLE = {name: find_adapter(name).capabilities for name in PROVIDERS}
LACKING: dict[str, set[str]] = {
    "edit": {name for name, able in _ABLE.items() if not any(spec.mode is hh.Mode.EDIT for spec in able.models)},
    "lists": {name for name, able in _ABLE.items() if not able.can_list},
    "cancels": {name for name, able in _ABLE.items() if not able.can_cancel},
    "callbacks": {name for name, able in _ABLE.items() if not able.callbacks},
}

FRAME = "https://media.example.org/frame.png"
CLIP = "https://media.example.org/clip.mp4"
HOOK = "https://app.example.org/hooks/happyhorse"
UNKNOWN_ID = "0385dc79-5ff8-4d82-bcb6-7f2b3c1d4e5f"

# What providers cannot tell apart, for lack of a code of their own.
BLURRED = {
    ("fal", hh.FailureReason.QUOTA_EXCEEDED): hh.FailureReason.UNKNOWN,
    ("fal", hh.FailureReason.RATE_LIMITED): hh.FailureReason.PROVIDER_FAULT,
    ("hiapi", hh.FailureReason.CONTENT_REJECTED): hh.FailureReason.UNKNOWN,
    ("hiapi", hh.FailureReason.QUOTA_EXCEEDED): hh.FailureReason.UNKNOWN,
    ("hiapi", hh.FailureReason.RATE_LIMITED): hh.FailureReason.PROVIDER_FAULT,
    ("imini", hh.FailureReason.TIMEOUT): hh.FailureReason.PROVIDER_FAULT,
    ("nexusflow", hh.FailureReason.QUOTA_EXCEEDED): hh.FailureReason.UNKNOWN,
}


def simulate_by_prompt(request: hh.VideoRequest, number: int) -> hh.SimulatedTask:
    """Let a prompt such as `PENDING`, `RUNNING` or `fail TIMEOUT` decide; any other succeeds after a moment."""
    word, _, reason = (request.prompt or "").partition(" ")
    if word == "PENDING":
        return hh.SimulatedTask(queue=math.inf)
    if word == "RUNNING":
        return hh.SimulatedTask(queue=0, run=math.inf)
    return hh.SimulatedTask(queue=6, run=24, failure=hh.FailureReason(reason) if word == "fail" else None)


@pytest.fixture
def happyhorse_emulator_options() -> Mapping[str, Any]:
    """Ten emulated minutes in a second, and courses by prompt."""
    return {"speed": 600.0, "scenario": hh.Scenario(choose=simulate_by_prompt), "api_key": "sk-right"}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """The name of each provider in turn."""
    name: str = request.param
    return name


class Account:
    """Clients of one provider, all in the name of one account."""

    def __init__(self, provider: str, emulator: hh.Emulator) -> None:
        self.provider = provider
        self._url = emulator.url(provider)

    def lacks(self, feature: str) -> bool:
        """Whether the provider's pages have no such thing."""
        return self.provider in LACKING.get(feature, set())

    def client(self, *, key: str = "sk-right", **schedule: Any) -> hh.Client:
        """Make a client that is in a hurry."""
        return hh.Client(
            self.provider,
            api_key=key,
            base_url=self._url,
            poll=hh.PollSchedule(**{"interval": 0.02, **schedule}),
            limits=hh.Limits(queries_per_second=1000, submits_per_second=1000),
        )


@pytest.fixture
def account(provider: str, happyhorse_emulator: hh.Emulator) -> Account:
    """Make clients of each provider in turn."""
    return Account(provider, happyhorse_emulator)


def picture(path: Path) -> tuple[str, float, int, int, int]:
    """Decode a whole video: its codec, its frames per second, how many there are, and their size."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 0)
        frames = list(container.decode(stream))
        return stream.codec_context.name, rate, len(frames), frames[-1].width, frames[-1].height


def test_a_test_need_not_be_asynchronous(happyhorse_emulator: hh.Emulator) -> None:
    """The fixture runs the emulator beside the test, whatever kind of test it is."""
    with urlopen(happyhorse_emulator.address) as answer:
        page = answer.read().decode()

    assert all(happyhorse_emulator.url(name) in page for name in PROVIDERS)


async def test_a_video_is_asked_for_and_brought_to_disk(account: Account, tmp_path: Path) -> None:
    """Three seconds in upright 720P become an H.264 file of 72 frames and that size, announced to its last byte."""
    received: list[tuple[int, int | None]] = []
    async with account.client() as client:
        task = await client.generate(hh.TextToVideo("a kite", resolution="720P", ratio="9:16", duration=3))
        path = await client.download(task, tmp_path / "kite.mp4", progress=lambda *step: received.append(step))

    assert tmp_path / "kite.mp4" == path
    assert ("h264", 24.0, 72, 720, 1280) == picture(path)
    assert (path.stat().st_size, path.stat().st_size) == received[-1]
    assert hh.TaskStatus.SUCCEEDED is task.status
    assert account.provider == task.provider


@pytest.mark.parametrize(
    ("mode", "request_"),
    [
        ("i2v", hh.ImageToVideo(FRAME, prompt="she turns", resolution="720P", duration=3)),
        ("r2v", hh.ReferenceToVideo("they meet", [FRAME, FRAME], resolution="720P", ratio="9:16", duration=3)),
        ("edit", hh.VideoEdit("make it snow", CLIP, images=[FRAME], resolution="720P")),
    ],
)
async def test_every_mode_makes_a_video(account: Account, mode: str, request_: hh.VideoRequest) -> None:
    """A mode is asked for in the same words everywhere; one that a provider lacks is an error that says who has it."""
    async with account.client() as client:
        if account.lacks(mode):
            with pytest.raises(hh.UnsupportedFeatureError) as raised:
                await client.submit(request_)
            assert set(PROVIDERS) - LACKING[mode] == set(raised.value.alternatives)
            return
        task = await client.generate(request_)

    assert hh.TaskStatus.SUCCEEDED is task.status
    assert task.video_url


async def test_updates_lead_to_the_end(account: Account) -> None:
    """The updates of a task begin before its end and stop with it, and the handle then has the task."""
    async with account.client() as client:
        handle = await client.submit(hh.TextToVideo("a kite"))
        seen = [task.status async for task in handle.updates()]
        task = await handle

    assert hh.TaskStatus.SUCCEEDED is seen[-1]
    assert set(seen[:-1]) <= {hh.TaskStatus.PENDING, hh.TaskStatus.RUNNING}
    assert len(seen) > 1
    assert task == handle.task
    assert task.video_url


async def test_a_task_is_looked_at_once(account: Account) -> None:
    """A fetch by ref, as text or object, says where a task stands."""
    async with account.client() as client:
        waiting = await client.submit(hh.TextToVideo("PENDING"))
        running = await client.submit(hh.TextToVideo("RUNNING"))

        assert hh.TaskStatus.PENDING is (await client.fetch(str(waiting.ref))).status
        assert hh.TaskStatus.RUNNING is (await client.fetch(hh.TaskRef.parse(str(running.ref)))).status


async def test_another_client_takes_a_task_up_by_its_ref(account: Account) -> None:
    """The text of a ref is all that another process needs to find what was paid for."""
    async with account.client() as client:
        stored = str((await client.submit(hh.TextToVideo("a kite"))).ref)
    async with account.client() as client:
        task = await client.resume(stored)

    assert stored == str(task.ref)
    assert stored.startswith(f"{account.provider}:")
    assert task.video_url


async def test_the_accounts_tasks_are_listed(account: Account) -> None:
    """The newest task stands first; a provider without a list says who has one."""
    async with account.client() as client:
        refs = [(await client.submit(hh.TextToVideo("PENDING"))).ref for _ in range(3)]
        if account.lacks("lists"):
            with pytest.raises(hh.UnsupportedFeatureError):
                await client.list_tasks()
            return

        assert refs[::-1] == [task.ref for task in await client.list_tasks()]
        assert refs[:0:-1] == [task.ref async for task in client.list_tasks(limit=2)]


async def test_a_task_is_cancelled_before_it_runs(account: Account) -> None:
    """A waiting task is cancelled, a running one is left as it is, and elsewhere cancelling is an error."""
    async with account.client() as client:
        waiting = await client.submit(hh.TextToVideo("PENDING"))
        running = await client.submit(hh.TextToVideo("RUNNING"))
        if account.lacks("cancels"):
            with pytest.raises(hh.UnsupportedFeatureError):
                await waiting.cancel()
            return

        assert hh.TaskStatus.CANCELED is (await client.cancel(str(waiting.ref))).status
        left = await running.cancel()
        assert left is not None
        assert hh.TaskStatus.RUNNING is left.status
        with pytest.raises(hh.TaskCanceledError) as raised:
            await waiting
        assert waiting.ref == raised.value.ref


async def test_a_callback_is_asked_for(account: Account) -> None:
    """A callback URL goes to the provider, or is refused before anything is sent, with the names of who takes one."""
    async with account.client() as client:
        if not account.lacks("callbacks"):
            assert (await client.submit(hh.TextToVideo("a kite"), callback_url=HOOK)).ref
            return
        with pytest.raises(hh.UnsupportedFeatureError) as raised:
            await client.submit(hh.TextToVideo("a kite"), callback_url=HOOK)

    assert "callbacks" == raised.value.feature
    assert set(PROVIDERS) - LACKING["callbacks"] == set(raised.value.alternatives)


async def test_many_are_made_at_once(account: Account) -> None:
    """Twenty requests have twenty outcomes, each a task of its own."""
    requests = [hh.TextToVideo(f"kite number {number}") for number in range(20)]
    async with account.client() as client:
        outcomes = [outcome async for outcome in client.generate_many(requests, limit=8)]

    assert list(range(20)) == sorted(outcome.index for outcome in outcomes)
    assert all(requests[outcome.index] is outcome.request for outcome in outcomes)
    assert [None] * 20 == [outcome.error for outcome in outcomes]
    assert 20 == len({outcome.task.video_url for outcome in outcomes if outcome.task})
    assert 20 == len({outcome.ref for outcome in outcomes})


@pytest.mark.parametrize("reason", hh.FailureReason)
async def test_a_failed_task_says_why(account: Account, reason: hh.FailureReason) -> None:
    """Each reason to fail arrives as what the provider can tell of it, with its words and the ref."""
    async with account.client() as client:
        handle = await client.submit(hh.TextToVideo(f"fail {reason}"))
        with pytest.raises(hh.TaskFailedError) as raised:
            await handle

    assert BLURRED.get((account.provider, reason), reason) is raised.value.reason
    assert handle.ref == raised.value.ref == raised.value.task.ref
    assert raised.value.task.error is not None
    assert raised.value.task.error.message in str(raised.value)
    assert raised.value.task.error.message


async def test_a_failed_task_does_not_take_others_along(account: Account) -> None:
    """Of many, those that fail have an error and the others a task."""
    requests = [hh.TextToVideo("fail TIMEOUT" if number % 2 else "a kite") for number in range(4)]
    async with account.client() as client:
        outcomes = {outcome.index: outcome async for outcome in client.generate_many(requests)}

    assert [True, False, True, False] == [outcomes[index].task is not None for index in range(4)]
    assert isinstance(outcomes[1].error, hh.TaskFailedError)
    assert outcomes[1].ref == outcomes[1].error.ref


async def test_one_look_at_an_unknown_task_finds_nothing(account: Account) -> None:
    """A task that the provider does not know is a TaskNotFoundError with its ref."""
    ref = hh.TaskRef(account.provider, UNKNOWN_ID)
    async with account.client() as client:
        with pytest.raises(hh.TaskNotFoundError) as raised:
            await client.fetch(ref)

    assert ref == raised.value.ref


async def test_waiting_for_an_unknown_task_ends(account: Account) -> None:
    """After some looks that found nothing the task counts as expired."""
    ref = hh.TaskRef(account.provider, UNKNOWN_ID)
    async with account.client(not_found_retries=3) as client:
        with pytest.raises(hh.TaskExpiredError) as raised:
            await client.resume(ref)

    assert hh.TaskStatus.EXPIRED is raised.value.task.status
    assert ref == raised.value.ref


async def test_a_timeout_leaves_the_task(account: Account) -> None:
    """Whoever waits no longer is told the ref, and the task goes on."""
    async with account.client() as client:
        handle = await client.submit(hh.TextToVideo("RUNNING"))
        with pytest.raises(hh.WaitTimeoutError) as raised:
            await handle.wait(timeout=0.05)

        assert handle.ref == raised.value.ref
        assert hh.TaskStatus.RUNNING is (await client.fetch(str(handle.ref))).status


async def test_a_wrong_key_is_refused(account: Account) -> None:
    """A key that the provider does not know is an AuthenticationError that does not show it."""
    async with account.client(key="sk-wrong-0451") as client:
        with pytest.raises(hh.AuthenticationError) as raised:
            await client.submit(hh.TextToVideo("a kite"))

    assert account.provider == raised.value.provider
    assert "sk-wrong-0451" not in str(raised.value)
