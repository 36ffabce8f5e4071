"""Several accounts over real HTTP: the next one gets a job on proof alone, and every job is billed once at most."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)
ROUTING = hh.Routing(order=("main", "backup"))
SQUARE = hh.TextToVideo("a train at night", resolution="720P", duration=3, ratio="21:9")


@pytest.fixture
def dead_url() -> str:
    """Return the URL of a port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def providers(emulator: hh.Emulator, **main: Any) -> list[hh.Provider]:
    settings: dict[str, Any] = {"adapter": "dashscope", "api_key": "sk-main", "base_url": emulator.url("dashscope")}
    return [
        hh.Provider("main", **{**settings, **main}),
        hh.Provider("backup", adapter="hiapi", api_key="sk-backup", base_url=emulator.url("hiapi")),
    ]


def opened(emulator: hh.Emulator, routing: hh.Routing | None = ROUTING, **options: Any) -> hh.Client:
    main = options.pop("main", {})
    return hh.Client(providers(emulator, **main), routing=routing, **options)


def bills(emulator: hh.Emulator) -> tuple[int, int]:
    """Return how many tasks were billed at main and at backup."""
    return emulator.billed("dashscope"), emulator.billed("hiapi")


PROOFS = ["wrong-key", "forbidden", "no-money", "too-fast", "too-fast-hour", "unavailable-503"]


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("how", ["submit", "enqueue"])
async def test_the_next_account_gets_a_job_on_proof(emulator: hh.Emulator, proof: str, how: str) -> None:
    """After a refusal that says nothing of the request, the next account makes the video, once."""
    emulator.inject(proof, on="submit", provider="dashscope", times=None)

    store = hh.MemoryStore()
    async with opened(emulator, store=store) as client:
        handle = await getattr(client, how)(REQUEST)
        task = await handle
        job = await store.get(handle.job_id)

    assert "backup" == task.ref.provider
    assert (0, 1) == bills(emulator)
    assert job is not None
    assert ["main"] == [attempt.endpoint.provider for attempt in job.attempts]


async def test_no_connection_is_proof(emulator: hh.Emulator, dead_url: str) -> None:
    """Where nothing listens, nothing was accepted."""
    async with opened(emulator, main={"base_url": dead_url}) as client:
        task = await client.generate(REQUEST)

    assert "backup" == task.ref.provider
    assert (0, 1) == bills(emulator)


AMBIGUITIES = ["broken-500", "gateway-502", "gateway-504", "reset-before-answer", "html-502", "empty-200"]


@pytest.mark.parametrize("fault", AMBIGUITIES)
async def test_an_unknown_outcome_moves_no_job(emulator: hh.Emulator, fault: str) -> None:
    """What may have been accepted goes nowhere else."""
    emulator.inject(fault, on="submit", provider="dashscope")

    async with opened(emulator) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST)

    assert 0 == emulator.billed("hiapi")
    assert 0 == emulator.calls("submit", provider="hiapi")


@pytest.mark.parametrize("fault", ["bad-request", "content-rejected", "redirect", "no-such-path"])
@pytest.mark.parametrize("how", ["submit", "enqueue"])
async def test_a_refusal_of_the_request_moves_no_job(emulator: hh.Emulator, fault: str, how: str) -> None:
    """Content that was rejected, a bad request and a redirect end the job where it is."""
    emulator.inject(fault, on="submit", provider="dashscope", times=None)

    async with opened(emulator) as client:
        with pytest.raises(hh.HappyHorseError):
            await (await getattr(client, how)(REQUEST))

    assert 0 == emulator.calls("submit", provider="hiapi")


async def test_a_refusal_after_a_lost_answer_moves_no_job(emulator: hh.Emulator) -> None:
    """One POST may have been accepted: that another one is refused proves nothing."""
    emulator.inject("reset-before-answer", on="submit", provider="hiapi")
    emulator.inject("wrong-key", on="submit", provider="hiapi", times=None)

    async with opened(emulator, hh.Routing(("backup", "main"))) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError) as raised:
            await client.submit(REQUEST)
        job = await client.job(raised.value.job_id)

    assert hh.JobState.OUTCOME_UNKNOWN is job.state
    assert "backup" == job.provider
    assert 0 == emulator.calls("submit", provider="dashscope")


async def test_a_short_trouble_is_waited_for(emulator: hh.Emulator) -> None:
    """A 429 that is over within the patience keeps the job at the first account."""
    emulator.inject("too-fast-seconds", on="submit", provider="dashscope")

    async with opened(emulator) as client:
        task = await client.generate(REQUEST)

    assert "main" == task.ref.provider
    assert (1, 0) == bills(emulator)


async def test_patience_may_be_none(emulator: hh.Emulator) -> None:
    """Without patience, the first 429 is enough."""
    emulator.inject("too-fast-seconds", on="submit", provider="dashscope")

    async with opened(emulator, hh.Routing(("main", "backup"), patience=0)) as client:
        task = await client.generate(REQUEST)

    assert "backup" == task.ref.provider


async def test_a_pinned_job_never_moves(emulator: hh.Emulator) -> None:
    """`provider=` names the only account."""
    emulator.inject("wrong-key", on="submit", provider="dashscope", times=None)

    async with opened(emulator) as client:
        with pytest.raises(hh.AuthenticationError):
            await client.submit(REQUEST, provider="main")

    assert 0 == emulator.calls("submit", provider="hiapi")


async def test_what_an_account_cannot_express_goes_to_one_that_can(emulator: hh.Emulator) -> None:
    """A plan says who would get the request and who would not, and the job goes there."""
    edit = hh.VideoEdit("make it night", "https://example.org/a.mp4")
    async with opened(emulator, hh.Routing(("backup", "main"))) as client:
        plan = client.plan(edit)
        handle = await client.submit(edit)

    assert "main" == plan.provider == handle.ref.provider
    assert [("backup", hh.UnsupportedFeatureError)] == [(one.provider, type(one.error)) for one in plan.rejected]
    assert 0 == emulator.calls("submit", provider="hiapi")


async def test_every_account_refuses(emulator: hh.Emulator) -> None:
    """The caller hears why, and nothing is billed."""
    emulator.inject("wrong-key", on="submit", times=None)

    async with opened(emulator) as client:
        with pytest.raises(hh.AuthenticationError):
            await client.submit(REQUEST)

    assert (0, 0) == bills(emulator)


async def test_an_enqueued_job_that_no_account_accepts_stays(emulator: hh.Emulator) -> None:
    """It is queued, says why, and is sent when an account is in order again."""
    broken = [emulator.inject("wrong-key", on="submit", times=None), emulator.inject("no-money", on="submit")]

    async with opened(emulator) as client:
        handle = await client.enqueue(REQUEST)
        await asyncio.sleep(150)
        job = await client.job(handle.job_id)
        calls = emulator.calls("submit")
        broken[0].remove()
        task = await handle

    assert hh.JobState.QUEUED is job.state
    assert isinstance(job.error, hh.AuthenticationError)
    assert 10 > calls
    assert 1 == sum(bills(emulator))
    assert task.video_url


@pytest.mark.parametrize("proof", ["wrong-key", "no-money"])
async def test_an_enqueued_job_of_a_client_with_one_account_stays(emulator: hh.Emulator, proof: str) -> None:
    """A refused key or an empty account pauses what was promised, and ends none of it."""
    emulator.inject(proof, on="submit", times=2)

    async with opened(emulator, None) as client:
        handles = [await client.enqueue(REQUEST) for _ in range(5)]
        tasks = [await handle for handle in handles]

    assert 5 == len({task.ref for task in tasks}) == emulator.billed("dashscope")
    assert emulator.calls("submit", provider="dashscope") <= 5 + 2


async def test_an_enqueued_job_says_why_it_is_not_sent_at_present(emulator: hh.Emulator) -> None:
    """It is for an account whose key was refused a moment ago, and which is not asked for a minute."""
    emulator.inject("wrong-key", on="submit", provider="dashscope", times=None)

    async with opened(emulator) as client:
        await client.submit(REQUEST)
        job = await client.job((await client.enqueue(REQUEST, provider="main")).job_id)

    assert hh.JobState.QUEUED is job.state
    assert isinstance(job.error, hh.AuthenticationError)


async def test_a_refused_key_leaves_the_account_out(emulator: hh.Emulator) -> None:
    """For a minute no routed job asks again; then one does, and its success closes the breaker."""
    emulator.inject("wrong-key", on="submit", provider="dashscope")

    async with opened(emulator) as client:
        first, second = await client.submit(REQUEST), await client.submit(REQUEST)
        asked = emulator.calls("submit", provider="dashscope")
        open_ = (await client.health()).accounts["main"]
        await asyncio.sleep(61)
        third = await client.submit(REQUEST)
        closed = (await client.health()).accounts["main"]

    assert ["backup", "backup", "main"] == [handle.ref.provider for handle in (first, second, third)]
    assert 1 == asked
    assert ("open", "AuthenticationError") == (open_.breaker, open_.left_out_for)
    assert ("closed", None) == (closed.breaker, closed.left_out_for)


async def test_five_failed_connections_leave_the_account_out(emulator: hh.Emulator, dead_url: str) -> None:
    """A job that nobody can reach is not the reason for leaving an account out: five in a row are."""
    async with opened(emulator, main={"base_url": dead_url}) as client:
        states = []
        for _ in range(6):
            handle = await client.submit(REQUEST)
            states.append((await client.health()).accounts["main"].breaker)

    assert ["closed"] * 4 + ["open"] * 2 == states
    assert "backup" == handle.ref.provider
    assert (0, 6) == bills(emulator)


async def test_where_every_account_is_left_out_all_of_them_are_asked(emulator: hh.Emulator) -> None:
    """A job that a caller waits for goes from one account that is left out to the next: routing refuses nothing."""
    emulator.inject("wrong-key", on="submit", provider="dashscope", times=None)
    emulator.inject("no-money", on="submit", provider="hiapi")

    async with opened(emulator) as client:
        with pytest.raises(hh.QuotaExceededError):
            await client.submit(REQUEST)
        before = await client.health()
        handle = await client.submit(REQUEST)
        after = await client.health()

    assert ["open", "open"] == [before.accounts[name].breaker for name in ("main", "backup")]
    assert ["open", "closed"] == [after.accounts[name].breaker for name in ("main", "backup")]
    assert "backup" == handle.ref.provider
    assert (0, 1) == bills(emulator)


async def test_an_account_that_is_left_out_is_asked_by_a_pinned_job(emulator: hh.Emulator) -> None:
    """The breaker only steers routing."""
    emulator.inject("wrong-key", on="submit", provider="dashscope")

    async with opened(emulator) as client:
        await client.submit(REQUEST)
        pinned = await client.submit(REQUEST, provider="main")

    assert "main" == pinned.ref.provider


async def test_a_key_pays_once_wherever_it_is_used(emulator: hh.Emulator) -> None:
    """The same key at another provider is the same task; other content is an error."""
    async with opened(emulator) as client:
        here = await client.submit(REQUEST, key="order-1", provider="main")
        there = await client.submit(REQUEST, key="order-1", provider="backup")
        with pytest.raises(hh.InvalidRequestError, match="order-1"):
            await client.submit(SQUARE, key="order-1")

    assert here.ref == there.ref
    assert (1, 0) == bills(emulator)


async def test_a_key_is_the_same_task_at_an_account_that_could_not_make_it(emulator: hh.Emulator) -> None:
    """The other account has no watermark. It is asked for nothing: the job exists."""
    request = hh.TextToVideo("a train at night", resolution="720P", duration=3, watermark=False)
    async with opened(emulator) as client:
        first = await client.submit(request, key="order-1", provider="main")
        again = await client.submit(request, key="order-1", provider="backup")
        with pytest.raises(hh.UnsupportedFeatureError):
            await client.submit(hh.TextToVideo("another train", watermark=False), key="order-1", provider="backup")

    assert first.ref == again.ref
    assert (1, 0) == bills(emulator)


async def test_old_refs_after_a_swap(emulator: hh.Emulator, tmp_path: Path) -> None:
    """Who is the default, or first, says nothing of the tasks that exist."""
    store = tmp_path / "jobs.sqlite"
    async with opened(emulator, None, store=hh.SQLiteStore(store)) as client:
        refs = [(await client.submit(REQUEST, provider=name)).ref for name in ("main", "backup")]
    swapped = hh.Client(providers(emulator)[::-1], store=hh.SQLiteStore(store))

    async with swapped as client:
        tasks = [await client.resume(str(ref)) for ref in refs]
        fetched = [await client.fetch(ref) for ref in refs]

    assert "backup" == swapped.provider
    assert refs == [task.ref for task in tasks] == [task.ref for task in fetched]
    assert (1, 1) == bills(emulator)


async def test_a_process_goes_on_at_the_account_that_a_job_has_moved_to(emulator: hh.Emulator, tmp_path: Path) -> None:
    """A job that was moved and not sent is sent by the next process to the account that it was moved to."""
    emulator.inject("wrong-key", on="submit", provider="dashscope", times=None)
    broken = emulator.inject("too-fast-hour", on="submit", provider="hiapi", times=None)
    path = tmp_path / "jobs.sqlite"

    async with opened(emulator, store=hh.SQLiteStore(path)) as client:
        handle = await client.enqueue(REQUEST)
        await emulator_calls(emulator, "hiapi")
        await asyncio.sleep(1)
    broken.remove()
    async with opened(emulator, store=hh.SQLiteStore(path)) as client:
        task = await client.resume_job(handle.job_id)

    assert "backup" == task.ref.provider
    assert (0, 1) == bills(emulator)


async def emulator_calls(emulator: hh.Emulator, provider: str) -> None:
    async with asyncio.timeout(60):
        while not emulator.calls("submit", provider=provider):
            await asyncio.sleep(0.01)


async def test_own_queueing_moves_no_job(emulator: hh.Emulator) -> None:
    """Under `order`, a job waits for the limits of its account."""
    slow = hh.Limits(submits_per_second=0.1)
    async with opened(emulator, main={"limits": slow}) as client:
        handles = await asyncio.gather(*(client.submit(REQUEST) for _ in range(4)))

    assert ["main"] * 4 == [handle.ref.provider for handle in handles]


async def test_the_soonest_account_is_one_without_a_queue(emulator: hh.Emulator) -> None:
    """Where tasks have to end before the next may begin, another account has the video sooner."""
    emulator.scenario = hh.Scenario(choose=lambda request, number: hh.SimulatedTask(queue=0, run=600))
    narrow = hh.Limits(max_running=1, max_queued=0)
    async with opened(emulator, hh.Routing(strategy="soonest"), main={"limits": narrow}) as client:
        handles = [await client.submit(REQUEST) for _ in range(3)]

    assert ["main", "backup", "backup"] == [handle.ref.provider for handle in handles]


async def test_another_name_of_the_same_account_is_no_other_account(emulator: hh.Emulator) -> None:
    """Two sections with one key at one address are asked once."""
    emulator.inject("no-money", on="submit", times=None)
    accounts = [
        hh.Provider(name, adapter="hiapi", api_key="sk-one", base_url=emulator.url("hiapi")) for name in ("one", "two")
    ]
    async with hh.Client(accounts, routing=hh.Routing()) as client:
        with pytest.raises(hh.QuotaExceededError):
            await client.submit(REQUEST)

    assert 1 == emulator.calls("submit")


async def test_a_job_may_come_back(emulator: hh.Emulator) -> None:
    """After all have refused it for now, the first account is asked again; the simulation compares the bytes."""
    store = hh.MemoryStore()
    emulator.inject("too-fast", on="submit", provider="hiapi")
    emulator.inject("too-fast", on="submit", provider="dashscope")

    async with opened(emulator, hh.Routing(("backup", "main"), patience=0), store=store) as client:
        handle = await client.enqueue(REQUEST)
        task = await handle
        job = await store.get(handle.job_id)

    assert "backup" == task.ref.provider
    assert job is not None
    assert ["backup", "main"] == [attempt.endpoint.provider for attempt in job.attempts]
    assert all(attempt.body is None for attempt in job.attempts)
    assert (0, 1) == bills(emulator)
