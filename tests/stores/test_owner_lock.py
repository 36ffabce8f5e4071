"""The files that show who has a database open."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from happyhorse_async.stores.sqlite.owner_lock import OwnerFile, is_alive, new_owner, remove_stale


def test_a_name_is_never_given_twice() -> None:
    """Names of one process differ, so that one that gets its process id later has another."""
    assert 1000 == len({new_owner() for _ in range(1000)})


def test_held_and_released(path: Path) -> None:
    """An owner is alive while its file is held, which any number of looks do not change."""
    owner = new_owner()
    file = OwnerFile(path, owner)

    assert not is_alive(path, owner)

    file.hold()

    assert [True] * 5 == [is_alive(path, owner) for _ in range(5)]

    file.release()
    file.release()

    assert not is_alive(path, owner)
    assert [] == list(path.parent.iterdir())


def test_an_owner_of_another_database(path: Path) -> None:
    """An owner is alive for its own database only."""
    owner = new_owner()
    file = OwnerFile(path, owner)
    file.hold()

    assert not is_alive(path.with_name("other.sqlite"), owner)

    file.release()


def test_a_folder_that_is_not_there(path: Path) -> None:
    """Where no file can stand, nobody can become an owner."""
    with pytest.raises(FileNotFoundError):
        OwnerFile(path / "nowhere" / "jobs.sqlite", new_owner()).hold()


@pytest.fixture
def restless() -> Generator[None]:
    """Have the threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_those_who_look_do_not_take_one_another_for_the_owner(path: Path) -> None:
    """A dead owner is dead to everybody who looks at the same moment."""
    verdicts: list[bool] = []

    def look(owner: str, together: threading.Barrier) -> None:
        together.wait(10)
        verdicts.append(is_alive(path, owner))

    for _ in range(100):
        owner, together = new_owner(), threading.Barrier(4)
        path.with_name(f"{path.name}-owner-{owner}").touch()
        lookers = [threading.Thread(target=look, args=(owner, together)) for _ in range(4)]
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.join()

    assert [False] * 400 == verdicts


@pytest.mark.usefixtures("restless")
def test_nobody_is_taken_for_dead_while_it_begins(path: Path) -> None:
    """Those who clean up at the same moment never remove the file of an owner that is just beginning."""
    over = threading.Event()

    def clean_up() -> None:
        while not over.is_set():
            remove_stale(path)

    cleaners = [threading.Thread(target=clean_up) for _ in range(3)]
    for cleaner in cleaners:
        cleaner.start()
    owners = [new_owner() for _ in range(200)]
    files = [OwnerFile(path, owner) for owner in owners]
    for file in files:
        file.hold()
    over.set()
    for cleaner in cleaners:
        cleaner.join()

    assert [] == [owner for owner in owners if not is_alive(path, owner)]

    for file in files:
        file.release()
