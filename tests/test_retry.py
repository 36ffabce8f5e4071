"""How often it is tried again: a policy for each phase, in which 0 means 0."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.config import Settings

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)
NONE = hh.RetryPolicy(max_retries=0)


@pytest.mark.parametrize("attempt", range(8))
def test_pauses_grow_up_to_their_cap(attempt: int) -> None:
    """Each pause lies between half the base and the base doubled for every attempt, never above the cap."""
    policy = hh.RetryPolicy(max_retries=3, initial_interval=0.5, max_interval=8)
    delays = [policy.delay(attempt) for _ in range(100)]

    assert all(0.25 <= delay <= min(8, 0.5 * 2**attempt) for delay in delays)
    assert 1 < len(set(delays))


def test_a_policy_waits_as_long_as_it_is_told() -> None:
    """A provider's own figure is waited for in full, and a little longer, so that not all come back at once."""
    policy = hh.RetryPolicy(max_retries=3, initial_interval=0.5)

    assert all(20 <= policy.delay(0, 20.0) <= 20.5 for _ in range(100))
    assert all(0 <= policy.delay(7, 0.0) <= 0.5 for _ in range(100))


@pytest.mark.fault(32)
def test_a_policy_waits_for_five_minutes_at_most() -> None:
    """Whatever a provider asks for, it is tried again after five minutes."""
    policy = hh.RetryPolicy(max_retries=3, initial_interval=0.5)

    assert all(300 <= policy.delay(0, 3600.0) <= 300.5 for _ in range(100))


def test_pauses_after_very_many_tries() -> None:
    """A policy without an end goes on at its cap."""
    assert hh.RetryPolicy(max_retries=math.inf, max_interval=60).delay(10**6) <= 60
    assert 0 == hh.RetryPolicy(max_retries=math.inf, max_interval=0).delay(10**6)


@pytest.mark.parametrize(
    "figures",
    [
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": math.nan},
        {"max_retries": True},
        {"max_retries": 1, "initial_interval": -1},
        {"max_retries": 1, "initial_interval": "1"},
        {"max_retries": 1, "max_interval": math.inf},
    ],
    ids=repr,
)
def test_figures_that_are_none(figures: dict[str, Any]) -> None:
    """A figure that makes no sense is refused by its name."""
    with pytest.raises(hh.ConfigurationError, match=[*figures][-1]):
        hh.RetryPolicy(**figures)


def test_retries_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file has is taken, and the rest stays as it is."""
    monkeypatch.chdir(tmp_path)
    text = "[retries.submit]\nmax_retries = 0\n[retries.poll]\nmax_retries = inf\nmax_interval = 5\n"
    Path("happyhorse.toml").write_text(text, "utf-8")

    settings = Settings.load()

    assert NONE == settings.retries.submit
    assert hh.RetryPolicy(max_retries=math.inf, max_interval=5) == settings.retries.poll
    assert hh.RetryPolicies().download == settings.retries.download
    assert "for ever" == settings.resolved()["retries"]["poll"]["max_retries"]


@pytest.mark.usefixtures("no_chance")
@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_a_submit(gateway: Any, fifth: Any, retries: int) -> None:
    """A certain refusal is tried again exactly as often as it is said, and then raised."""
    gateway.on("POST", "/videos", gateway.reply({}, status=429, headers={"Retry-After": "0"}))
    policy = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=retries, initial_interval=0.0))

    async with fifth.open(retries=policy) as client:
        with pytest.raises(hh.RateLimitError):
            await client.submit(REQUEST)

    assert 1 + retries == len(gateway.requests)


@pytest.mark.usefixtures("no_chance")
async def test_a_submit_that_a_key_protects(gateway: Any, fifth: Any) -> None:
    """With no further tries, an ambiguous answer is of unknown outcome, key or no key."""
    gateway.on("POST", "/videos", 502)

    async with fifth.open(fifth.adapter(idempotent=True), retries=hh.RetryPolicies(submit=NONE)) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)


@pytest.mark.usefixtures("no_chance")
async def test_a_job_that_is_enqueued(gateway: Any, fifth: Any) -> None:
    """The policy of submits does not hold for what was enqueued; its own does."""
    gateway.on("POST", "/videos", gateway.reply({}, status=429, headers={"Retry-After": "0"}))
    policy = hh.RetryPolicies(submit=NONE, enqueue=hh.RetryPolicy(max_retries=2, initial_interval=0.0))

    async with fifth.open(retries=policy) as client:
        handle = await client.enqueue(REQUEST)
        with pytest.raises(hh.RateLimitError):
            await handle

    assert 3 == len(gateway.requests)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(500, hh.ProviderError), (429, hh.RateLimitError), (b"", hh.TransportError), (400, hh.InvalidRequestError)],
)
@pytest.mark.parametrize("retries", [0, 1])
async def test_a_look(
    gateway: Any, fifth: Any, answer: int | bytes, expected: type[hh.HappyHorseError], retries: int
) -> None:
    """A look that fails once too often ends the waiting with its error, and the task can be resumed."""
    wire = 1 + retries if answer != b"" else 2 * (1 + retries)
    gateway.show("t-1", *[answer] * wire, "done")

    async with fifth.open(
        retries=hh.RetryPolicies(poll=hh.RetryPolicy(max_retries=retries, initial_interval=0.0))
    ) as client:
        handle = client.resume("fifth:t-1")
        with pytest.raises(expected) as raised:
            await handle
        looks = len(gateway.requests)
        task = await client.resume("fifth:t-1")

    assert handle.ref == raised.value.ref
    assert wire == looks
    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_a_look_that_succeeds_begins_the_counting_anew(gateway: Any, fifth: Any) -> None:
    """Failures count in a row."""
    gateway.show("t-1", 500, "running", 500, "done")

    async with fifth.open(retries=hh.RetryPolicies(poll=hh.RetryPolicy(max_retries=1, initial_interval=0.0))) as client:
        task = await client.resume("fifth:t-1")

    assert hh.TaskStatus.SUCCEEDED is task.status


@pytest.mark.fault(37)
async def test_a_look_that_is_told_when_to_come_back(gateway: Any, fifth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 503 that says how long to wait is kept to."""
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest)
    gateway.show("t-1", gateway.reply({}, status=503, headers={"Retry-After": "0.2"}), "done")

    async with fifth.open() as client:
        await client.resume("fifth:t-1")

    first, second = gateway.requests
    assert second.at - first.at >= 0.19


@pytest.mark.usefixtures("no_chance")
@pytest.mark.parametrize("retries", [0, 2])
async def test_a_download(gateway: Any, fifth: Any, tmp_path: Path, retries: int) -> None:
    """A download is tried again as often as it is said."""
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply({}, status=503))

    async with fifth.open(
        retries=hh.RetryPolicies(download=hh.RetryPolicy(max_retries=retries, initial_interval=0.0))
    ) as client:
        task = await client.resume("fifth:t-1")
        with pytest.raises(hh.DownloadError):
            await client.download(task, tmp_path / "v.mp4")

    assert 1 + retries == len(gateway.seen("GET", "/files/*"))
