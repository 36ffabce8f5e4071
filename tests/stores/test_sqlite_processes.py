"""Several processes with the same file, some of which are killed without warning."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job
from happyhorse_async.stores import SQLiteStore

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")

# Prints the id of each job once it is written, from several writers at once, until the process is killed.
WRITE_FOR_EVER = """
async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()

    async def write(writer):
        for number in range(1_000_000):
            job = await store.add(new_job(f"{writer}-{number}", key=f"key-{writer}-{number}", body=b"{}"))
            print(job.job_id, flush=True)

    await asyncio.gather(*(write(writer) for writer in range(5)))

asyncio.run(main())
"""

# Opens the store, prints its owner, and waits to be killed, or for its input to end.
STAY = """
async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    print(store.owner, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await store.aclose()

asyncio.run(main())
"""

# Forks a child that outlives its parent. The lock that the child inherits shows that it is alive.
STAY_WITH_CHILD = """
import fcntl, time

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    lock = open(sys.argv[2], "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    child = os.fork()
    if child == 0:
        os.close(0)
        os.close(1)
        time.sleep(30)
        os._exit(0)
    print(store.owner, child, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# A forked child tries to use the store that its parent has opened.
USE_AFTER_FORK = """
import warnings

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    await store.add(new_job("parent"))
    child = os.fork()
    if child == 0:
        for use in (lambda: store.add(new_job("child")), store.open, lambda: store.is_alive("x"), store.aclose):
            try:
                await use()
            except RuntimeError as error:
                print(error)
            else:
                print("no error")
        with warnings.catch_warnings(record=True, action="always") as warned:
            use = store = None
        print("warnings:", len(warned))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    await store.add(new_job("parent-again"))
    await store.aclose()

asyncio.run(main())
"""

# Waits for a line of input, then adds the same keys as every other process and prints which jobs it got.
ADD_KEYS = """
async def main():
    store = SQLiteStore(sys.argv[1], busy_timeout=30)
    await store.open()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(100):
        job = await store.add(new_job(f"{sys.argv[2]}-{number}", key=f"order-{number}"))
        print(job.job_id, flush=True)
    await store.aclose()

asyncio.run(main())
"""


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def kill(process: asyncio.subprocess.Process) -> bytes:
    process.kill()
    output, _ = await process.communicate()
    return output


@pytest.mark.fault(75)
@pytest.mark.parametrize("count", [1, 40, 700])
async def test_written_jobs_survive_a_kill(path: Path, start: Start, open_file: OpenFile, count: int) -> None:
    """Every job that was reported as written before the process was killed is there after it."""
    process = await start(WRITE_FOR_EVER, path)
    told = [await line(process) for _ in range(count)]
    rest = (await kill(process)).decode().rpartition("\n")[0].split()
    store = await open_file()
    found = await store.unfinished("main")

    assert -signal.SIGKILL == process.returncode
    assert {*told, *rest} <= {job.job_id for job in found}
    assert all(job.body == b"{}" and job.key == f"key-{job.job_id}" for job in found)


@pytest.mark.fault(74)
async def test_two_processes_that_add_the_same_keys_get_the_same_jobs(
    path: Path, start: Start, open_file: OpenFile
) -> None:
    """There are no other jobs."""
    processes = [await start(ADD_KEYS, path, name) for name in ("first", "second")]
    for process in processes:
        assert "ready" == await line(process)
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    first, second = (output.decode().split() for output, _ in outputs)
    found = await (await open_file()).unfinished("main")

    assert 100 == len(first)
    assert first == second
    assert set(first) == {job.job_id for job in found}


@pytest.mark.fault(75)
async def test_a_killed_owner_is_dead_at_once(path: Path, start: Start, open_file: OpenFile) -> None:
    """It was alive before, and every store sees the same."""
    process = await start(STAY, path)
    owner = await line(process)
    stores = [await open_file() for _ in range(2)]
    alive = [await store.is_alive(owner) for store in stores]
    await kill(process)

    assert [True, True] == alive
    assert [False, False] == list(await asyncio.gather(*(store.is_alive(owner) for store in stores)))
    assert [] == list(path.parent.glob(f"*{owner}"))


async def test_an_owner_that_has_closed_its_store_is_dead(path: Path, start: Start, open_file: OpenFile) -> None:
    """Nothing is left but the database."""
    process = await start(STAY, path)
    owner = await line(process)
    await process.communicate(b"")
    left = [entry.name for entry in path.parent.iterdir()]

    assert 0 == process.returncode
    assert ["jobs.sqlite"] == left
    assert not await (await open_file()).is_alive(owner)


async def test_the_files_of_killed_owners_are_removed(path: Path, start: Start, open_file: OpenFile) -> None:
    """Opening does it. The files of living owners stay, and so do files with similar names."""
    living, killed = await start(STAY, path), await start(STAY, path)
    owner, _ = await line(living), await line(killed)
    await kill(killed)
    path.with_name("jobs.sqlite-owner-notes.txt").touch()
    store = await open_file()
    left = {entry.name.removeprefix("jobs.sqlite-owner-") for entry in path.parent.glob("*-owner-*")}

    assert {owner, store.owner, "notes.txt"} == left


@posix
async def test_a_file_has_the_same_owners_under_two_names(path: Path, start: Start) -> None:
    """A process may open it by a link."""
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    process = await start(STAY, path)
    owner = await line(process)
    store = SQLiteStore(link)
    await store.open()

    assert await store.is_alive(owner)

    await store.aclose()


@pytest.mark.fault(80)
@posix
async def test_a_forked_child_does_not_keep_its_parent_alive(path: Path, start: Start, open_file: OpenFile) -> None:
    """The child inherits the open files, but not the lock."""
    fcntl = pytest.importorskip("fcntl")
    lock = path.with_name("lock")
    process = await start(STAY_WITH_CHILD, path, lock)
    owner, child = (await line(process)).split()
    store = await open_file()
    try:
        assert await store.is_alive(owner)

        await kill(process)

        assert not await store.is_alive(owner)
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.fault(80)
@posix
async def test_a_forked_child_cannot_use_the_store_of_its_parent(path: Path, start: Start, open_file: OpenFile) -> None:
    """The child can drop it without a warning, and the parent goes on using it."""
    process = await start(USE_AFTER_FORK, path)
    output, _ = await process.communicate()
    found = await (await open_file()).unfinished("main")

    assert 4 == output.decode().count("opened before this process was forked")
    assert "warnings: 0\n" in output.decode()
    assert ["parent", "parent-again"] == [job.job_id for job in found]


def test_sqlite_is_imported_on_first_access() -> None:
    """A program without a journal on disk need not load it."""
    script = "import sys, happyhorse_async.stores as s; print('sqlite3' in sys.modules); s.SQLiteStore"
    script += "; print('sqlite3' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False\nTrue\n" == process.stdout


_STOP_WHILE_WRITING = """
import signal, sqlite3

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
connection.execute("COMMIT")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell who holds a lock")
async def test_a_process_that_was_stopped_while_it_wrote_is_named_and_readers_go_on(
    path: Path, start: Start, open_file: OpenFile, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    """The first write fails after the timeout, the others at once, until it goes on. There is one log line a state."""
    store = await open_file(busy_timeout=3.0)
    job = await store.add(new_job())
    process = await start(_STOP_WHILE_WRITING, path)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    loop = asyncio.get_running_loop()
    began = loop.time()
    adding = asyncio.ensure_future(store.add(new_job()))
    await asyncio.sleep(0.3)

    assert job == await store.get(job.job_id)
    assert not adding.done()

    with pytest.raises(StoreError, match=f"process {pid}, which is stopped, keeps it locked"):
        await adding
    assert 2.9 < loop.time() - began
    with pytest.raises(StoreError, match="keeps it locked"):
        await asyncio.wait_for(store.add(new_job()), 2.5)
    assert str(pid) in str(store.write_error)

    process.send_signal(signal.SIGCONT)
    await process.wait()
    async with asyncio.timeout(20):
        while store.write_error is not None:
            await asyncio.sleep(0.01)
    assert await store.add(new_job())
    words = ("nothing can be written until then", "can be written again")
    lines = [record.getMessage() for record in caplog.records]
    assert list(words) == [word for line in lines for word in words if word in line]
