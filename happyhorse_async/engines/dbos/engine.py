"""The engine that a program gives to its client."""

from __future__ import annotations

import re
from importlib import import_module

from ...errors import ConfigurationError
from ...stores import MemoryStore
from ...stores.contract import TaskStore
from ..contract import EngineJobs
from .connection import Connection
from .sweep import Sweep
from .workflow import OPEN, register

_NAME = re.compile(r"[a-z0-9_-]{3,100}")


class DBOSEngine:
    """
    Runs enqueued jobs as durable workflows of DBOS (https://docs.dbos.dev): an engine for `Client(engine=…)`.

    It needs the extra `dbos`, and a persistent store that all processes share: a `PostgresStore`, or on one
    machine a `SQLiteStore`. If the program has launched DBOS itself, that instance is used and never destroyed; make
    this object before `DBOS.launch()`, so that the workflow is known by then. Otherwise the engine launches DBOS when
    the client is opened, and destroys it when the client is closed. In a process that does not work (`work=False`) it
    only enqueues.

    :param url: the system database of DBOS, such as `postgresql://…`; by default the database of the `PostgresStore`.
        Not used where the program has launched DBOS itself.
    :param name: the application in DBOS, and the queue. Workflows of dead processes go to the queue `NAME-again`, which
        has no limits.
    :param application_version: processes with the same version run each other's workflows. With DBOS's default, a hash
        of the program, the workflows of an older release would be abandoned.
    :param schema: the schema of the tables of DBOS.
    :param concurrency: how many workflows of the queue one process runs at a time. The limits of the providers always
        apply.
    :param polling_interval: seconds between two checks of each process for new workflows.
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
        self._connection: Connection | None = None
        register()

    def __repr__(self) -> str:
        return f"DBOSEngine(name={self._name!r})"

    async def open(self, jobs: EngineJobs) -> None:
        """
        Connect to DBOS, or launch it.

        :raises ConfigurationError: the store does not last, no database is named, it cannot be used, or the program has
            made a DBOS that it has not launched.
        :raises RuntimeError: the engine is open already, or another one of this name is.
        """
        if self._connection is not None or self._name in OPEN:
            raise RuntimeError(f"the engine {self._name!r} is already open in this process: each client needs its own")
        _check_store(jobs.store)
        connection = Connection(self._name, self._version, jobs)
        try:
            url = self._url or getattr(jobs.store, "direct_url", None)
            if jobs.works:
                await connection.launch(url, self._schema, self._concurrency, self._polling_interval)
                OPEN[self._name] = connection
                if jobs.recovers:
                    connection.background.spawn(Sweep(connection).run())
            else:
                await connection.connect(url, self._schema)
        except BaseException:
            OPEN.pop(self._name, None)
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
            OPEN.pop(self._name, None)
            await connection.aclose()


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
