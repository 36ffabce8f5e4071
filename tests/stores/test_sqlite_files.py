"""The files of a store: what may be at its path, who may read them, and what happens if they are changed."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job
from happyhorse_async.stores import SQLiteStore
from happyhorse_async.stores.sqlite.owner_lock import new_owner

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has other permissions, and keeps open files in place"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def folder(path: Path) -> None:
    path.mkdir()


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_named_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def socket_file(path: Path) -> None:
    # The path of a socket is limited to about 100 bytes.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


@posix
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (folder, "is a folder"),
        (named_pipe, "is a named pipe"),
        (link_to_a_named_pipe, "is a named pipe"),
        (socket_file, "is a socket"),
    ],
)
async def test_a_path_that_is_not_a_regular_file_is_refused(
    path: Path, make: Callable[[Path], None], words: str, suffix: str
) -> None:
    """It is not opened, which could block or change a device, and it is still there. Nothing was paid by then."""
    there = path.with_name(f"{path.name}{suffix}")
    make(there)
    before = there.lstat()
    with pytest.raises(StoreError, match=words) as caught:
        await SQLiteStore(path).open()

    assert any(str(name) in str(caught.value) for name in (there, there.resolve()))
    assert (before.st_ino, before.st_mode) == (there.lstat().st_ino, there.lstat().st_mode)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
async def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """The error is one of the store's, and shows where the path is wrong."""
    with pytest.raises(StoreError, match="cannot name a file") as caught:
        await SQLiteStore(tmp_path / name).open()

    assert ascii(name)[1:-1] in ascii(str(caught.value)).replace("\\\\", "\\")


async def test_the_current_folder_is_refused_as_a_path() -> None:
    """An empty path, as an unset variable makes it, is the current folder."""
    with pytest.raises(StoreError, match="is a folder"):
        await SQLiteStore("").open()


@posix
async def test_a_new_store_is_readable_by_its_owner_only(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """The files beside the database hold the same secrets, or can be locked."""
    store = await open_file()
    await store.add(new_job())

    assert {0o600} == {mode(entry) for entry in path.parent.iterdir()}


@posix
@pytest.mark.parametrize(("given", "kept"), [(0o644, 0o600), (0o666, 0o660), (0o755, 0o600), (0o604, 0o600)])
async def test_a_store_that_others_could_read_is_made_private(
    path: Path, open_file: OpenFile, new_job: NewJob, caplog: pytest.LogCaptureFixture, given: int, kept: int
) -> None:
    """Its log and its shared memory, left by a killed process, are made private as well."""
    await (await open_file()).aclose()
    with closing(sqlite3.connect(path)) as killed:
        killed.execute("SELECT * FROM jobs").fetchall()
        for entry in path.parent.iterdir():
            entry.chmod(given)
        store = await open_file()
        await store.add(new_job())
        modes = {mode(entry) for entry in path.parent.iterdir() if "-owner-" not in entry.name}

    assert {kept} == modes
    assert 1 == caplog.text.count("could be read by every user")


@posix
@pytest.mark.parametrize("given", [0o660, 0o640, 0o600])
async def test_the_permissions_of_a_private_file_are_kept(
    path: Path, open_file: OpenFile, caplog: pytest.LogCaptureFixture, given: int
) -> None:
    """A file that was made for a group stays the group's."""
    path.touch()
    path.chmod(given)
    await open_file()

    assert given == mode(path)
    assert "every user" not in caplog.text


@pytest.mark.fault(73)
async def test_an_empty_file_becomes_a_store_with_a_warning(
    path: Path, open_file: OpenFile, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be told from a store that a power cut or a shell has emptied, whose keys would be paid again."""
    path.touch()
    store = await open_file()

    assert await store.add(new_job())
    assert [logging.WARNING] == [
        record.levelno for record in caplog.records if f"{path} was an empty file" in record.getMessage()
    ]


async def test_a_new_store_is_made_without_a_warning(
    open_file: OpenFile, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is there one when it is opened again."""
    store = await open_file()
    await store.add(new_job())
    await store.aclose()
    await store.open()

    assert "" == caplog.text


@pytest.mark.fault(73)
async def test_an_empty_file_that_was_in_use_is_refused(path: Path, open_file: OpenFile) -> None:
    """The lock file of a killed process shows that there was a store. A file that only looks alike does not."""
    path.touch()
    owner = path.with_name(f"{path.name}-owner-{new_owner()}")
    owner.touch()
    with pytest.raises(StoreError, match="was in use") as caught:
        await SQLiteStore(path).open()

    assert owner.name in str(caught.value)

    owner.rename(path.with_name(f"{path.name}-owner-notes.txt"))

    assert await open_file()


@pytest.mark.fault(73)
@posix
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_writing_fails_once_a_file_was_removed_or_replaced(
    path: Path, open_file: OpenFile, new_job: NewJob, suffix: str, replaced: bool
) -> None:
    """What is written to a file without a name is lost on restart, so nothing may be paid any more."""
    store = await open_file()
    file = path.with_name(f"{path.name}{suffix}")
    content = file.read_bytes()
    file.rename(path.with_name("elsewhere"))
    if replaced:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=f"{file.name} was removed or replaced"):
        await store.add(new_job())
    if not replaced or suffix:
        path.with_name("elsewhere").replace(file)


@pytest.mark.fault(73)
@posix
@pytest.mark.parametrize("size", [0, 100, 5000])
async def test_writing_fails_once_the_file_was_truncated(
    path: Path, open_file: OpenFile, new_job: NewJob, size: int
) -> None:
    """SQLite would go on from its cache, and only the next opening would find the damage."""
    store = await open_file()
    for _ in range(50):
        await store.add(new_job(model="m" * 500))
    await store.purge()
    os.truncate(path, size)
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged"):
            await store.add(new_job())
    with pytest.raises(StoreError, match="damaged"):
        await store.purge()

    assert size == path.stat().st_size


async def test_a_file_that_another_process_has_compacted_is_sound(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """`VACUUM` makes a file smaller, too."""
    store = await open_file(keep_closed=None)
    jobs = [await store.add(new_job(model="m" * 5000)) for _ in range(50)]
    await store.purge()
    size = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM jobs WHERE job_id <> ?", (jobs[0].job_id,))
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    assert path.stat().st_size < size
    for _ in range(2):
        assert await store.add(new_job())
