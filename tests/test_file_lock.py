"""Locked files, which show whether the process that made them is alive."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from happyhorse_async.file_lock import create_locked, remove_unless_locked

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these permissions nor these locks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a locked file may be."""
    return tmp_path / "lock"


def test_a_locked_file_is_kept_and_an_unlocked_one_is_removed(path: Path) -> None:
    """Closing the file unlocks it. Checking a missing file is no error."""
    descriptor = create_locked(path)
    while_locked = [remove_unless_locked(path) for _ in range(3)]
    exists = path.exists()
    os.close(descriptor)
    after = [remove_unless_locked(path) for _ in range(2)]

    assert [True] * 3 == while_locked
    assert exists
    assert [False] * 2 == after
    assert not path.exists()


def test_the_death_of_a_process_unlocks_its_files(path: Path) -> None:
    """It need not close them, and the check from another process sees the lock before that."""
    script = (
        "import sys; from pathlib import Path; from happyhorse_async.file_lock import create_locked\n"
        "create_locked(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while_alive = remove_unless_locked(path)
        process.kill()
        process.wait()

    assert while_alive
    assert not remove_unless_locked(path)


def test_an_existing_file_is_not_taken(path: Path) -> None:
    """Its content is left as it is."""
    path.write_text("notes")
    with pytest.raises(FileExistsError):
        create_locked(path)

    assert "notes" == path.read_text()


@posix
@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_the_file_has_the_given_permissions(path: Path, mode: int) -> None:
    """The umask applies, as to every new file."""
    before = os.umask(0)
    try:
        os.close(create_locked(path, mode=mode))
    finally:
        os.umask(before)

    assert mode == stat.S_IMODE(path.stat().st_mode)


@posix
def test_a_file_that_cannot_be_opened_counts_as_locked(tmp_path: Path) -> None:
    """A file that cannot be judged is not removed."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")

    assert remove_unless_locked(link)
    assert link.is_symlink()


@posix
def test_creating_waits_for_a_check_that_is_going_on(path: Path) -> None:
    """Two threads that remove what is not locked never remove a file that is just being created."""
    over = threading.Event()

    def clean_up() -> None:
        while not over.is_set():
            remove_unless_locked(path)
            time.sleep(0)

    threads = [threading.Thread(target=clean_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    missing = 0
    for _ in range(200):
        descriptor = create_locked(path)
        missing += not path.exists()
        path.unlink()
        os.close(descriptor)
    over.set()
    for thread in threads:
        thread.join()

    assert 0 == missing
