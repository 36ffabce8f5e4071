"""
Runs enqueued jobs as durable workflows of DBOS.

Each job has one workflow, whose id is the job id. It calls `Client.run`, which pays once however often it is called:
DBOS promises at least once, and the journal makes that exactly once. DBOS has one instance per process, with threads
of its own; all calls of it are made in threads of this engine, so that the event loop is not blocked.

https://docs.dbos.dev/python/reference/dbos-class
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from ..background import Background
from ..errors import ConfigurationError, HappyHorseError, StoreError
from ..job import JobState
from ..logs import get_logger
from ..stores import MemoryStore
from ..stores.contract import TaskStore
from .contract import EngineJobs

if TYPE_CHECKING:
    from dbos import WorkflowStatus

T = TypeVar("T")

_log = get_logger(__name__)

_WORKFLOW = "happyhorse_run"
_NAME = re.compile(r"[a-z0-9_-]{3,100}")
# Executors of this prefix are processes whose liveness the journal knows. Others are somebody else's.
_EXECUTOR = "happyhorse:"
_THREADS = 8
_CLOSING_GRACE = 5.0
_TAKEOVER_INTERVAL = 2.0
_SEARCH_INTERVAL = 10.0
# Each search for lost jobs reads all that are queued. So many are read per second on average.
_READ_RATE = 100
_CHUNK = 200
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_OPENED_POLL = 0.1


class DBOSEngine:
    """
    Runs enqueued jobs as durable workflows of DBOS (https://docs.dbos.dev): an engine for `Client(engine=…)`.

    DBOS needs the extra `dbos`, and a store that lasts and that all processes share: a `PostgresStore`, or on one
    machine a `SQLiteStore`. If the program has launched DBOS itself, that instance is used and never destroyed; make
    this object before `DBOS.launch()`, so that the workflow is known by then. Otherwise the engine launches DBOS when
    the client is opened, and destroys it when the client is closed. In a process that does not work (`work=False`) it
    only enqueues.

    :param url: the system database of DBOS, such as `postgresql://…`; by default the database of the `PostgresStore`.
        Not used where the program has launched DBOS itself.
    :param name: the application in DBOS, and the queue. What a dead process has left goes to the queue `NAME-again`,
        which has no limits.
    :param application_version: which processes may run each other's workflows: those with the same one. The default of
        DBOS, a hash of the program, would leave what an older release has begun.
    :param schema: the schema of the tables of DBOS.
    :param concurrency: how many workflows of the queue one process runs at a time. The limits of the providers hold in
        any case.
    :param polling_interval: seconds between two questions of each process for new workflows.
    :raises ConfigurationError: the extra is not installed, or a value cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str = "happyhorse",
        application_version: str = "happyhorse",
        schema: str = "dbos",
        concurrency: int = 1000,
        polling_interval: float = 1.0,
    ) -> None:
        _check_installed()
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"name: expected 3 to 100 of a-z, 0-9, _ and -, not {name!r}")
        if concurrency < 1 or not polling_interval > 0:
            raise ConfigurationError("concurrency must be at least 1, and polling_interval more than 0 seconds")
        self._url = url
        self._name = name
        self._version = application_version
        self._schema = schema
        self._concurrency = concurrency
        self._polling_interval = polling_interval
        self._connection: _Connection | None = None
        _register()

    def __repr__(self) -> str:
        return f"DBOSEngine(name={self._name!r})"

    async def open(self, jobs: EngineJobs) -> None:
        """
        Connect to DBOS, or launch it.

        :raises ConfigurationError: the store does not last, no database is named, it cannot be used, or the program has
            made a DBOS that it has not launched.
        :raises RuntimeError: the engine is open already, or another one of this name is.
        """
        if self._connection is not None or self._name in _OPEN:
            raise RuntimeError(f"the engine {self._name!r} is already open in this process: each client needs its own")
        _check_store(jobs.store)
        connection = _Connection(self._name, self._version, jobs)
        try:
            url = self._url or getattr(jobs.store, "direct_url", None)
            if jobs.works:
                await connection.launch(url, self._schema, self._concurrency, self._polling_interval)
                _OPEN[self._name] = connection
                if jobs.recovers:
                    connection.background.spawn(_Sweep(connection).run())
            else:
                await connection.connect(url, self._schema)
        except BaseException:
            _OPEN.pop(self._name, None)
            await connection.aclose()
            raise
        self._connection = connection

    def start(self, job_id: str) -> None:
        """Enqueue the workflow of a job, in the background. If that fails, a process that works does it later."""
        connection = self._connection
        if connection is not None:
            connection.starting.spawn(connection.start(job_id))

    async def aclose(self) -> None:
        """Stop running workflows. They go on in another process, or here when the client is opened again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _OPEN.pop(self._name, None)
            await connection.aclose()


class _Connection:
    """An open engine: DBOS in this process, or a client of it that only enqueues."""

    def __init__(self, name: str, version: str, jobs: EngineJobs) -> None:
        self.name = name
        self.jobs = jobs
        self.loop = asyncio.get_running_loop()
        self.background = Background()
        self.starting = Background()
        self.is_launched = False
        """Whether DBOS was launched by this engine."""
        self.executor_id = f"{_EXECUTOR}{jobs.store.owner}"
        self._version = version
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="happyhorse-dbos")
        self._dbos: Any = None
        self._client: Any = None
        self._is_failing = False

    @property
    def again(self) -> str:
        """The queue of what dead processes have left."""
        return f"{self.name}-again"

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call *function* in a thread, without the context of the caller, which may be a workflow."""
        return await self.loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def launch(self, url: str | None, schema: str, concurrency: int, polling_interval: float) -> None:
        """Use the DBOS of this process, or launch one."""
        from dbos import DBOS  # noqa: PLC0415 - an extra

        if not await self.call(_is_launched):
            await self.call(self._launch, _checked(url), schema)
        self._dbos = DBOS
        await self.call(
            DBOS.register_queue, self.name, worker_concurrency=concurrency, polling_interval_sec=polling_interval
        )
        await self.call(DBOS.register_queue, self.again, polling_interval_sec=polling_interval)

    def _launch(self, url: str, schema: str) -> None:
        # In a thread, where there is no event loop that DBOS would take for its own, and give its executor to.
        from dbos import DBOS, DBOSPortableJSONSerializer  # noqa: PLC0415 - an extra

        with _hiding_url():
            DBOS(
                config={
                    "name": self.name,
                    "system_database_url": url,
                    "dbos_system_schema": schema,
                    "executor_id": self.executor_id,
                    "application_version": self._version,
                    "serializer": DBOSPortableJSONSerializer(),
                    "log_level": "WARNING",
                }
            )
        # There is one instance per process: the second call returns the first one, and ignores what it is given.
        if DBOS.executor_id != self.executor_id:
            raise ConfigurationError(
                "this program has made a DBOS and not launched it: call DBOS.launch() before the client is opened, or "
                "make none"
            )
        self.is_launched = True
        with _hiding_url():
            DBOS.launch()

    async def connect(self, url: str | None, schema: str) -> None:
        """Prepare to enqueue. No connection is made before the first job."""
        from dbos import DBOSClient, DBOSPortableJSONSerializer  # noqa: PLC0415 - an extra

        checked = _checked(url)

        def make() -> Any:
            with _hiding_url():
                return DBOSClient(
                    system_database_url=checked,
                    dbos_system_schema=schema,
                    serializer=DBOSPortableJSONSerializer(),
                    system_database_pool_size=_THREADS,
                    application_name=self.name,
                    lazy=True,
                    retry_connection_errors=False,
                )

        self._client = await self.call(make)

    async def start(self, job_id: str) -> None:
        """Enqueue the workflow of a job. If there is one already, this changes nothing."""
        try:
            await self.call(self._enqueue, job_id)
        except Exception as error:  # noqa: BLE001 - DBOS raises those of its database driver, too
            if not self._is_failing:
                # The message may hold the URL of the database.
                _log.warning("jobs cannot be given to DBOS: %s. It is tried again", type(error).__name__)
            self._is_failing = True
        else:
            self._is_failing = False

    def _enqueue(self, job_id: str) -> None:
        from dbos import EnqueueOptions, WorkflowSerializationFormat  # noqa: PLC0415 - an extra

        options: EnqueueOptions = {
            "workflow_name": _WORKFLOW,
            "queue_name": self.name,
            "workflow_id": job_id,
            "serialization_type": WorkflowSerializationFormat.PORTABLE,
        }
        if self._client is not None:
            self._client.enqueue(options, self.name, job_id)
        else:
            self._dbos.enqueue_workflow_with_options(options, self.name, job_id)

    async def workflows(self, **conditions: Any) -> list[WorkflowStatus]:
        """List workflows, without their inputs and outputs."""
        found: list[WorkflowStatus] = await self.call(
            self._dbos.list_workflows, **conditions, load_input=False, load_output=False
        )
        return found

    async def resume(self, workflow_ids: list[str]) -> None:
        """Have workflows of dead processes run again."""
        await self.call(self._dbos.resume_workflows, workflow_ids, queue_name=self.again)

    def submit(self, job_id: str) -> Future[dict[str, str]]:
        """Run a job on the event loop of the client. Called from the event loop of DBOS."""
        return asyncio.run_coroutine_threadsafe(self._run(job_id), self.loop)

    async def _run(self, job_id: str) -> dict[str, str]:
        return await self.background.spawn(self._run_to_end(job_id))

    async def _run_to_end(self, job_id: str) -> dict[str, str]:
        pause = _FIRST_PAUSE
        while True:
            try:
                task = await self.jobs.run(job_id)
            except HappyHorseError as error:
                if await self._is_settled(job_id):
                    raise
                # The journal cannot be reached, or this process cannot poll the task. The workflow waits for its job.
                _log.warning("job %s goes on later: %s", job_id, error.message)
            else:
                # No URLs: DBOS keeps what a workflow returns, and they are credentials.
                return {"job_id": job_id, "ref": str(task.ref), "status": str(task.status)}
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _is_settled(self, job_id: str) -> bool:
        try:
            job = await self.jobs.read(job_id)
        except StoreError:
            return False
        except HappyHorseError:
            return True
        return job.state.is_final or job.state is JobState.OUTCOME_UNKNOWN

    async def aclose(self) -> None:
        """Stop. What runs is left to others."""
        await self.starting.settle(_CLOSING_GRACE)
        await self.starting.aclose()
        await self.background.aclose()
        if self.is_launched:
            from dbos import DBOS  # noqa: PLC0415 - an extra

            await self.call(DBOS.destroy)
        if self._client is not None:
            await self.call(self._client.destroy)
        self._threads.shutdown(wait=False)


class _Sweep:
    """
    Finds workflows that dead processes have left, and jobs that have no workflow.

    Two processes may find the same at the same time. Then a job is run in both, and one of them waits for the other.
    """

    def __init__(self, connection: _Connection) -> None:
        self._engine = connection
        self._suspects: set[str] = set()
        self._is_failing = False

    async def run(self) -> None:
        """Do so for ever."""
        search_in = 0.0
        while True:
            try:
                if self._engine.is_launched:
                    await self._take_over()
                if search_in <= 0:
                    count = await self._search()
                    search_in = max(_SEARCH_INTERVAL, count / _READ_RATE)
            except Exception as error:  # noqa: BLE001 - DBOS raises those of its database driver, too
                if not self._is_failing:
                    reason = error.message if isinstance(error, HappyHorseError) else type(error).__name__
                    _log.warning("what dead processes have left cannot be found in DBOS: %s", reason)
                self._is_failing = True
            else:
                self._is_failing = False
            pause = _TAKEOVER_INTERVAL * random.uniform(0.7, 1.3)
            search_in -= pause
            await asyncio.sleep(pause)

    async def _take_over(self) -> None:
        """Resume the workflows of dead processes, those of the program included."""
        engine = self._engine
        pending = await engine.workflows(status="PENDING")
        dead: dict[str, bool] = {}
        for executor in {workflow.executor_id or "" for workflow in pending} - {engine.executor_id}:
            if executor.startswith(_EXECUTOR):
                dead[executor] = not await engine.jobs.store.is_alive(executor.removeprefix(_EXECUTOR))
        left = [workflow.workflow_id for workflow in pending if dead.get(workflow.executor_id or "")]
        if left:
            await engine.resume(left)
            _log.info("%d workflows of dead processes are resumed", len(left))

    async def _search(self) -> int:
        """
        Start what has no workflow, and what was started by a process that has died, if two searches find it so.

        A single search also finds jobs that another process is just starting.

        :return: how many jobs were read.
        """
        jobs = {job.job_id: job for job in await self._engine.jobs.unsent()}
        ids = list(jobs)
        known: dict[str, str] = {}
        for first in range(0, len(ids), _CHUNK):
            for workflow in await self._engine.workflows(workflow_ids=ids[first : first + _CHUNK]):
                known[workflow.workflow_id] = workflow.status
        missing = {job_id for job_id in ids if job_id not in known}
        orphans: set[str] = set()
        if not self._engine.is_launched:
            # Who has died is not known of executors that others have named. But where a job has had an owner, its
            # workflow had begun.
            orphans = {job_id for job_id in ids if known.get(job_id) == "PENDING" and jobs[job_id].owner}
        for job_id in missing & self._suspects:
            await self._engine.start(job_id)
        if abandoned := list(orphans & self._suspects):
            await self._engine.resume(abandoned)
        self._suspects = missing | orphans
        return len(ids)


# DBOS has one registry of workflows for a process, in which functions have no owner.
_OPEN: dict[str, _Connection] = {}


async def _run_job(engine: str, job_id: str) -> dict[str, str]:
    """Run a job, as a workflow. It waits while no client of this process is open."""
    while True:
        while (connection := _OPEN.get(engine)) is None or connection.loop.is_closed():  # noqa: ASYNC110 - no event of one loop
            await asyncio.sleep(_OPENED_POLL)
        running = asyncio.wrap_future(connection.submit(job_id))
        try:
            return await running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The client was closed, and may be opened again.


@cache
def _register() -> None:
    from dbos import DBOS, WorkflowSerializationFormat  # noqa: PLC0415 - an extra

    # DBOS gives up what has been recovered a hundred times; a job is run until it has ended.
    decorate = DBOS.workflow(
        name=_WORKFLOW, max_recovery_attempts=None, serialization_type=WorkflowSerializationFormat.PORTABLE
    )
    decorate(_run_job)


def _is_launched() -> bool:
    from dbos import DBOS, error  # noqa: PLC0415 - an extra

    with suppress(error.DBOSException):
        DBOS.list_queues()
        return True
    return False


def _check_installed() -> None:
    try:
        # Here, because an engine is mostly made before the event loop runs: the import takes more than half a second.
        import_module("dbos")
    except ImportError:
        raise ConfigurationError(
            "DBOSEngine needs DBOS: install the extra, pip install 'happyhorse-async[dbos]'"
        ) from None


def _check_store(store: TaskStore) -> None:
    if isinstance(store, MemoryStore):
        raise ConfigurationError(
            "an engine needs a store that lasts and that all processes share: a PostgresStore, or on one machine a "
            "SQLiteStore. This client's jobs are recorded in memory"
        )


def _checked(url: str | None) -> str:
    if not url:
        raise ConfigurationError(
            "DBOSEngine needs the URL of its system database, because the store has none: DBOSEngine(url), or url_env "
            "in the table [engine]"
        )
    # SQLAlchemy knows one of the two names that libpq has.
    return re.sub(r"^postgres://", "postgresql://", url)


@contextmanager
def _hiding_url() -> Generator[None]:
    """Turn what DBOS raises into an error that does not show the URL of the database, which may hold a password."""
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 - comes with DBOS

    try:
        yield
    except OperationalError as error:
        reason = type(error.orig).__name__
        refusal: HappyHorseError = StoreError(
            f"the system database of DBOS cannot be reached, or refuses the user: {reason}"
        )
    except Exception as error:  # noqa: BLE001 - DBOS raises those of its database driver, too
        refusal = ConfigurationError(
            f"DBOS cannot use its system database: {type(error).__name__}. Check the URL of the engine"
        )
    else:
        return
    raise refusal
