"""
A world in one thread: processes that die at any await, a disk that survives them, a provider with bad manners.

Time is virtual and passes only while nobody has anything to do. All chance comes from one seed, so that a world can be
lived through again, step by step.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

import pytest
from attrs import define, evolve

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.stores import MemoryStore
from happyhorse_async.stores.contract import Notify
from happyhorse_async.stores.pacing import Pace

from .calling import Calling
from .listing import Listing, show_all
from .virtual import Clock, NumberedFuture, NumberedTask, at_once

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which knows the process that each of its tasks belongs to."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(self.clock)
        self.set_task_factory(self._make)

    def time(self) -> float:
        return self.clock.now

    def create_future(self) -> asyncio.Future[Any]:
        return NumberedFuture(loop=self)

    def _make(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        process = _PROCESS.get()
        task = NumberedTask(_Steps(work, process) if process else work, loop=loop, **options)
        if process:
            process.tasks.append(task)
        return task


class _Steps(Coroutine[Any, Any, Any]):
    """Counts the steps of its process. After the last one nothing goes on but its clearing away."""

    def __init__(self, work: Coroutine[Any, Any, Any], process: Process) -> None:
        self.work = work
        self._process = process

    def send(self, value: Any) -> Any:
        self._process.step()
        if self._process.dead:
            return self.work.throw(asyncio.CancelledError())
        return self.work.send(value)

    def throw(self, *error: Any) -> Any:
        return self.work.throw(asyncio.CancelledError() if self._process.dead else error[0])

    def close(self) -> None:
        self.work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """One life of one process. Whatever is started inside `run` belongs to it and dies with it."""

    def __init__(self, world: World, name: str, dies_at: int | None) -> None:
        self.name = name
        self.dead = False
        self.tasks: list[asyncio.Task[Any]] = []
        self._calls: list[asyncio.Task[Any]] = []
        self._world = world
        self._steps = 0
        self._dies_at = dies_at

    async def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do *work* until it ends, or the process does."""
        self._world.alive.add(self.name)
        if self._world.is_cluster:
            self._lose_touch()
        task = self._start(work)
        await asyncio.wait([task])
        self._world.alive.discard(self.name)
        while calls := [call for call in self._calls if not call.done()]:
            await asyncio.wait(calls)
        if not self.dead:
            task.result()
            assert [] == [left for left in self.tasks if not left.done()], "a process has left work behind"
        while left := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(left)

    def _lose_touch(self) -> None:
        # Its connection is cut: for a while it is taken for dead, and knows nothing of it.
        loop, chance = asyncio.get_running_loop(), self._world.chance("touch", self.name)
        if chance.random() < 0.4:
            at = chance.uniform(0, 60)
            loop.call_later(at, self._world.alive.discard, self.name)
            loop.call_later(at + chance.uniform(1, 60), self._come_back)

    def _come_back(self) -> None:
        if not self.dead and not all(task.done() for task in self.tasks):
            self._world.alive.add(self.name)

    def called(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do *work* on behalf of somebody who calls."""
        self._calls.append(self._start(work))
        return self._calls[-1]

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        token = _PROCESS.set(self)
        task = asyncio.get_running_loop().create_task(work)
        _PROCESS.reset(token)
        return task

    def step(self) -> None:
        self._steps += 1
        if self._steps == self._dies_at:
            self.die()

    def die(self) -> None:
        self.dead = True
        self._world.alive.discard(self.name)
        self._world.cut_off(self)
        self._world.crashes += 1
        for task in self.tasks:
            if not task.done():
                self._world.crash_points.update(_awaited_in(task.get_coro()))
                task.cancel()


def _awaited_in(steps: Any) -> list[str]:
    """Name the line of the library at which a task waits."""
    work, found = steps.work, []
    while work is not None and hasattr(work, "cr_frame"):
        if work.cr_frame is not None and "happyhorse_async" in work.cr_code.co_filename:
            found = [f"{work.cr_code.co_qualname}:{work.cr_frame.f_lineno}"]
        work = work.cr_await
    return found


class Store:
    """The store of one process: a queue of operations on the common disk. What is left of it dies with the process."""

    def __init__(self, world: World, process: Process) -> None:
        self.owner = process.name
        # The clocks of machines differ, some by hours.
        self._skew = world.chance("clock", process.name).choice([0.0, 0.0, 2.0, -2.0, 40.0, 3600.0, -3600.0])
        self._world = world
        self._process = process
        self._busy_until = 0.0
        self._numbers = itertools.count()

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    async def add(self, job: Job) -> Job:
        return await self._do(self._world.disk.add(self._to_disk(job)), writes=True)

    async def change(
        self, job: Job, *, only_from: Collection[JobState] | None = None, only_owner: str | None = None
    ) -> Job | None:
        self._world.adopted += only_from == {JobState.OUTCOME_UNKNOWN} and job.task_id is not None
        work = self._world.disk.change(self._to_disk(job), only_from=only_from, only_owner=only_owner)
        return await self._do(work, writes=True)

    async def get(self, job_id: str) -> Job | None:
        return await self._do(self._world.disk.get(job_id))

    async def by_key(self, key: str) -> Job | None:
        return await self._do(self._world.disk.by_key(key))

    async def by_ref(self, ref: hh.TaskRef) -> Job | None:
        return await self._do(self._world.disk.by_ref(ref))

    async def get_many(self, job_ids: Collection[str]) -> list[Job]:
        return await self._do(self._world.disk.get_many(job_ids))

    async def unfinished(self, provider: str, states: Collection[JobState] | None = None) -> list[Job]:
        return await self._do(self._world.disk.unfinished(provider, states))

    async def count(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> Mapping[str, int]:
        return await self._do(self._world.disk.count(endpoints, states))

    async def take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        return await self._do(self._take_over(endpoints, states, limit), writes=True)

    async def _take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        found = []
        for endpoint in endpoints:
            for job in await self._world.disk.unfinished(endpoint.provider, states):
                if (
                    job.endpoint == endpoint
                    and job.owner not in {self.owner, *self._world.alive}
                    and len(found) < limit
                ):
                    found.append(await self._world.disk.change(evolve(job, owner=self.owner)))
        self._world.taken_over += len(found)
        return [job for job in found if job is not None]

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        # What it is told happens in its own process, not in that of the writer.
        context = copy_context()
        self._world.subscribers[self.owner] = lambda job_ids: context.copy().run(notify, job_ids)

        def unsubscribe() -> None:
            self._world.subscribers.pop(self.owner, None)

        return unsubscribe

    async def pace(self, name: str, interval: float) -> float:
        if self._world.is_store_away:
            raise hh.StoreError("the server restarts")
        now = asyncio.get_running_loop().time()
        self._world.paces[name], wait = self._world.paces.get(name, Pace(now)).permit(now, interval)
        await asyncio.sleep(0.001)
        return wait

    async def hold_back(self, name: str, *, pause: float = 0.0, interval: float = 0.0, lasting: float = 0.0) -> None:
        now = asyncio.get_running_loop().time()
        pace = self._world.paces.get(name, Pace(now))
        self._world.paces[name] = pace.held_back(now, pause=pause, interval=interval, lasting=lasting)
        await asyncio.sleep(0.001)

    is_shared = True

    async def get_note(self, name: str) -> str | None:
        return await self._do(self._world.disk.get_note(name))

    async def put_note(self, name: str, text: str) -> None:
        await self._do(self._world.disk.put_note(name, text), writes=True)

    async def is_alive(self, owner: str) -> bool:
        await asyncio.sleep(0.001)
        if self._world.is_store_away:
            raise hh.StoreError("the server restarts")
        return owner in self._world.alive

    def _to_disk(self, job: Job) -> Job:
        """Return *job* with its times as the world knows them, of which its process may have another idea."""
        now = datetime.now(UTC)

        def shifted(moment: datetime | None) -> datetime | None:
            return moment and _BEGIN + (moment - now) + timedelta(seconds=_now() - self._skew)

        return _with_times(job, shifted)

    def _from_disk(self, job: Job) -> Job:
        """Return *job* as a process reads it, by its own clock."""
        now = datetime.now(UTC)

        def shifted(moment: datetime | None) -> datetime | None:
            return moment and now + (moment - _BEGIN) - timedelta(seconds=_now() - self._skew)

        return _with_times(job, shifted)

    def _read(self, found: Any) -> Any:
        if isinstance(found, list):
            return [self._read(each) for each in found]
        return self._from_disk(found) if isinstance(found, Job) else found

    async def _do(self, work: Coroutine[Any, Any, T], *, writes: bool = False) -> T:
        chance = self._world.chance("store", self.owner, next(self._numbers))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        fails = writes and not self._world.calm and chance.random() < 0.02
        self._busy_until = max(self._busy_until, loop.time()) + chance.uniform(0.0, 0.02)
        loop.call_at(self._busy_until, self._finish, work, future, fails, writes)
        return await future

    def _finish(self, work: Coroutine[Any, Any, Any], future: asyncio.Future[Any], fails: bool, writes: bool) -> None:
        if self._process.dead or fails or self._world.is_store_away:
            work.close()
            result: Any = hh.StoreError("the disk is full")
        else:
            try:
                result = self._read(at_once(work))
            except hh.StoreError as error:
                result = error
            if writes:
                self._world.tell_others(self.owner)
        # What is on the disk is not known yet to the one who asked for it.
        future.get_loop().call_later(0.002, _settle, future, result)


_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _with_times(job: Job, shifted: Callable[[datetime | None], datetime | None]) -> Job:
    return evolve(job, created_at=shifted(job.created_at) or job.created_at, submitted_at=shifted(job.submitted_at))


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


@define(eq=False)
class Billed:
    """A task at the provider."""

    task_id: str
    job_id: str
    intent: str
    body: bytes
    end: str
    ends_at: float
    account: str = ""
    looks: int = 0
    blips: int = 0


@define(eq=False)
class _Flight:
    process: Process
    request: hh.HttpRequest
    answer: asyncio.Future[hh.HttpResponse]
    fault: str
    back: float
    cut: bool = False


# What may happen to a request, and how often. "refused" is a documented 503, "unsent" a refused connection; "lost" gets
# there and its answer does not get back; "late" gets there when nobody waits for it any more.
_FAULTS = {
    "POST": {"ok": 70, "unsent": 4, "vanished": 3, "lost": 5, "late": 2, "500": 3, "500 taken": 3, "503": 2,
             "refused": 3, "429": 4, "junk": 3, "redirect": 1},
    "GET": {"ok": 70, "unsent": 3, "vanished": 3, "lost": 3, "500": 4, "429": 4, "junk": 3, "404": 3, "word": 4,
            "back": 3, "no url": 2},
}  # fmt: skip


class Transport:
    """The network of one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        world, loop = self._world, asyncio.get_running_loop()
        # Not the whole body: a job's id is another in every run.
        what = json.loads(request.body)["prompt"] if request.body else request.url
        world.wires[what] += 1
        chance = world.chance("wire", what, world.wires[what])
        fault = world.fault(chance, request)
        await asyncio.sleep(chance.uniform(0, 0.01))
        if fault == "unsent":
            raise hh.TransportError("nobody listens", sent=False)
        flight = _Flight(self._process, request, loop.create_future(), fault, chance.uniform(0.01, 0.5))
        world.flights.append(flight)
        there = timeout + 5 if fault == "late" else chance.uniform(0.01, 0.5)
        loop.call_later(there, world.arrive, flight)
        try:
            async with asyncio.timeout(timeout):
                return await flight.answer
        except TimeoutError:
            raise hh.TransportError("no answer in time", sent=True) from None

    connection_slots = None

    async def aclose(self) -> None: ...


def account_of(url: str) -> str:
    """Return the account whose API is called, in a world that has several."""
    host = urlsplit(url).hostname or ""
    return host.partition(".")[0] if host.endswith(".accounts.example") else ""


class World:
    """All that is outside the processes."""

    def __init__(
        self,
        seed: int,
        *,
        can_list: bool = False,
        calls: bool = False,
        has_accounts: bool = False,
        is_cluster: bool = False,
    ) -> None:
        self.seed = seed
        self.accounts = ("a", "b", "c")[: self.chance("accounts").randint(2, 3)] if has_accounts else ()
        self.calm = False
        self.disk = MemoryStore(keep_prompts=None)
        self.alive: set[str] = set()
        self.subscribers: dict[str, Notify] = {}
        self.paces: dict[str, Pace] = {}
        self.taken_over = 0
        self.is_cluster = is_cluster
        self._tellings = itertools.count()
        self.flights: list[_Flight] = []
        self.wires: Counter[str] = Counter()
        self.billed: dict[str, Billed] = {}
        self.posts: list[tuple[str, str, bytes, str, str]] = []
        self.wrongs: list[str] = []
        self.crashes = 0
        self.crash_points: set[str] = set()
        self.idempotent = self.chance("idempotent").random() < 0.5
        self.adopts = self.chance("adopts").random() < 0.5
        self.adopted = 0
        self.listing = Listing(self) if can_list else None
        self.calling = Calling(self) if calls else None

    def chance(self, *what: object) -> random.Random:
        """Return the chance that *what* depends on, and nothing else does."""
        return random.Random(f"{self.seed} {what}")

    @property
    def is_store_away(self) -> bool:
        """Whether the store of a cluster cannot be reached: its server restarts, now and then."""
        now = _now()
        spell = self.chance("away", int(now / 60))
        return self.is_cluster and not self.calm and spell.random() < 0.2 and now % 60 < spell.uniform(1, 15)

    def tell_others(self, writer: str) -> None:
        """Tell the other processes that something was written: not what, and now and then not at all."""
        for name, notify in list(self.subscribers.items()):
            chance = self.chance("told", name, next(self._tellings))
            if name != writer and chance.random() < 0.9:
                asyncio.get_running_loop().call_later(chance.uniform(0.0, 0.1), self._tell, name, notify)

    def _tell(self, name: str, notify: Notify) -> None:
        if self.subscribers.get(name) is notify and name in self.alive:
            notify(None)

    def is_idempotent(self, account: str) -> bool:
        """Return whether an account has idempotency keys."""
        return self.chance("idempotent", account).random() < 0.5 if account else self.idempotent

    def fault(self, chance: random.Random, request: hh.HttpRequest) -> str:
        """Choose what happens to a request."""
        if self.calm:
            return "ok"
        faults, account = _FAULTS[request.method], account_of(request.url)
        if account and request.method == "POST":
            # An account is in trouble for some minutes, and another one is not.
            spell = self.chance("spell", account, int(asyncio.get_running_loop().time() / 120)).random()
            faults = {**faults, "401": 3, "402": 3, **({"401": 200} if spell < 0.1 else {})}
            faults = {**faults, **({"unsent": 300} if 0.1 < spell < 0.3 else {"refused": 100} if spell < 0.4 else {})}
        [fault] = chance.choices(list(faults), list(faults.values()))
        return fault

    def cut_off(self, process: Process) -> None:
        """Decide what of the requests on the way of a dying process arrives all the same."""
        for number, flight in enumerate(self.flights):
            if flight.process is process:
                flight.cut = self.chance("cut", process.name, number).random() < 0.5

    def arrive(self, flight: _Flight) -> None:
        """Let the provider answer a request."""
        self.flights.remove(flight)
        if flight.cut or flight.fault == "vanished":
            answer: Any = hh.TransportError("the connection was reset", sent=True)
        else:
            is_post = flight.request.method == "POST"
            answer = self._take(flight) if is_post else self._show(urlsplit(flight.request.url), flight.fault)
            if flight.fault == "lost":
                answer = hh.TransportError("the connection was reset", sent=True)
        if not flight.answer.get_loop().is_closed():
            flight.answer.get_loop().call_later(flight.back, _settle, flight.answer, answer)

    def _take(self, flight: _Flight) -> hh.HttpResponse:
        body = flight.request.body or b""
        order = json.loads(body)
        job_id, intent = order["job_id"], order["prompt"]
        account = account_of(flight.request.url)
        key = flight.request.headers.get("Idempotency-Key", "")
        self.posts.append((job_id, key, body, flight.fault, account))
        if flight.fault in ("401", "402", "429", "500", "503"):
            return _answer({"error": "no"}, int(flight.fault))
        if flight.fault == "refused":
            return _answer({"error": "later", "refused": True}, 503)
        if flight.fault == "redirect":
            return _answer({}, 307)
        if intent.startswith("forbidden"):
            return _answer({"error": "no such thing"}, 400)
        task = self._bill(job_id, intent, body, account)
        if flight.fault in ("500 taken", "junk"):
            return _answer({"junk": 1}, 500 if flight.fault == "500 taken" else 200)
        return _answer({"id": task.task_id, "status": "queued"})

    def _bill(self, job_id: str, intent: str, body: bytes, account: str) -> Billed:
        if self.is_idempotent(account):
            for task in self.billed.values():
                if task.job_id == job_id and task.account == account:
                    if task.body != body:
                        self.wrongs.append(f"{job_id}: the same key with other bytes")
                    return task
        job = at_once(self.disk.get(job_id))
        if job is None or job.state not in (JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN):
            self.wrongs.append(f"{job_id} ({intent}) is billed while the journal says {job and job.state}")
        elif account and job.endpoint.provider != account:
            self.wrongs.append(f"{job_id} is billed at {account}, and the journal has it at {job.endpoint.provider}")
        chance, now = self.chance("task", intent), asyncio.get_running_loop().time()
        [end] = chance.choices(["done", "failed", "canceled"], [8, 1, 1])
        name = f"t-{len(self.billed)}"
        self.billed[name] = Billed(name, job_id, intent, body, end, now + chance.uniform(5, 200), account=account)
        if self.listing:
            self.listing.take(name)
        if self.calling:
            self.calling.promise(self.billed[name], json.loads(body).get("call"))
        return self.billed[name]

    def _show(self, url: SplitResult, fault: str) -> hh.HttpResponse:
        if url.path.endswith("/videos"):
            asked = {name: int(value) for name, value in parse_qsl(url.query)}
            account = account_of(url.geturl())
            own = {name: task for name, task in self.billed.items() if task.account == account}
            shown = self.listing.show(**asked, fault=fault) if self.listing else show_all(own, fault)
            return _answer(*shown)
        task = self.billed[url.path.rpartition("/")[2]]
        if task.account != account_of(url.geturl()):
            self.wrongs.append(f"{task.task_id} of {task.account} is looked for at {url.geturl()}")
        task.looks += 1
        task.blips = task.blips + 1 if fault == "404" and task.blips < 3 else 0
        if task.blips:
            return _answer({"error": "unknown"}, 404)
        if fault in ("500", "429"):
            return _answer({"error": "no"}, int(fault))
        if fault == "junk":
            return hh.HttpResponse(status=200, body=b"<html>")
        if asyncio.get_running_loop().time() < task.ends_at:
            word = {"word": "pondering", "back": "queued"}.get(fault, "running")
            return _answer({"id": task.task_id, "status": word})
        urls = [] if task.end != "done" or fault == "no url" else [f"https://files.example/{task.task_id}.mp4"]
        return _answer({"id": task.task_id, "status": task.end, "urls": urls})


def _answer(document: Mapping[str, Any], status: int = 200) -> hh.HttpResponse:
    return hh.HttpResponse(status=status, body=json.dumps(document).encode())


@pytest.fixture
def simulation() -> Any:
    """Make worlds of the parts above."""
    return sys.modules[__name__]
