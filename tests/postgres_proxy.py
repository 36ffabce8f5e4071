"""A proxy before a PostgreSQL server that loses answers, falls silent, and cuts connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Proxy:
    """Passes on what clients and the server at *port* send, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self.lose_answer_to: bytes | None = None
        """The connection that sends this next is cut once the server has answered: the answer is lost."""
        self.is_silent = False
        """Whether nothing is passed on any more."""
        self.lost = 0
        self.port = 0
        self.server_port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, on a free port at first and on the same one ever after."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut all connections, and listen no longer."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut all connections."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)
        self._tasks.discard(task)
        writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        loses = asyncio.Event()

        async def to_server() -> None:
            while data := await reader.read(65536):
                await self._pause()
                if self.lose_answer_to is not None and self.lose_answer_to in data:
                    self.lose_answer_to = None
                    loses.set()
                server_writer.write(data)

        async def to_client() -> None:
            while data := await server_reader.read(65536):
                await self._pause()
                if loses.is_set():
                    self.lost += 1
                    return
                writer.write(data)

        tasks = {asyncio.ensure_future(to_server()), asyncio.ensure_future(to_client())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server_writer.transport.abort()

    async def _pause(self) -> None:
        if self.is_silent:
            await asyncio.Event().wait()
