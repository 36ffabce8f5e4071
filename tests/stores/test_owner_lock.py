"""The files that show which processes have a database open."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from happyhorse_async.stores.sqlite.owner_lock import OwnerFile, is_alive, living_owners, new_owner

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")


def test_a_name_is_never_given_twice() -> None:
    """Names of one process differ, so that one that gets its process id later has another."""
    assert 1000 == len({new_owner() for _ in range(1000)})


def test_an_owner_is_alive_from_acquire_to_release(path: Path) -> None:
    """Any number of checks between them change nothing, and no file is left at the end."""
    owner = new_owner()
    file = OwnerFile(path, owner)

    assert not is_alive(path, owner)

    file.acquire()

    assert [True] * 5 == [is_alive(path, owner) for _ in range(5)]

    file.release()
    file.release()

    assert not is_alive(path, owner)
    assert [] == list(path.parent.iterdir())


def test_an_owner_is_alive_for_its_own_database_only(path: Path) -> None:
    """The owner of one database is not an owner of another one in the same folder."""
    owner = new_owner()
    file = OwnerFile(path, owner)
    file.acquire()

    assert not is_alive(path.with_name("other.sqlite"), owner)

    file.release()


def test_a_missing_folder_is_an_error(path: Path) -> None:
    """Without a lock file there is no owner."""
    with pytest.raises(FileNotFoundError):
        OwnerFile(path / "nowhere" / "jobs.sqlite", new_owner()).acquire()


@pytest.fixture
def frequent_thread_switches() -> Generator[None]:
    """Switch between threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_thread_switches")
def test_simultaneous_checks_do_not_take_each_other_for_the_owner(path: Path) -> None:
    """A dead owner is dead for all threads that check at the same moment."""
    verdicts: list[bool] = []

    def check(owner: str, together: threading.Barrier) -> None:
        together.wait(10)
        verdicts.append(is_alive(path, owner))

    for _ in range(100):
        owner, together = new_owner(), threading.Barrier(4)
        path.with_name(f"{path.name}-owner-{owner}").touch()
        threads = [threading.Thread(target=check, args=(owner, together)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [False] * 400 == verdicts


@pytest.mark.usefixtures("frequent_thread_switches")
def test_an_owner_is_not_taken_for_dead_while_it_begins(path: Path) -> None:
    """A cleanup at the same moment never removes the file that an owner is just creating."""
    over = threading.Event()

    def clean_up() -> None:
        while not over.is_set():
            living_owners(path)

    cleaners = [threading.Thread(target=clean_up) for _ in range(3)]
    for cleaner in cleaners:
        cleaner.start()
    owners = [new_owner() for _ in range(200)]
    files = [OwnerFile(path, owner) for owner in owners]
    for file in files:
        file.acquire()
    over.set()
    for cleaner in cleaners:
        cleaner.join()

    assert [] == [owner for owner in owners if not is_alive(path, owner)]

    for file in files:
        file.release()


@posix
def test_other_users_cannot_lock_an_owner_file(path: Path) -> None:
    """A user who could lock the file of a killed process would make it look alive."""
    path.touch(0o600)
    file = OwnerFile(path, new_owner())
    file.acquire()
    modes = [stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.glob("*-owner-*")]
    file.release()

    assert [0o600] == modes


@posix
def test_the_group_of_a_shared_database_sees_its_owners(path: Path) -> None:
    """Where the group may write the database, its members can tell living owners from dead ones."""
    path.touch()
    path.chmod(0o660)
    before = os.umask(0)
    try:
        file = OwnerFile(path, new_owner())
        file.acquire()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.glob("*-owner-*")]
    file.release()

    assert [0o660] == modes
