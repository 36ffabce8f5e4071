"""
Thousands of worlds, each another by its seed, in which processes submit, wait, are killed and come back.

There are 1,000 by default, a tenth as many in which a list misleads, and half as many in which the provider calls, and
a quarter as many with several accounts.
`HAPPYHORSE_SEEDS=50000` asks for more, `HAPPYHORSE_SEED=1234` for a single one again:

    HAPPYHORSE_SEED=1234 pytest tests/simulation -k no_world
    HAPPYHORSE_SEED=1234 pytest tests/simulation -k no_list
    HAPPYHORSE_SEED=1234 pytest tests/simulation -k no_call
    HAPPYHORSE_SEED=1234 pytest tests/simulation -k no_cluster
    HAPPYHORSE_SEED=1234 pytest tests/simulation -k no_account
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import warnings
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

import happyhorse_async as hh
from happyhorse_async.job import Job, JobState

from .adapter import Adapter
from .calling import URL

# A process that dies does not close its client.
pytestmark = pytest.mark.filterwarnings("ignore:the client of .* was never closed:ResourceWarning")

# They are of the conftest, of which there are several.
World: TypeAlias = Any
Process: TypeAlias = Any

_BATCHES = 20
_ONE = os.environ.get("HAPPYHORSE_SEED")
_COUNT = int(os.environ.get("HAPPYHORSE_SEEDS", "1000"))
# All that is left open must have been noticed by then, in seconds.
_PATIENCE = 20_000


def batches(count: int) -> list[range]:
    """Share out *count* seeds, and one at least: what lives through nothing shows nothing."""
    seeds = range(max(1, count))
    return [seeds[batch::_BATCHES] for batch in range(min(_BATCHES, len(seeds)))]


def _seeds(count: int) -> list[range]:
    return [range(int(_ONE), int(_ONE) + 1)] if _ONE else batches(count)


# A request of these was certainly not taken.
_REFUSALS = {"401", "402", "429", "refused", "redirect"}


def make_client(simulation: Any, world: World, process: Process) -> hh.Client:
    """Make a client whose network and disk are those of the world."""
    # Where the pace is slow, what was enqueued is still there when its process ends.
    pace = world.chance("pace").choice([None, 5.0] if world.listing else [None, 0.1, 1.0])
    interval = world.chance("interval").choice([None, 3, 6]) if world.listing else None
    several = [
        hh.Provider(name, adapter=Adapter(world, name), api_key="sk", base_url=f"https://{name}.accounts.example")
        for name in _configured(world, process)
    ]
    strategy = world.chance("strategy").choice(["order", "order", "soonest"])
    routing = hh.Routing(strategy=strategy, patience=world.chance("patience").choice([0, 5, 30]))
    client = hh.Client(
        several or Adapter(world),
        api_key=None if several else "sk-simulated",
        routing=routing if several else None,
        transport=simulation.Transport(world, process),
        store=simulation.Store(world, process),
        limits=hh.Limits(submits_per_second=pace),
        poll=hh.PollSchedule(interval=interval),
        auto_adopt=world.adopts,
        work=not world.is_cluster or process.name[0] in "wl" or world.chance("work", process.name).random() < 0.5,
    )
    if world.calling:
        world.calling.open(process, client)
    return client


def _configured(world: World, process: Process) -> list[str]:
    """Return the accounts that a process knows: most of the time all of them, and the first one in any case."""
    chance = world.chance("configured", process.name)
    knows_all = process.name == "last" or chance.random() < 0.8
    return [name for name in world.accounts if knows_all or name == world.accounts[0] or chance.random() < 0.5]


class Life:
    """What one process does while it lives, and what it hears."""

    def __init__(self, world: World, process: Process, number: int, calls: list[Call]) -> None:
        self.world = world
        self.process = process
        self.calls = calls
        self.chance = world.chance("life", process.name, number)

    async def live(self, client: hh.Client, ending: str) -> None:
        """Open a client, ask for everything, wait, and end in the given way."""
        try:
            await client.__aenter__()
        except hh.StoreError:
            return
        waiting = [asyncio.create_task(self._call(client, call)) for call in self.calls]
        waiting += [asyncio.create_task(self._call(client, call, "again")) for call in self.calls if call.comes_again]
        waiting += [asyncio.create_task(self._resume(client, job)) for job in await self._pending(client)]
        # Who does not work may wait for ever for those who do.
        has_time = ending == "finish" and not self.world.is_cluster
        patience = None if has_time else self.chance.uniform(0, 200 if self.world.listing else 60)
        if waiting:
            await asyncio.wait(waiting, timeout=patience)
        closing = asyncio.create_task(client.aclose())
        if ending == "cancel":
            await asyncio.sleep(self.chance.uniform(0, 5))
            closing.cancel()
        await asyncio.wait([closing])
        if waiting:
            _, forgotten = await asyncio.wait(waiting, timeout=25)
            for task in forgotten:
                self.world.wrongs.append(f"{task.get_name()} waits although its client is closed")
                task.cancel()
            for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _pending(self, client: hh.Client) -> list[hh.JobInfo]:
        return [job for job in await client.pending() if job.ref is not None]

    async def _resume(self, client: hh.Client, job: hh.JobInfo) -> None:
        assert job.ref is not None
        await self._wait(client.resume(job.ref))

    async def _call(self, client: hh.Client, call: Call, *again: str) -> None:
        asyncio.current_task().set_name(f"{self.process.name} {call}")  # type: ignore[union-attr]
        chance = self.world.chance(self.process.name, call, *again)
        how = chance.choice(["submit", "enqueue"])
        asking = client.enqueue if how == "enqueue" else client.submit
        await asyncio.sleep(chance.uniform(0, 2 if self.world.listing else 20))
        try:
            async with asyncio.timeout(chance.uniform(0, 15) if chance.random() < 0.3 else None):
                handle = await asking(
                    hh.TextToVideo(call.intent), key=call.key, callback_url=call.url, provider=call.pinned
                )
        except TimeoutError:
            return
        except hh.HappyHorseError as error:
            self._judge(error)
            # A promise that cannot be written down says nothing of the job that has the key.
            if how == "submit" or not isinstance(error, hh.StoreError):
                call.failed(error)
            return
        except RuntimeError:
            return
        if how == "enqueue":
            call.promised = True
        if chance.random() < 0.1:
            await asyncio.sleep(chance.uniform(0, 1))
            await self._withdraw(handle, call)
        meddling = self.world.listing and chance.random() < 0.3
        await asyncio.gather(self._wait(handle), *([self._meddle(client, handle, chance)] if meddling else []))

    def _judge(self, error: hh.HappyHorseError) -> None:
        now, told = asyncio.get_running_loop().time(), self.world.calling.told if self.world.calling else {}
        if isinstance(error, hh.SubmitOutcomeUnknownError) and told.get(error.job_id, now) < now - 1:
            self.world.wrongs.append(f"a call has told of {error.job_id}, and yet {error}")

    async def _meddle(self, client: hh.Client, handle: hh.JobHandle, chance: random.Random) -> None:
        # What is observed from elsewhere arrives at any time, also while a page is on its way.
        await asyncio.sleep(chance.uniform(0, 20))
        with suppress(hh.HappyHorseError, RuntimeError):
            await client.fetch(handle.ref or "")

    async def _withdraw(self, handle: hh.JobHandle, call: Call) -> None:
        # Whoever dies over it, or whose disk is full, cannot know what came of it.
        promised, call.promised = call.promised, False
        try:
            call.withdrawn = await handle.cancel() is None
        except hh.StoreError:
            return
        except (hh.HappyHorseError, RuntimeError):
            # It was too late: the job was accepted, refused or closed.
            pass
        call.promised = promised and not call.withdrawn

    async def _wait(self, handle: hh.JobHandle) -> None:
        try:
            task = await handle
        except hh.TaskError as error:
            if error.task is None:
                return
            task = error.task
        except hh.HappyHorseError:
            return
        except RuntimeError:
            return
        truth = self.world.billed[task.id]
        if task.raw_status != truth.end:
            self.world.wrongs.append(f"{task.ref} is said to be {task.status}, and is {truth.end}")
        # A timer of an event loop may fire early by the resolution of its clock.
        if asyncio.get_running_loop().time() < truth.ends_at - 1e-9:
            self.world.wrongs.append(f"{task.ref} is said to be {task.status} before it is")


class Call:
    """One thing that a program asks for, perhaps in several lives."""

    def __init__(self, world: World, number: int) -> None:
        chance = world.chance("call", number)
        self.intent = f"{'forbidden ' if chance.random() < 0.1 else ''}video {number}"
        self.key = f"order-{number}" if chance.random() < 0.6 else None
        self.url = URL if world.calling and chance.random() < 0.9 else None
        self.pinned = world.chance("pinned", number).choice([None, None, None, *world.accounts])
        self.comes_again = self.key is not None and chance.random() < 0.3
        self.promised = False
        self.withdrawn = False
        self.refused: list[hh.HappyHorseError] = []

    def failed(self, error: hh.HappyHorseError) -> None:
        """Remember a failure that says that nothing was paid."""
        # A client that does not know an account knows nothing of its jobs.
        if not isinstance(error, hh.SubmitOutcomeUnknownError | hh.WaitTimeoutError | hh.ConfigurationError):
            self.refused.append(error)

    def __repr__(self) -> str:
        return f"{self.intent} key={self.key}"


async def live_through(simulation: Any, world: World) -> list[Call]:
    """Let up to two programs run, each for some lives at the same time, and then one in a world without faults."""
    chance = world.chance("history")
    # A page is worth it only for several.
    calls = [Call(world, number) for number in range(chance.randint(8, 20) if world.listing else chance.randint(1, 6))]
    loop, in_step = asyncio.get_running_loop(), chance.random() < 0.4

    async def run(name: str, lives: int, own: list[Call]) -> None:
        for number in range(lives):
            ending = chance.choice(["crash", "crash", "close"] + (["crash", "cancel", "finish"] if not in_step else []))
            dies_at = int(2 ** chance.uniform(0, 13 if world.listing else 11)) if ending == "crash" else None
            process = simulation.Process(world, f"{name}-{number}", dies_at)
            asked = own if not number else [call for call in own if call.key]
            life = Life(world, process, number, asked)
            await process.run(life.live(make_client(simulation, world, process), ending))
            pause = chance.choice([0.0, 1.0, 200.0])
            # Two that are restarted at the same moment, as a supervisor would.
            await asyncio.sleep(60 - loop.time() % 60 if in_step else pause)

    programs: list[Coroutine[Any, Any, None]] = [run("a", chance.randint(1, 3), calls)]
    if chance.random() < 0.5:
        programs.append(run("b", chance.randint(1, 3), [call for call in calls if call.key]))
    if world.is_cluster:
        # Workers that ask for nothing themselves, and another program that asks for the same.
        programs += [run(f"worker-{number}", chance.randint(1, 4), []) for number in range(chance.randint(1, 3))]
        programs.append(run("c", chance.randint(1, 3), [call for call in calls if call.key]))
    await asyncio.gather(*programs)
    await asyncio.sleep(300)
    world.calm = True
    last = simulation.Process(world, "last", None)
    await last.run(settle(Life(world, last, 0, []), make_client(simulation, world, last)))
    # What it has asked of the disk, and does not wait for any more.
    await asyncio.sleep(1)
    return calls


async def settle(life: Life, client: hh.Client) -> None:
    """Open a client once more, and wait until nothing is left that it can do something about."""
    async with client:
        while open_jobs := [job for job in await client.pending() if job.state is not JobState.OUTCOME_UNKNOWN]:
            refs = [job for job in open_jobs if job.ref is not None]
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(life._resume(client, job) for job in refs))
            await asyncio.sleep(5)
            assert asyncio.get_running_loop().time() < 50_000, f"these never end: {open_jobs}"


def judge(world: World, calls: list[Call], jobs: dict[str, Job]) -> list[str]:
    """Say what has gone wrong."""
    wrongs = list(world.wrongs)
    paid = Counter(task.intent for task in world.billed.values())
    wrongs += [f"{intent} is paid {times} times" for intent, times in paid.items() if times > 1]
    for job_id, job in jobs.items():
        if job.task_id is not None and world.billed[job.task_id].job_id != job_id:
            wrongs.append(f"{job_id} has the task of another: {job.task_id}")
        posts = [post for post in world.posts if post[0] == job_id and post[3] not in _REFUSALS]
        account = job.endpoint.provider if world.accounts else ""
        is_idempotent = world.is_idempotent(account)
        if len(posts) > 1 and (not is_idempotent or len({(*post[1:3], post[4]) for post in posts}) > 1):
            wrongs.append(f"{job_id} is on the wire {len(posts)} times: {posts}")
        wrongs += _moved_wrongly(world, job_id)
        if job.state is JobState.OUTCOME_UNKNOWN and is_idempotent and job.durable and not _is_refused(world, job):
            wrongs.append(f"{job_id} is unknown in spite of its key")
    for task in world.billed.values():
        known = jobs.get(task.job_id)
        if known is None or (known.state is not JobState.OUTCOME_UNKNOWN and known.task_id != task.task_id):
            wrongs.append(f"{task.task_id} is paid, and the journal says {known}")
        elif known.task_id is not None and (known.task is None or known.task.raw_status != task.end):
            wrongs.append(f"{task.task_id} is {task.end}, and the journal says {known.task}")
    settled = {job.request["prompt"] for job in jobs.values() if job.request and (job.task_id or job.error)}
    for call in calls:
        if call.promised and call.intent not in settled:
            wrongs.append(f"{call} was promised, and nothing came of it")
        if call.withdrawn and call.key is None and call.intent in paid:
            wrongs.append(f"{call} was withdrawn, and is paid")
        # What one process could not do by its key, another may have promised by the same.
        refused = [] if call.promised and call.key else call.refused
        wrongs += [f"{call} is paid although {error!r}" for error in refused if _is_paid(world, error)]
    return wrongs


def _moved_wrongly(world: World, job_id: str) -> list[str]:
    """Say whether a job was sent elsewhere after an attempt that proves nothing, or with other bytes under its key."""
    wrongs, doubtful = [], ""
    bodies: dict[str, set[bytes]] = {}
    for _, key, body, fault, account in [post for post in world.posts if post[0] == job_id]:
        if doubtful and account != doubtful:
            wrongs.append(f"{job_id} is sent to {account} although {doubtful} may have accepted it")
        doubtful = doubtful if fault in _REFUSALS else account
        if key:
            bodies.setdefault(account, set()).add(body)
    return wrongs + [f"{job_id} is sent to {name} with other bytes" for name, sent in bodies.items() if len(sent) > 1]


def _is_refused(world: World, job: Job) -> bool:
    """Tell whether the provider refused a job for good, which says nothing of the time before."""
    return b"forbidden" in (job.body or b"") or any(
        post[0] == job.job_id and post[3] in ("redirect", "401", "402") for post in world.posts
    )


def _is_paid(world: World, error: hh.HappyHorseError) -> bool:
    return any(task.job_id == error.job_id for task in world.billed.values())


def simulate(simulation: Any, seed: int, **manners: bool) -> tuple[World, list[str]]:
    """Live through the world of *seed*, and say what has gone wrong in it."""
    world = simulation.World(seed, **manners)
    before = random.getstate()
    random.seed(seed)
    loop = simulation.Loop()
    try:
        calls = loop.run_until_complete(live_through(simulation, world))
    finally:
        loop.close()
        random.setstate(before)
    return world, judge(world, calls, dict(world.disk._jobs))


@pytest.mark.fault(39, 71, 75, 77)
@pytest.mark.parametrize("seeds", _seeds(_COUNT), ids=lambda seeds: f"from {seeds[0]}")
def test_no_world_loses_a_paid_task(simulation: Any, seeds: range) -> None:
    """Whatever fails and wherever a process dies, nothing is paid twice, lost, or waited for in vain."""
    live_all(simulation, seeds, "no_world")


@pytest.mark.parametrize("seeds", _seeds(_COUNT // 10), ids=lambda seeds: f"from {seeds[0]}")
def test_no_list_misleads(simulation: Any, seeds: range) -> None:
    """The same where a list shows how tasks stand, or does not."""
    live_all(simulation, seeds, "no_list", can_list=True)


@pytest.mark.fault(45, 46, 47, 48)
@pytest.mark.parametrize("seeds", _seeds(_COUNT // 2), ids=lambda seeds: f"from {seeds[0]}")
def test_no_call_misleads(simulation: Any, seeds: range) -> None:
    """The same where the provider calls at the end of a task; and what is answered well is in the store."""
    live_all(simulation, seeds, "no_call", calls=True)


@pytest.mark.parametrize("seeds", _seeds(_COUNT // 4), ids=lambda seeds: f"from {seeds[0]}")
def test_no_account_pays_for_another(simulation: Any, seeds: range) -> None:
    """The same where a client has several accounts, each with troubles of its own, and jobs move between them."""
    live_all(simulation, seeds, "no_account", has_accounts=True)


@pytest.fixture(scope="module", autouse=True)
def lived(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say at the end what was lived through."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    plugins = request.config.pluginmanager
    what = ", ".join(f"{count:,} {name}" for name, count in _LIVED.items())
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\nsimulated: {what} at {len(_CRASH_POINTS)} places of the code; 0 lost, 0 paid twice")


_LIVED: Counter[str] = Counter()
_CRASH_POINTS: set[str] = set()


@pytest.mark.fault(39, 71, 74, 75)
@pytest.mark.parametrize("seeds", _seeds(_COUNT // 4), ids=lambda seeds: f"from {seeds[0]}")
def test_no_cluster_loses_a_paid_task(simulation: Any, seeds: range) -> None:
    """The same with workers beside programs that only enqueue, and a store that is away at times."""
    live_all(simulation, seeds, "no_cluster", is_cluster=True)


def live_all(simulation: Any, seeds: range, name: str, **manners: bool) -> None:
    """Live through many worlds, in none of which anything may go wrong."""
    replay = f"HAPPYHORSE_SEED={{}} pytest tests/simulation -k {name}"
    for seed in seeds:
        try:
            world, wrongs = simulate(simulation, seed, **manners)
        except BaseException as error:
            error.add_note(replay.format(seed))
            raise

        assert [] == wrongs, replay.format(seed)
        _LIVED.update({"worlds": 1, "tasks billed": len(world.billed), "crashes": world.crashes})
        _CRASH_POINTS.update(world.crash_points)
    # A world is one large cycle.
    gc.collect()


@pytest.mark.parametrize("count", [1, 19, 20, 21, 200])
def test_every_seed_has_its_turn(count: int) -> None:
    """However few worlds are asked for, each is lived through once."""
    shared_out = batches(count)

    assert list(range(count)) == sorted(seed for seeds in shared_out for seed in seeds)
    assert all(shared_out)


def test_a_world_can_be_lived_through_again(simulation: Any) -> None:
    """The same seed makes the same world, and the worlds are as rough as they are meant to be."""
    first, again = ([simulate(simulation, seed)[0] for seed in range(40)] for _ in range(2))

    assert [_history(world) for world in first] == [_history(world) for world in again]
    assert sum(world.crashes for world in first) >= 20
    assert len(set().union(*(world.crash_points for world in first))) >= 8
    assert {False, True} == {world.idempotent for world in first} == {world.adopts for world in first}
    assert sum(world.adopted for world in first) >= 2
    assert {"lost", "late", "500 taken", "junk"} <= {post[3] for world in first for post in world.posts}


def test_lists_are_asked_for(simulation: Any) -> None:
    """Where there is a list it is used, and its manners are as bad as they are meant to be."""
    worlds = [simulate(simulation, seed, can_list=True)[0] for seed in range(25)]
    told = sum((world.listing.told for world in worlds), Counter[str]())

    assert sum(bool(world.listing.told) for world in worlds) >= 15
    assert {"running", "done", "failed", "queued", "pondering", "429", "500", "404", "lost", "junk"} <= set(told)


def test_jobs_move(simulation: Any) -> None:
    """Jobs move between accounts, more than once, and between any two; and some processes do not know every account."""
    worlds = [simulate(simulation, seed, has_accounts=True)[0] for seed in range(30)]
    jobs = [job for world in worlds for job in world.disk._jobs.values()]
    moves = {(attempt.endpoint.provider, job.endpoint.provider) for job in jobs for attempt in job.attempts}

    assert sum(bool(job.attempts) for job in jobs) >= 10
    assert {("a", "b"), ("b", "a")} <= moves
    assert {"401", "402", "refused", "ok", "lost"} <= {post[3] for world in worlds for post in world.posts}


def test_calls_are_made(simulation: Any) -> None:
    """Calls arrive, and are answered well, refused and cut off."""
    worlds = [simulate(simulation, seed, calls=True)[0] for seed in range(60)]
    answers = sum((world.calling.answers for world in worlds), Counter[str]())

    assert {"200", "CallbackRejectedError", "StoreError", "TransportError"} <= set(answers)
    assert {False, True} == {world.calling.signs for world in worlds}


def _history(world: World) -> list[Any]:
    # Not the ids of jobs, which are made of real chance.
    tasks = [(task.task_id, task.intent, task.ends_at, task.looks) for task in world.billed.values()]
    return [tasks, [post[3] for post in world.posts], sorted(world.crash_points)]
