"""What becomes of an open client where its process ends, forks, or wants to hand it to another."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")

# What every script begins with: a client that is open and waits for a task.
_PRELUDE = """
import asyncio, multiprocessing, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from submit_many import fifth_adapter
import happyhorse_async as hh

async def opened(store=None):
    adapter = fifth_adapter(idempotent=False)
    poll = hh.PollSchedule(interval=3600)
    client = hh.Client(adapter, api_key="sk-0451-6789", base_url=sys.argv[1], store=store, poll=poll)
    await client.__aenter__()
    return client, await client.submit(hh.TextToVideo("a train at night"), save_to="train.mp4")
"""


async def run(gateway: Gateway, script: str, folder: Path) -> tuple[int | None, str, str]:
    """Run a script to its end, and return its exit code and what it has printed to either place."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    journal = str(Path(__file__).parent / "journal")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "always", "-c", _PRELUDE + script, gateway.url, journal),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        printed, details_list = await process.communicate()
    return process.returncode, printed.decode(), details_list.decode()


@pytest.mark.fault(80)
@pytest.mark.parametrize(
    "script",
    [
        "asyncio.run(opened())",
        "kept = asyncio.run(opened(hh.SQLiteStore('jobs.sqlite')))",
        "loop = asyncio.new_event_loop()\nkept = loop.run_until_complete(opened(hh.SQLiteStore('jobs.sqlite')))",
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(opened())\nsys.exit()",
    ],
)
async def test_a_process_that_ends(gateway: Gateway, tmp_path: Path, script: str) -> None:
    """The interpreter ends at once and well, and says that a client was never closed without a storm of tracebacks."""
    code, _, details_list = await run(gateway, script, tmp_path)

    assert 0 == code
    assert 1 == details_list.count("the client of fifth was never closed")
    # asyncio has a line for each task of a loop that was thrown away, and a traceback for the one that held a lock.
    assert details_list.count("Traceback") <= (1 if "sys.exit" in script else 0)
    assert details_list.count("\n") < 80


@pytest.mark.fault(79)
async def test_a_loop_that_is_closed(gateway: Gateway, tmp_path: Path) -> None:
    """A client whose loop was closed cannot be used on another, but it can be closed there."""
    script = """
loop = asyncio.new_event_loop()
client, handle = loop.run_until_complete(opened())
for task in asyncio.all_tasks(loop):
    task.cancel()
loop.run_until_complete(asyncio.sleep(0.1))
loop.close()

async def use():
    for work in (client.fetch("fifth:t-1"), handle.wait(), client.aclose()):
        try:
            await work
        except RuntimeError as error:
            print(error)

asyncio.run(use())
"""
    code, printed, _ = await run(gateway, script, tmp_path)

    assert 0 == code
    assert [
        "the client was opened in another event loop; each loop needs a client of its own"
    ] * 2 == printed.splitlines()


@pytest.mark.fault(80)
async def test_a_forked_child(gateway: Gateway, tmp_path: Path) -> None:
    """A child process is told to open a client of its own, can do so, and leaves its parent's alone."""
    script = """
def in_child(client, handle):
    async def use(work):
        try:
            await work
        except RuntimeError as error:
            print("refused:", error, flush=True)
    for work in (client.fetch("fifth:t-1"), handle.wait(), client.aclose()):
        asyncio.run(use(work))
    async def anew():
        async with hh.Client(fifth_adapter(idempotent=False), api_key="sk-0451-6789", base_url=sys.argv[1]) as own:
            print("child:", (await own.fetch("fifth:t-1")).status, flush=True)
    asyncio.run(anew())

async def main():
    client, handle = await opened(hh.SQLiteStore("jobs.sqlite"))
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(client, handle))
    child.start()
    while child.is_alive():
        await asyncio.sleep(0.01)
    print("code:", child.exitcode)
    print("parent:", (await client.fetch(handle.ref)).status, [job.state.value for job in await client.pending()])
    await client.aclose()

asyncio.run(main())
"""
    code, printed, details_list = await run(gateway, script, tmp_path)
    lines = printed.splitlines()

    assert 0 == code
    assert 3 == len([line for line in lines if line.startswith("refused:") and "forked" in line])
    assert ["child: RUNNING", "code: 0", "parent: RUNNING ['ACCEPTED']"] == lines[3:]
    assert "Traceback" not in details_list
    assert "never closed" not in details_list


@pytest.mark.fault(80)
async def test_what_cannot_be_pickled(gateway: Gateway, fifth: Fifth) -> None:
    """Neither a client nor a handle goes into a pickle, and each says what does."""
    gateway.accept("t-1")
    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        for thing, words in [(client, "make one in each process"), (handle, r"str\(handle.ref\)")]:
            with pytest.raises(TypeError, match=words):
                pickle.dumps(thing)

    with pytest.raises(TypeError, match="API key"):
        pickle.dumps(fifth.client())
    assert handle.ref == pickle.loads(pickle.dumps(handle.ref))


class Unreachable:
    """A transport that has nothing to close."""

    connection_slots = None

    async def send(self, request: hh.HttpRequest, *, timeout: float) -> hh.HttpResponse:
        raise hh.TransportError("no network", sent=False)

    def stream(self, request: hh.HttpRequest, *, timeout: float) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None: ...


@pytest.mark.fault(80)
async def test_a_client_that_is_dropped(fifth: Fifth) -> None:
    """A client that nobody has and nobody closed is warned of; one that was closed, or never opened, is not."""
    clients = [fifth.client(transport=Unreachable())]
    await clients[0].__aenter__()
    with pytest.warns(ResourceWarning, match="the client of fifth was never closed"):  # noqa: PT031
        clients.clear()
        gc.collect()

    async with fifth.client():
        pass
    fifth.client()
    gc.collect()
