"""The errors of a store whose file it cannot use: what they say, and that the file is left as it is."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import SQLiteStore
from happyhorse_async.stores.sqlite.schema import APPLICATION_ID

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]

CANARY = "a prompt that must not be shown"

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has other permissions, and keeps open files in place"
)


def write(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def text_file(path: Path) -> None:
    path.write_text("my shopping list")


def long_text_file(path: Path) -> None:
    path.write_text("my shopping list\n" * 1000)


def database_of_another(path: Path) -> None:
    write(path, "CREATE TABLE jobs (id)", "INSERT INTO jobs VALUES (1)")


def empty_database_of_another(path: Path) -> None:
    write(path, "PRAGMA application_id = 7")


def counted_database_of_another(path: Path) -> None:
    write(path, "PRAGMA user_version = 1")


def newer_version(path: Path) -> None:
    write(path, "CREATE TABLE jobs (id)", f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 99")


def no_database(path: Path) -> None:
    path.mkdir()


def log_without_database(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(b"paid tasks")


def log_of_an_empty_database(path: Path) -> None:
    path.touch()
    log_without_database(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (text_file, "not a database"),
        (long_text_file, "not a database"),
        (database_of_another, "another application"),
        (empty_database_of_another, "another application"),
        (counted_database_of_another, "another application"),
        (newer_version, r"newer version .*schema 99; this one knows \d"),
        (no_database, "is a folder"),
        (log_without_database, "its log jobs.sqlite-wal"),
        (log_of_an_empty_database, "its log jobs.sqlite-wal"),
    ],
)
async def test_a_file_that_is_not_a_store_is_refused_and_left_as_it_is(
    path: Path, make: Callable[[Path], None], words: str
) -> None:
    """So is a store of a later version. The error names the file."""
    make(path)
    before = contents(path.parent)
    with pytest.raises(StoreError, match=words) as caught:
        await SQLiteStore(path).open()

    assert str(path) in str(caught.value)
    assert before == contents(path.parent)


@pytest.mark.fault(73)
async def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """Folders are not created, because their names are easily mistyped."""
    path = tmp_path / "nowhere" / "jobs.sqlite"
    with pytest.raises(StoreError, match="folder exists") as caught:
        await SQLiteStore(path).open()

    assert str(path) in str(caught.value)
    assert not path.parent.exists()


async def test_a_name_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / ("j" * 300)
    with pytest.raises(StoreError) as caught:
        await SQLiteStore(path).open()

    assert str(path) in str(caught.value)


def test_the_name_of_a_database_in_memory_is_refused(path: Path) -> None:
    """SQLite would make a store that is lost with its process."""
    with pytest.raises(ValueError, match="MemoryStore"):
        SQLiteStore(":memory:")


async def fill(store: SQLiteStore, new_job: NewJob) -> None:
    await asyncio.gather(*(store.add(new_job(model="m" * 500)) for _ in range(100)))
    await store.aclose()


@pytest.mark.fault(73)
@pytest.mark.parametrize("damage", ["overwritten", "cut"])
async def test_a_damaged_file_is_refused(path: Path, new_job: NewJob, damage: str) -> None:
    """The error says how to recover it, and the file is left as it is."""
    store = SQLiteStore(path)
    await store.open()
    await fill(store, new_job)
    content = path.read_bytes()
    path.write_bytes(content[:8192] + (b"\x55" * 20000 + content[28192:] if damage == "overwritten" else b""))
    before = contents(path.parent)
    with pytest.raises(StoreError, match=r"damaged.*\.recover.*SQLITE_CORRUPT") as caught:
        await store.open()

    assert str(path) in str(caught.value)
    assert before == contents(path.parent)


@pytest.fixture
async def large_file(path: Path, new_job: NewJob) -> Path:
    """Make a store that is too large to be read before it is used."""
    store = SQLiteStore(path)
    await store.open()
    await asyncio.gather(*(store.add(new_job(model="m" * 100_000)) for _ in range(100)))
    await store.aclose()
    return path


@pytest.mark.fault(73)
async def test_a_large_file_that_was_cut_is_refused(large_file: Path) -> None:
    """Its header says how long it was."""
    os.truncate(large_file, large_file.stat().st_size - 500_000)
    with pytest.raises(StoreError, match="damaged"):
        await SQLiteStore(large_file).open()


@pytest.mark.fault(73)
async def test_damage_in_a_large_file_is_found_while_it_is_in_use(
    large_file: Path, open_file: OpenFile, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    """Opening it does not take the longer the more jobs there are. Nothing is written once the damage is known."""
    with large_file.open("r+b") as file:
        file.seek(4_000_000)
        file.write(b"\x55" * 1_000_000)
    store = await open_file()
    async with asyncio.timeout(20):
        while "damaged" not in caplog.text:
            await asyncio.sleep(0.01)
    with pytest.raises(StoreError, match=r"damaged.*\.recover"):
        await store.add(new_job())


@pytest.mark.fault(73)
async def test_opening_a_locked_file_fails_after_the_timeout(path: Path, open_file: OpenFile) -> None:
    """It does not wait for ever for the process that holds the lock."""
    await (await open_file()).aclose()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked.*SQLITE_BUSY") as caught:
            await SQLiteStore(path, busy_timeout=0.05).open()

    assert str(path) in str(caught.value)


async def test_opening_a_file_that_another_process_never_finishes_creating_fails(path: Path) -> None:
    """It fails after the timeout as well."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked.*SQLITE_BUSY"):
            await SQLiteStore(path, busy_timeout=0.05).open()


@pytest.mark.fault(71, 73)
async def test_writing_to_a_locked_file_fails_after_the_timeout(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """The error carries the ref of the paid task. Reading still works, and nothing was written in part."""
    store = await open_file(busy_timeout=0.05)
    job = await store.add(new_job())
    accepted = evolve(job, state=JobState.ACCEPTED, task_id="1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            await store.change(accepted)
        with pytest.raises(StoreError, match="locked"):
            await store.purge()

        assert str(path) in str(caught.value)
        assert accepted.ref == caught.value.ref
        assert job.job_id == caught.value.job_id
        assert job == await store.get(job.job_id)

    assert await store.change(accepted)


async def test_writes_that_fail_together_raise_separate_errors(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """Each error is about its own job, and all come after one timeout."""
    store = await open_file(busy_timeout=0.05)
    jobs = [new_job() for _ in range(50)]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(2):
            failures = await asyncio.gather(*(store.add(job) for job in jobs), return_exceptions=True)

    assert [job.job_id for job in jobs] == [getattr(failure, "job_id", None) for failure in failures]
    assert 50 == len({id(failure) for failure in failures})


@pytest.mark.fault(71)
async def test_a_full_disk_fails_only_what_does_not_fit(open_file: OpenFile, new_job: NewJob) -> None:
    """The error does not contain the prompt. Jobs that were added at the same time and fit are written."""
    store = await open_file()
    assert store._session is not None
    await store._session.thread.write(lambda connection: connection.execute("PRAGMA max_page_count = 30").fetchone())
    jobs = [new_job(), new_job(request={"prompt": CANARY * 10000}), new_job()]
    outcomes = await asyncio.gather(*(store.add(job) for job in jobs), return_exceptions=True)
    failure = outcomes[1]

    assert isinstance(failure, StoreError)
    assert "disk is full" in str(failure)
    assert jobs[1].job_id == failure.job_id
    assert CANARY not in f"{failure!r} {failure.__cause__!r} {failure.__context__!r}"
    assert [jobs[0], jobs[2]] == await store.unfinished("main")


@pytest.fixture
def unprivileged() -> Generator[Path]:
    """Make a folder and give up the rights of root, for whom permissions do not count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
        os.seteuid(os.getuid())
        folder.chmod(0o700)


@pytest.mark.fault(73)
@posix
async def test_a_new_file_in_a_read_only_folder_is_refused(unprivileged: Path) -> None:
    """The error names the file."""
    unprivileged.chmod(0o500)
    with pytest.raises(StoreError, match=r"cannot be opened.*permissions") as caught:
        await SQLiteStore(unprivileged / "jobs.sqlite").open()

    assert str(unprivileged / "jobs.sqlite") in str(caught.value)


@pytest.mark.fault(73)
@posix
@pytest.mark.parametrize(("of_file", "of_folder"), [(0o400, 0o700), (0o600, 0o500), (0o400, 0o500), (0, 0o700)])
async def test_an_existing_file_that_cannot_be_written_is_refused(
    unprivileged: Path, of_file: int, of_folder: int
) -> None:
    """So is one whose folder cannot be written. The error names the file."""
    path = unprivileged / "jobs.sqlite"
    store = SQLiteStore(path)
    await store.open()
    await store.aclose()
    path.chmod(of_file)
    unprivileged.chmod(of_folder)
    with pytest.raises(StoreError, match="permissions") as caught:
        await store.open()

    assert str(path) in str(caught.value)


@pytest.mark.fault(73)
@posix
async def test_a_folder_in_which_no_lock_file_can_be_created_is_refused(unprivileged: Path) -> None:
    """The database itself could be used. The error names it, and nothing of it stays open."""
    path = unprivileged / "jobs.sqlite"
    store = SQLiteStore(path)
    await store.open()
    await store.aclose()
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM jobs").fetchall()
        unprivileged.chmod(0o500)
        with pytest.raises(StoreError, match=r"folder cannot be used \(Permission denied\)") as caught:
            await store.open()
        unprivileged.chmod(0o700)

    assert str(path) in str(caught.value)
    # The last connection to a database removes its log.
    assert ["jobs.sqlite"] == [entry.name for entry in unprivileged.iterdir()]


async def test_a_request_that_json_cannot_express_fails_alone(open_file: OpenFile, new_job: NewJob) -> None:
    """Jobs that were added at the same time are written."""
    store = await open_file()
    jobs = [new_job(), new_job(request={"image": object()}), new_job()]
    outcomes = await asyncio.gather(*(store.add(job) for job in jobs), return_exceptions=True)

    assert isinstance(outcomes[1], StoreError)
    assert jobs[1].job_id == outcomes[1].job_id
    assert [jobs[0], jobs[2]] == await store.unfinished("main")


async def test_an_unreadable_entry_is_an_error(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """It is not skipped, because it may be a paid task. The error names it."""
    store = await open_file()
    job = await store.add(new_job())
    write(path, "UPDATE jobs SET state = 'GONE'")
    with pytest.raises(StoreError, match=job.job_id):
        await store.unfinished("main")
