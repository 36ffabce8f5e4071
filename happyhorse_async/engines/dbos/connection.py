"""DBOS in this process, or a client of it. All calls are made in threads, because DBOS blocks."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ...background import Background
from ...errors import ConfigurationError, HappyHorseError, StoreError
from ...job import JobState
from ...logs import get_logger
from ..contract import EngineJobs
from .names import EXECUTOR, WORKFLOW

if TYPE_CHECKING:
    from dbos import WorkflowStatus

T = TypeVar("T")

_log = get_logger(__name__)

_DEFAULT_EXECUTOR = "local"
_THREADS = 8
_CLOSING_GRACE = 5.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_SQLITE_WITH_MILLISECONDS = (3, 42)


class Connection:
    """An open engine: DBOS in this process, or a client of it that only enqueues."""

    def __init__(self, name: str, version: str, jobs: EngineJobs) -> None:
        self.name = name
        self.jobs = jobs
        self.loop = asyncio.get_running_loop()
        self.background = Background()
        self.starting = Background()
        self.is_launched = False
        """Whether DBOS was launched by this engine."""
        self.executor_id = f"{EXECUTOR}{jobs.store.owner}"
        self._version = version
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="happyhorse-dbos")
        self._dbos: Any = None
        self._client: Any = None
        self._is_failing = False

    @property
    def again(self) -> str:
        """The queue for workflows of dead processes."""
        return f"{self.name}-again"

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call *function* in a thread, without the context of the caller, which may be a workflow."""
        return await self.loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def launch(self, url: str | None, schema: str, concurrency: int, polling_interval: float) -> None:
        """Use the DBOS of this process, or launch one."""
        from dbos import DBOS  # noqa: PLC0415 - an extra

        if not await self.call(_is_launched):
            await self.call(self._launch, _checked(url), schema)
        elif DBOS.executor_id == _DEFAULT_EXECUTOR:
            _log.warning(
                "the DBOS of this program has the executor id %r, as every process that sets none: when one of them "
                "starts, it takes up what the others are running. Set executor_id",
                DBOS.executor_id,
            )
        self._dbos = DBOS
        await self.call(
            DBOS.register_queue, self.name, worker_concurrency=concurrency, polling_interval_sec=polling_interval
        )
        await self.call(DBOS.register_queue, self.again, polling_interval_sec=polling_interval)

    def _launch(self, url: str, schema: str) -> None:
        # In a thread without an event loop, because DBOS would adopt a running loop and set its executor.
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
            "workflow_name": WORKFLOW,
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
                _log.warning("job %s continues later: %s", job_id, error.message)
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
        """Stop. Running workflows are left to other processes."""
        await self.starting.settle(_CLOSING_GRACE)
        await self.starting.aclose()
        await self.background.aclose()
        if self.is_launched:
            from dbos import DBOS  # noqa: PLC0415 - an extra

            await self.call(DBOS.destroy)
        if self._client is not None:
            await self.call(self._client.destroy)
        self._threads.shutdown(wait=False)


def _is_launched() -> bool:
    from dbos import DBOS, error  # noqa: PLC0415 - an extra

    with suppress(error.DBOSException):
        DBOS.list_queues()
        return True
    return False


def _checked(url: str | None) -> str:
    if not url:
        raise ConfigurationError(
            "DBOSEngine needs the URL of its system database, because the store has none: DBOSEngine(url), or url_env "
            "in the table [engine]"
        )
    if url.startswith("sqlite"):
        _check_sqlite()
    # SQLAlchemy knows one of the two names that libpq has.
    return re.sub(r"^postgres://", "postgresql://", url)


def _check_sqlite() -> None:
    # With these versions of Python, DBOS lets SQLite count milliseconds, which returns NULL where SQLite cannot.
    if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < _SQLITE_WITH_MILLISECONDS:
        raise ConfigurationError(
            f"with Python 3.12 and newer, DBOS needs SQLite 3.42 or newer, not {sqlite3.sqlite_version}: "
            "give the engine the URL of a PostgreSQL database, or use a Python with a newer SQLite"
        )


@contextmanager
def _hiding_url() -> Generator[None]:
    """Convert errors of DBOS into errors without the URL of the database, which may hold a password."""
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
