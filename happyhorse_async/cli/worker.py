"""
`happyhorse worker`: sends, polls and saves what other processes have written down, until it is told to stop.

On SIGTERM or Ctrl-C it takes nothing new, waits for a paid request that is on its way, and leaves everything else to
the other workers.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from ..client import Client, Health
from ..client.client import make_worker
from ..errors import ConfigurationError
from ..listening import listen
from .output import Output
from .session import Session

_STATUS_INTERVAL = 10.0
_IDLE = "nothing to do"


class Worker:
    """
    One run of the worker.

    :param concurrency: how many jobs it has at a time; `None` for as many as the limits allow.
    :param health_port: the port on which it answers health checks; `None` for none, 0 for a free one.
    :raises ConfigurationError: there is no journal that other processes could share.
    """

    def __init__(
        self, output: Output, session: Session, *, concurrency: int | None = None, health_port: int | None = None
    ) -> None:
        session.check_memory("a worker")
        self._output = output
        self._session = session
        self._concurrency = concurrency
        self._health_port = health_port
        self._is_stopping = False
        self._shown = ""

    async def run(self, providers: Sequence[str]) -> None:
        """
        Work until this is cancelled.

        :param providers: the sections whose jobs it takes; all if there are none.
        """
        client = self._session.shared_client(
            lambda settings, store: make_worker(settings, store, providers=providers, concurrency=self._concurrency)
        )
        async with self._answering(client):
            try:
                async with client:
                    await self._work(client)
            finally:
                self._output.event("stopped")
                self._output.note("stopped; unfinished jobs are left to other workers")

    async def _work(self, client: Client) -> None:
        health = await client.health()
        self._output.event("working", accounts=list(health.accounts))
        self._output.note(f"working for {', '.join(health.accounts)}; SIGTERM or Ctrl-C stops it")
        try:
            while True:
                self._show(await client.health())
                await asyncio.sleep(_STATUS_INTERVAL)
        except asyncio.CancelledError:
            # It was told to stop, which is how every worker ends.
            self._is_stopping = True
            self._output.event("stopping")
            self._output.note("stopping: nothing new is taken, and a request on its way is waited for")

    def _show(self, health: Health) -> None:
        counts = Counter[str]()
        for account in health.accounts.values():
            counts.update({state.value: count for state, count in account.jobs.items()})
        line = ", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items())) or _IDLE
        if health.store_error is not None:
            line += f"; the journal: {health.store_error}"
        if line != self._shown:
            self._shown = line
            self._output.event("status", jobs=dict(counts), store_error=health.store_error)
            self._output.note(line)

    @asynccontextmanager
    async def _answering(self, client: Client) -> AsyncGenerator[None]:
        """Answer health checks, also while the worker opens and stops."""
        if self._health_port is None:
            yield
            return

        async def answer(_: web.Request) -> web.Response:
            health = await client.health()
            is_ready = health.is_ready and not self._is_stopping
            document = {"ready": is_ready, "stopping": self._is_stopping, **health.to_dict()}
            return web.Response(
                status=200 if is_ready else 503, text=json.dumps(document), content_type="application/json"
            )

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            port = await self._listen(runner, self._health_port)
            self._output.event("health", port=port)
            self._output.note(f"health checks are answered on port {port}")
            yield
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, port: int) -> int:
        try:
            return await listen(runner, None, port)
        except OSError as error:
            raise ConfigurationError(f"--health-port {port}: {error.strerror or error}") from None
