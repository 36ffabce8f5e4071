"""The files of a download: what may be replaced, what the disk refuses, and several writers of one file."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.download import absolute, check_target

from .videos import content, done, names, video_file

if TYPE_CHECKING:
    from conftest import Fifth, Gateway


VIDEO = video_file(bytes(range(256)) * 12288)


@pytest.fixture
def task(gateway: Gateway) -> hh.Task:
    """Make a succeeded task whose video the gateway has."""
    gateway.on("GET", "/t-1.mp4", gateway.reply(VIDEO))
    ref = hh.TaskRef("fifth", "t-1")
    return hh.Task(ref=ref, status=hh.TaskStatus.SUCCEEDED, videos=(hh.Video(url=f"{gateway.url}/t-1.mp4"),))


@pytest.fixture
async def client(fifth: Fifth) -> AsyncGenerator[hh.Client]:
    """Open a client."""
    async with fifth.open() as client:
        yield client


def in_a_file(folder: Path) -> Path:
    """Choose a place below something that is no folder."""
    (folder / "file").write_bytes(b"")
    return folder / "file" / "train.mp4"


PLACES: dict[str, Callable[[Path], Path]] = {
    "no such folder": lambda folder: folder / "missing" / "train.mp4",
    "a file for a folder": in_a_file,
    "a NUL": lambda folder: folder / "a\0b.mp4",
    "half a character": lambda folder: folder / "\ud800.mp4",
}


@pytest.mark.fault(84)
@pytest.mark.parametrize("location", PLACES.values(), ids=PLACES)
async def test_a_target_that_cannot_be(
    gateway: Gateway, client: hh.Client, task: hh.Task, tmp_path: Path, location: Callable[[Path], Path]
) -> None:
    """A place where no file can be is found out before anything is fetched, and named along with the task."""
    target = location(tmp_path)
    before = names(tmp_path)

    with pytest.raises(hh.DownloadError, match=r"cannot write .*mp4: ") as raised:
        await client.download(task, target)

    assert task.ref == raised.value.ref
    assert before == names(tmp_path)
    assert [] == gateway.requests


@pytest.mark.fault(84)
async def test_a_name_that_is_too_long(client: hh.Client, task: hh.Task, tmp_path: Path) -> None:
    """A name that the file system does not take is the caller's to mend, and nothing is left behind."""
    with pytest.raises(hh.DownloadError, match=r"cannot write .*x: File name too long"):
        await client.download(task, tmp_path / ("x" * 300))

    assert [] == names(tmp_path)


@pytest.fixture
def read_only(tmp_path: Path) -> Generator[Path]:
    """Make a folder that may not be written to."""
    tmp_path.chmod(0o500)
    yield tmp_path
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_may_only_be_read(client: hh.Client, task: hh.Task, read_only: Path) -> None:
    """A folder that may not be written to is an error with the path and the task."""
    with pytest.raises(hh.DownloadError, match=r"train\.mp4: Permission denied") as raised:
        await client.download(task, read_only / "train.mp4")

    assert task.ref == raised.value.ref


@pytest.fixture
def limit_files() -> Generator[Callable[[int], None]]:
    """Set how many bytes a file may have, as a disk does that is nearly full; -1 means any number."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault(72)
async def test_a_disk_that_is_full(
    client: hh.Client, task: hh.Task, tmp_path: Path, limit_files: Callable[[int], None]
) -> None:
    """A disk that takes no more is an error with the path and the task; nothing is left, and the next try succeeds."""
    target = tmp_path / "train.mp4"
    target.write_bytes(b"an older video")

    limit_files(len(VIDEO) // 2)
    with pytest.raises(hh.DownloadError, match=r"cannot write .*train\.mp4: File too large") as raised:
        await client.download(task, target)
    left = names(tmp_path), content(target)
    limit_files(-1)
    await client.download(task, target)

    assert task.ref == raised.value.ref
    assert (["train.mp4"], b"an older video") == left
    assert VIDEO == content(target)


@pytest.mark.fault(84)
@pytest.mark.parametrize("exists", [True, False])
async def test_a_symbolic_link_at_the_target(client: hh.Client, task: hh.Task, tmp_path: Path, exists: bool) -> None:
    """A link is followed: the file behind it is replaced, or made, and the link stays."""
    folder, outside = tmp_path / "videos", tmp_path / "precious"
    folder.mkdir()
    if exists:
        outside.write_bytes(b"precious")
    (folder / "t-1.mp4").symlink_to(outside)

    path = await client.download(task, folder)

    assert folder / "t-1.mp4" == path
    assert path.is_symlink()
    assert VIDEO == content(outside)
    assert ["t-1.mp4"] == names(folder)
    assert ["precious", "videos"] == names(tmp_path)


@pytest.mark.parametrize("name", ["videos/", "a/b/c/", "videos/.", "./videos//"])
async def test_a_separator_at_the_end_means_a_folder(
    gateway: Gateway, client: hh.Client, task: hh.Task, tmp_path: Path, name: str
) -> None:
    """A path that ends in a separator is a folder, which is made, and holds one file for each task."""
    other = done(task.video_url or "", "t-2")

    paths = [await client.download(each, f"{tmp_path}/{name}") for each in (task, other, task)]

    assert ["t-1.mp4", "t-2.mp4", "t-1.mp4"] == [path.name for path in paths]
    assert ["t-1.mp4", "t-2.mp4"] == names(tmp_path / name)


def make_fifo(path: Path) -> None:
    """Make a named pipe."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """Make a socket of the file system."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_device(path: Path) -> None:
    """Make a device node, which only root may do."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError:
        pytest.skip("device nodes cannot be made here")


NOT_FILES = {"pipe": make_fifo, "socket": make_socket, "device": make_device}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("through_link", [False, True], ids=["itself", "behind a link"])
@pytest.mark.parametrize(("kind", "make"), NOT_FILES.items(), ids=NOT_FILES)
async def test_nothing_but_a_regular_file_is_replaced(
    gateway: Gateway,
    client: hh.Client,
    task: hh.Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    through_link: bool,
    kind: str,
    make: Callable[[Path], None],
) -> None:
    """A pipe, a socket or a device is refused before anything is fetched, and left as it is."""
    monkeypatch.chdir(tmp_path)
    make(Path("node"))
    node = tmp_path / "node"
    target, before = node, node.lstat().st_mode
    if through_link:
        target = tmp_path / "link"
        target.symlink_to("node")

    with pytest.raises(hh.DownloadError, match=f"is a {kind}") as raised:
        await client.download(task, target)
    with pytest.raises(hh.DownloadError, match=f"is a {kind}"):
        check_target(target)

    assert task.ref == raised.value.ref
    assert before == node.lstat().st_mode
    assert [] == gateway.requests


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes")
async def test_a_pipe_that_appears_meanwhile_is_not_replaced(
    gateway: Gateway, client: hh.Client, task: hh.Task, tmp_path: Path
) -> None:
    """What is at the target is judged again before it is replaced."""
    target = tmp_path / "train.mp4"

    def appear(*_: object) -> None:
        if not target.exists():
            make_fifo(target)

    with pytest.raises(hh.DownloadError, match="is a pipe"):
        await client.download(task, target, progress=appear)

    assert stat.S_ISFIFO(target.lstat().st_mode)
    assert [target.name] == names(tmp_path)


def test_a_target_that_can_be_written_is_accepted_and_left_alone(tmp_path: Path) -> None:
    """The check before paying changes nothing, whatever it is asked about."""
    (tmp_path / "old.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to("old.mp4")
    (tmp_path / "dangling.mp4").symlink_to("new.mp4")
    before = names(tmp_path)

    for path in ("old.mp4", "new.mp4", "link.mp4", "dangling.mp4", "new/folder/", "."):
        check_target(tmp_path / path if path == "." else f"{tmp_path}/{path}")

    assert before == names(tmp_path)
    assert b"old" == content(tmp_path / "old.mp4")


@pytest.mark.parametrize(
    "path", ["missing/train.mp4", "file/train.mp4", "file/", "file/folder/", "loop.mp4", "a\0b.mp4", "x" * 300]
)
def test_a_target_that_cannot_be_written_is_found_out_before_paying(tmp_path: Path, path: str) -> None:
    """The check before paying names the path and the reason."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")

    with pytest.raises(hh.DownloadError, match=r"cannot write .*: "):
        check_target(f"{tmp_path}/{path}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")
@pytest.mark.parametrize("path", ["/proc/train.mp4", "/proc/videos/"])
def test_a_folder_that_takes_no_files_is_found_out_before_paying(path: str) -> None:
    """Access rights are not believed: the file systems of the kernel grant them all, and take no files."""
    with pytest.raises(hh.DownloadError, match="cannot write /proc"):
        check_target(path)


def test_an_absolute_path_keeps_the_separator_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder stays a folder when its path is written down for later."""
    monkeypatch.chdir(tmp_path)

    assert f"{tmp_path}/videos/" == absolute("videos/")
    assert f"{tmp_path}/train.mp4" == absolute(Path("train.mp4"))
    assert f"{tmp_path}/" == absolute(".")


@pytest.fixture
def mounted(tmp_path: Path) -> Generator[tuple[Path, Path]]:
    """Mount a single file over another one, as containers do. Only root may."""
    host, file = tmp_path / "host.mp4", tmp_path / "train.mp4"
    host.touch()
    file.write_bytes(b"below")
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "--bind", host, file], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield host, file
    subprocess.run(["umount", file], check=True)


async def test_a_mounted_file_is_written_in_place(
    client: hh.Client, task: hh.Task, mounted: tuple[Path, Path], tmp_path: Path
) -> None:
    """A file that cannot be renamed over is written in place, and so is the file it is mounted from."""
    host, file = mounted
    host.write_bytes(b"x" * (len(VIDEO) + 9))

    await client.download(task, file)

    assert VIDEO == content(host)
    assert VIDEO == content(file)
    assert ["host.mp4", "train.mp4"] == names(tmp_path)


async def test_several_downloads_of_one_video(client: hh.Client, task: hh.Task, tmp_path: Path) -> None:
    """Several downloads to one target do not disturb each other."""
    target = tmp_path / "train.mp4"

    await asyncio.gather(*(client.download(task, target) for _ in range(4)))

    assert VIDEO == content(target)
    assert ["train.mp4"] == names(tmp_path)


PROGRAM = """
import asyncio, sys
import happyhorse_async as hh
from happyhorse_async.download import DownloadPolicy, download
from happyhorse_async.download.expiry import ResultUrl
from happyhorse_async.download.fetch import Fetch
from happyhorse_async.redaction import SecretUrl
from happyhorse_async.transports.aiohttp import AiohttpTransport
from pathlib import Path

async def main(url, target):
    transport = AiohttpTransport()
    for _ in range(5):
        await download(Fetch(transport, ResultUrl(SecretUrl(url)), DownloadPolicy()), Path(target))
    await transport.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.fault(74)
async def test_several_processes(gateway: Gateway, task: hh.Task, tmp_path: Path) -> None:
    """Several processes that fetch one video to one target leave one whole video, at any moment that one looks."""
    target = tmp_path / "train.mp4"
    arguments = (sys.executable, "-c", PROGRAM, task.video_url or "", str(target))
    seen = set()

    async def observe() -> None:
        while True:
            if target.exists():
                seen.add(content(target))
            await asyncio.sleep(0.002)

    watching = asyncio.create_task(observe())
    processes = [await asyncio.create_subprocess_exec(*arguments) for _ in range(3)]
    codes = [await process.wait() for process in processes]
    watching.cancel()

    assert [0, 0, 0] == codes
    assert {VIDEO} == seen
    assert ["train.mp4"] == names(tmp_path)
