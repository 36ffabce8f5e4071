"""`--output`: files, folders and the standard output, checked before anything is paid."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from happyhorse_async.cli.target import Target
from happyhorse_async.emulator import Emulator, Scenario
from happyhorse_async.task import TaskRef

CHEAP = ("--resolution", "720P", "--duration", "3")


async def sent(program: Any) -> int:
    """Count the tasks that the provider has."""
    run = await program.run("list", "--provider", "dashscope", "--json")
    return len(run.objects)


def special_file(kind: str, path: Path) -> None:
    """Make something that a video must never replace."""
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            socket.socket(socket.AF_UNIX).bind(str(path))
        case "link to a fifo":
            os.mkfifo(path.with_name("target"))
            path.symlink_to("target")


@pytest.mark.filterwarnings("ignore:unclosed <socket")
@pytest.mark.parametrize("kind", ["fifo", "socket", "link to a fifo"])
async def test_a_special_file_is_never_replaced(program: Any, emulator: Emulator, kind: str) -> None:
    """A FIFO or socket is refused before anything is sent, by every command that writes videos."""
    special_file(kind, Path("special"))
    before = os.stat("special")  # noqa: PTH116
    program.write("clips.jsonl", '{"prompt": "a", "resolution": "720P", "output": "special"}')
    for words in (
        ("generate", "a horse", *CHEAP, "-o", "special"),
        ("demo", "-o", "special"),
        ("batch", "clips.jsonl"),
        ("wait", "dashscope:1", "-o", "special"),
        ("download", "dashscope:1", "-o", "special"),
    ):
        run = await program.run(*words)
        assert (2, "") == (run.code, run.out), words
        assert "is a device or another special file" in run.err

    assert 0 == await sent(program)
    assert before == os.stat("special")  # noqa: PTH116


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("long name", "File name too long"), ("link to nowhere", "is a link into the folder"), ("loop", "symbolic links")],
)
async def test_a_path_where_no_file_can_be_is_refused(program: Any, emulator: Emulator, kind: str, reason: str) -> None:
    """It is found out before anything is sent, by every command that sends."""
    name = "x" * 256 if kind == "long name" else "link.mp4"
    if kind != "long name":
        os.symlink("link.mp4" if kind == "loop" else "missing/v.mp4", "link.mp4")  # noqa: PTH211
    program.write("clips.jsonl", f'{{"prompt": "a", "resolution": "720P", "output": "{name}"}}')
    for words in (("generate", "a horse", *CHEAP, "-o", name), ("demo", "-o", name), ("batch", "clips.jsonl")):
        run = await program.run(*words)
        assert (2, "") == (run.code, run.out), words
        assert reason in run.err

    assert 0 == await sent(program)


async def test_a_link_to_a_file_is_followed(program: Any, emulator: Emulator) -> None:
    """The video goes to the file that a symbolic link names."""
    program.write("real.mp4", "old")
    os.symlink("real.mp4", "link.mp4")  # noqa: PTH211
    run = await program.run("generate", "a horse", *CHEAP, "-o", "link.mp4")

    assert (0, "link.mp4\n") == (run.code, run.out)


async def test_a_slash_at_the_end_makes_a_folder(program: Any, emulator: Emulator) -> None:
    """`-o videos/` is a folder that is made if need be, and no video replaces another."""
    runs = [await program.run("generate", "a horse", *CHEAP, "-o", "new/videos/") for _ in range(2)]

    assert [0, 0] == [run.code for run in runs]
    assert {run.out.strip() for run in runs} == {f"new/videos/{name}" for name in os.listdir("new/videos")}  # noqa: PTH208
    assert 2 == len({run.out for run in runs})


async def test_the_standard_output(program: Any, emulator: Emulator) -> None:
    """`-o -` writes the video and nothing else to the standard output."""
    process = await program.start("generate", "a horse", *CHEAP, "-o", "-")
    out, err = await process.communicate()

    assert 0 == process.returncode
    assert b"ftyp" == out[4:8]
    assert b"SUCCEEDED" in err
    assert [] == program.videos()


async def test_the_standard_output_has_one_use(program: Any, emulator: Emulator) -> None:
    """JSON and a video cannot share the standard output: refused before anything is sent."""
    run = await program.run("generate", "a horse", *CHEAP, "-o", "-", "--json")

    assert (2, "") == (run.code, run.out)
    assert "both need the standard output" in run.error["message"]
    assert 0 == await sent(program)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="the system has no device that is always full")
async def test_a_standard_output_without_space(program: Any, emulator: Emulator) -> None:
    """It is told in one line, with the way back to the video."""
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230
        process = await program.start("generate", "a horse", *CHEAP, "-o", "-", stdout=full)
    run = await program.end(process)

    assert 6 == run.code
    assert "error: the standard output cannot be written: No space left on device" in run.err
    assert "happyhorse wait dashscope:" in run.err
    assert "Traceback" not in run.err


@pytest.mark.skipif(os.name != "posix", reason="the shell of POSIX closes it")
async def test_a_standard_output_that_is_closed(program: Any, emulator: Emulator) -> None:
    """A video cannot be written to it, and nothing is sent; a command whose output is not wanted goes on."""
    runs = [await program.run_closed("generate", "a horse", *CHEAP, "-o", name) for name in ("-", "horse.mp4")]

    assert [2, 0] == [run.code for run in runs]
    assert "the standard output is closed" in runs[0].err
    assert ["horse.mp4"] == program.videos()
    assert 1 == await sent(program)


async def test_no_clobber(program: Any, emulator: Emulator) -> None:
    """With --no-clobber a file that exists is an error before anything is sent."""
    program.write("horse.mp4", "mine")
    program.write("clips.jsonl", '{"prompt": "a", "resolution": "720P", "output": "horse.mp4"}')
    for words in (("generate", "a horse", *CHEAP, "-o", "horse.mp4"), ("batch", "clips.jsonl")):
        run = await program.run(*words, "--no-clobber")
        assert (2, "") == (run.code, run.out)
        assert "the file exists, and --no-clobber keeps it" in run.err

    assert b"mine" == program.read("horse.mp4")
    assert 0 == await sent(program)


async def test_no_clobber_knows_the_videos_of_a_batch(program: Any, emulate: Any) -> None:
    """A batch that is run again with --no-clobber finds its own videos and succeeds."""
    program.write("clips.jsonl", '{"prompt": "a", "resolution": "720P", "output": "a.mp4"}')
    async with emulate(Scenario(queue=(0, 0), run=(3, 3))):
        runs = [await program.run("batch", "clips.jsonl", "--no-clobber") for _ in range(2)]

    assert [(0, "a.mp4\n")] * 2 == [(run.code, run.out) for run in runs]


@pytest.mark.parametrize("output", ["nowhere/horse.mp4", "a-file/horse.mp4", "a-folder"])
async def test_an_output_that_cannot_be_written(program: Any, emulator: Emulator, output: str) -> None:
    """A folder that is missing, is a file, or does not take new files is found before anything is sent."""
    program.write("a-file", "")
    program.folder("a-folder")
    os.chmod("a-folder", 0o500)  # noqa: PTH101
    run = await program.run("generate", "a horse", *CHEAP, "-o", output)
    if output == "a-folder" and os.access("a-folder", os.W_OK):
        pytest.skip("root may write into any folder")

    assert (2, "") == (run.code, run.out)
    assert 0 == await sent(program)


def test_two_tasks_never_share_a_file(tmp_path: Path) -> None:
    """Ids that differ in characters no file name can hold still have different files in a folder."""
    ids = ("a/b", "a:b", "a_b", "a\\b", "A", "..", "CON", "con")
    files = {Target(str(tmp_path)).file(TaskRef("main", f"{task_id}!")) for task_id in ids}

    assert len(ids) == len(files)
