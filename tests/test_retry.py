"""Retry policies: how often each phase of a job is retried, and after which pauses."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.config import Settings

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")
RARELY = hh.PollSchedule(interval=3600)
NONE = hh.RetryPolicy(max_retries=0)


@pytest.mark.parametrize("attempt", range(8))
def test_pauses_double_up_to_the_maximum_with_jitter(attempt: int) -> None:
    """Each pause lies in the upper half of its bound."""
    policy = hh.RetryPolicy(max_retries=3, initial_interval=0.5, max_interval=8)
    delays = [policy.delay(attempt) for _ in range(100)]
    bound = min(8, 0.5 * 2**attempt)

    assert all(bound / 2 <= delay <= bound for delay in delays)
    assert 1 < len(set(delays))


def test_retry_after_replaces_the_pause_and_gets_a_little_jitter() -> None:
    policy = hh.RetryPolicy(max_retries=3, initial_interval=0.5)

    assert all(20 <= policy.delay(0, 20.0) <= 20.5 for _ in range(100))
    assert all(0 <= policy.delay(7, 0.0) <= 0.5 for _ in range(100))


@pytest.mark.fault(32)
def test_retry_after_is_honoured_for_five_minutes_at_most() -> None:
    policy = hh.RetryPolicy(max_retries=3, initial_interval=0.5)

    assert all(300 <= policy.delay(0, 3600.0) <= 300.5 for _ in range(100))


def test_a_million_attempts_do_not_overflow() -> None:
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
def test_an_invalid_figure_is_rejected_by_name(figures: dict[str, Any]) -> None:
    with pytest.raises(hh.ConfigurationError, match=[*figures][-1]):
        hh.RetryPolicy(**figures)


def test_a_configuration_file_replaces_single_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
async def test_a_submit_that_was_refused_is_retried_max_retries_times(
    gateway: Gateway, fifth: Fifth, retries: int
) -> None:
    gateway.on("POST", "/videos", gateway.reply({}, status=429, headers={"Retry-After": "0"}))
    policy = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=retries, initial_interval=0.0))

    async with fifth.open(retries=policy) as client:
        with pytest.raises(hh.RateLimitError):
            await client.submit(REQUEST)

    assert 1 + retries == len(gateway.requests)


@pytest.mark.usefixtures("no_chance")
async def test_without_retries_an_ambiguous_answer_leaves_an_unknown_outcome(gateway: Gateway, fifth: Fifth) -> None:
    """Also where an idempotency key protects the submit."""
    gateway.on("POST", "/videos", 502)

    async with fifth.open(fifth.adapter(idempotent=True), retries=hh.RetryPolicies(submit=NONE)) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 1 == len(gateway.requests)


@pytest.mark.usefixtures("no_chance")
async def test_an_enqueued_job_has_a_policy_of_its_own(gateway: Gateway, fifth: Fifth) -> None:
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
async def test_the_wait_ends_with_the_error_of_the_last_poll_when_retries_are_used_up(
    gateway: Gateway, fifth: Fifth, answer: int | bytes, expected: type[hh.HappyHorseError], retries: int
) -> None:
    """The task can be resumed."""
    wire = 1 + retries if answer != b"" else 2 * (1 + retries)
    gateway.show("t-1", *[answer] * wire, "done")

    async with fifth.open(
        retries=hh.RetryPolicies(poll=hh.RetryPolicy(max_retries=retries, initial_interval=0.0))
    ) as client:
        handle = client.resume("fifth:t-1")
        with pytest.raises(expected) as raised:
            await handle
        polls = len(gateway.requests)
        task = await client.resume("fifth:t-1")

    assert handle.ref == raised.value.ref
    assert wire == polls
    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_only_polls_that_fail_in_a_row_count_as_retries(gateway: Gateway, fifth: Fifth) -> None:
    gateway.show("t-1", 500, "running", 500, "done")

    async with fifth.open(retries=hh.RetryPolicies(poll=hh.RetryPolicy(max_retries=1, initial_interval=0.0))) as client:
        task = await client.resume("fifth:t-1")

    assert hh.TaskStatus.SUCCEEDED is task.status


@pytest.mark.fault(37)
async def test_the_retry_after_of_a_503_delays_the_next_poll(
    gateway: Gateway, fifth: Fifth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest)
    gateway.show("t-1", gateway.reply({}, status=503, headers={"Retry-After": "0.2"}), "done")

    async with fifth.open() as client:
        await client.resume("fifth:t-1")

    first, second = gateway.requests
    assert second.at - first.at >= 0.19


@pytest.mark.usefixtures("no_chance")
@pytest.mark.parametrize("retries", [0, 2])
async def test_a_download_is_retried_max_retries_times(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, retries: int
) -> None:
    gateway.show("t-1", "done")
    gateway.on("GET", "/files/t-1.mp4", gateway.reply({}, status=503))

    async with fifth.open(
        retries=hh.RetryPolicies(download=hh.RetryPolicy(max_retries=retries, initial_interval=0.0))
    ) as client:
        task = await client.resume("fifth:t-1")
        with pytest.raises(hh.DownloadError):
            await client.download(task, tmp_path / "v.mp4")

    assert 1 + retries == len(gateway.seen("GET", "/files/*"))
