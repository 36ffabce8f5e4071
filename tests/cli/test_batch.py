"""`batch`: many videos from one file, and the same command again after whatever has happened."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from typing import Any

import pytest

from happyhorse_async.cli.exit_codes import ExitCode
from happyhorse_async.emulator import Emulator, Scenario, SimulatedTask
from happyhorse_async.task import FailureReason

QUICK = Scenario(queue=(0, 0), run=(3, 3))
STUCK = Scenario(stuck=1.0)


def shots(program: Any, *lines: dict[str, Any]) -> None:
    """Write a batch file. Every line is cheap."""
    text = "".join(json.dumps({"resolution": "720P", "duration": 3, **line}) + "\n" for line in lines)
    program.write("shots.jsonl", text)


async def tasks(program: Any, provider: str = "dashscope") -> set[str]:
    """Return the refs of all tasks that the provider has."""
    run = await program.run("list", "--provider", provider, "--limit", "100", "--json")
    return {task["ref"] for task in run.objects}


async def until_tasks(program: Any, count: int, provider: str = "dashscope") -> set[str]:
    """Wait until the provider has *count* tasks, and return their refs."""
    while len(refs := await tasks(program, provider)) < count:
        await asyncio.sleep(0.05)
    return refs


async def test_a_batch(program: Any, emulate: Any) -> None:
    """Every line becomes a file, at its own provider; the standard output has a path for each."""
    shots(program, {"prompt": "a"}, {"prompt": "b", "provider": "hiapi", "output": "b/b.mp4"}, {"prompt": "a"})
    async with emulate(QUICK, store=True):
        run = await program.run("batch", "shots.jsonl", "-o", "out")
        refs = await tasks(program)
        named = {f"out/{ref.partition(':')[2]}.mp4" for ref in refs}

    assert (0, 2) == (run.code, len(refs))
    assert {*named, "out/b/b.mp4"} == set(run.out.splitlines())
    assert all(b"ftyp" == program.read(path)[4:8] for path in run.out.splitlines())
    assert "3 of 3 videos are ready" in run.err


async def test_a_batch_that_is_run_again_submits_nothing(program: Any, emulate: Any) -> None:
    """A second run submits nothing, downloads only missing videos, and polls nothing else."""
    shots(program, {"prompt": "a", "output": "a.mp4"}, {"prompt": "b", "output": "b.mp4"})
    async with emulate(QUICK, store=True):
        await program.run("batch", "shots.jsonl")
        refs = await tasks(program)
        program.remove("b.mp4")
        program.write("a.mp4", "as it was")
        again = await program.run("batch", "shots.jsonl", "--json")
        refs_after = await tasks(program)
    offline = await program.run("batch", "shots.jsonl", "--json")

    assert (0, 0) == (again.code, offline.code)
    assert refs == refs_after
    assert ["a.mp4", "b.mp4"] == sorted(line["path"] for line in again.objects)
    assert refs == {line["ref"] for line in offline.objects}
    assert b"as it was" == program.read("a.mp4")
    assert b"ftyp" == program.read("b.mp4")[4:8]


async def test_a_batch_in_json(program: Any, emulate: Any) -> None:
    """With --json every line of the file has one object, with its path or its error."""
    scenario = Scenario(choose=lambda request, _: SimulatedTask(queue=0, run=1, failure=_failure(request.prompt)))
    shots(program, {"prompt": "a"}, {"prompt": "bad"})
    async with emulate(scenario, store=True):
        run = await program.run("batch", "shots.jsonl", "--json")
    good, bad = sorted(run.objects, key=lambda line: line["index"])

    assert 4 == run.code
    assert {"index", "ref", "job_id", "status", "path", "error"} == set(good) == set(bad)
    assert ("SUCCEEDED", None) == (good["status"], good["error"])
    assert (1, "FAILED", None) == (bad["index"], bad["status"], bad["path"])
    assert bad["ref"].startswith("dashscope:")
    assert "TaskFailedError" == bad["error"]["class"]
    assert [f"{good['ref'].partition(':')[2]}.mp4"] == program.videos() == [good["path"]]


def _failure(prompt: str | None) -> FailureReason | None:
    return FailureReason.CONTENT_REJECTED if prompt == "bad" else None


async def test_a_line_with_an_error_is_named(program: Any, emulate: Any) -> None:
    """For a reader the error of a line is on the standard error, with the line's number."""
    shots(program, {"prompt": "a"})
    async with emulate(Scenario(failures={FailureReason.CONTENT_REJECTED: 1.0}), store=True):
        run = await program.run("batch", "shots.jsonl")

    assert (4, "") == (run.code, run.out)
    assert "\nerror: line 1: the task failed" in f"\n{run.err}"
    assert "0 of 1 videos are ready" in run.err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"prompt": "b", "duration": 99}, "line 2: duration must be"),
        ({"prompt": "b", "duration": "5"}, "line 2: duration: expected a whole number"),
        ({"prompt": "b", "provider": "missing"}, "line 2: provider: there is no [providers.missing]"),
        ({"prompt": "b", "provider": "hiapi", "watermark": True}, "line 2: hiapi has no watermark"),
        ({"image": "frame.png"}, "line 2: image: frame.png does not exist"),
        ({"prompt": "b", "output": "a.mp4"}, "line 2: output: line 1 has the same"),
        ({"prompt": "b", "output": "."}, "line 2: output .: this is a folder"),
    ],
)
async def test_a_bad_line_is_found_before_anything_is_sent(
    program: Any, emulator: Emulator, line: dict[str, Any], reason: str
) -> None:
    """One bad line stops the whole batch, with 2, before the first submit; no folder is made."""
    shots(program, {"prompt": "a", "output": "a.mp4"}, line)
    run = await program.run("batch", "shots.jsonl")
    sent = await tasks(program)

    assert (2, "", set()) == (run.code, run.out, sent)
    assert run.err.startswith("error: shots.jsonl, line 2: ")
    assert reason in run.err


async def test_all_bad_lines_are_named(program: Any, emulator: Emulator) -> None:
    """Every bad line is reported at once, in the order of the file."""
    shots(program, {"prompt": "a", "duration": 99}, {"prompt": 5}, {"prompt": "b"}, {"prompt": " "})
    run = await program.run("batch", "shots.jsonl")
    lines = [line.split(": ")[1] for line in run.err.splitlines() if line.startswith("error: ")]

    assert 2 == run.code
    assert ["shots.jsonl, line 1", "shots.jsonl, line 2", "shots.jsonl, line 4"] == lines


async def test_without_a_store(program: Any, emulator: Emulator) -> None:
    """With --no-store a batch works once, and warns that it would be paid again."""
    shots(program, {"prompt": "a"})
    run = await program.run("batch", "shots.jsonl", "--no-store")

    assert 0 == run.code
    assert "run again, the batch is paid again" in run.err
    assert 1 == len(program.videos())


async def test_a_warning_is_given_once(program: Any, emulate: Any) -> None:
    """What many lines have in common is said once."""
    shots(program, *({"prompt": prompt, "resolution": None, "watermark": False} for prompt in "abc"))
    async with emulate(QUICK, store=True):
        run = await program.run("batch", "shots.jsonl")

    assert 0 == run.code
    assert 1 == run.err.count("warning: ")
    assert "warning: shots.jsonl, line 1 and 2 more: resolution is not set" in run.err


async def test_no_more_than_the_limit(program: Any, emulate: Any, gated: Any) -> None:
    """With a limit of one, the second line is submitted after the first has its video."""
    shots(program, {"prompt": "a"}, {"prompt": "b"})
    async with emulate(STUCK) as emulator, gated(emulator, store=True, opened=True) as gate:
        process = await program.start("batch", "shots.jsonl", "--limit", "1")
        await gate.arrived.wait()
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        run = await program.end(process)

    assert 130 == run.code
    assert 1 == len(gate.bodies)


async def test_a_refused_key_stops_the_submits(program: Any, emulate: Any) -> None:
    """Where a key or an account is refused, the lines after it are not tried, and the next run tries them."""
    shots(program, *({"prompt": prompt} for prompt in "abc"))
    async with emulate(QUICK, store=True, api_key="another"):
        run = await program.run("batch", "shots.jsonl", "--limit", "1", "--json")
    async with emulate(QUICK, store=True):
        again = await program.run("batch", "shots.jsonl")

    assert 3 == run.code
    assert ["AuthenticationError"] * 3 == [line["error"]["class"] for line in run.objects]
    assert "not sent, since an earlier line was refused" in run.objects[2]["error"]["message"]
    assert (0, 3) == (again.code, len(again.out.splitlines()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_a_batch_that_was_cut_off(program: Any, emulate: Any, number: signal.Signals) -> None:
    """Interrupted or killed, a batch goes on where it was: every line is paid once and has its file."""
    shots(program, *({"prompt": f"{index}"} for index in range(6)))
    async with emulate(Scenario(queue=(0, 0), run=(60, 60)), store=True):
        process = await program.start("batch", "shots.jsonl", "--limit", "3")
        await until_tasks(program, 3)
        process.send_signal(number)
        await program.end(process)
        run = await program.run("batch", "shots.jsonl")
        refs = await tasks(program)

    assert len(refs) == 6
    if number is signal.SIGKILL and run.code == ExitCode.FAULT:
        # The kill fell between a paid request and its answer, and its outcome is openly unknown.
        return
    assert run.code == 0
    assert {f"{ref.partition(':')[2]}.mp4" for ref in refs} == set(program.videos())


async def test_an_interrupted_batch_names_what_goes_on(program: Any, emulate: Any) -> None:
    """Ctrl-C prints the ref of each task on its way, and the command that goes on."""
    shots(program, {"prompt": "a"}, {"prompt": "b"})
    async with emulate(STUCK, store=True):
        process = await program.start("batch", "shots.jsonl", "-o", "my videos", "--provider", "hiapi")
        refs = await until_tasks(program, 2, "hiapi")
        process.send_signal(signal.SIGINT)
        run = await program.end(process)

    assert 130 == run.code
    assert all(ref in run.err for ref in refs)
    assert shlex.split(run.err.splitlines()[-1]) == [
        "happyhorse", "batch", "shots.jsonl", "-o", "my videos", "--limit", "1000", "--provider", "hiapi",
    ]  # fmt: skip


async def test_an_interrupted_batch_without_a_store(program: Any, emulate: Any) -> None:
    """With --no-store, Ctrl-C prints a command with the refs themselves."""
    shots(program, {"prompt": "a"})
    async with emulate(STUCK):
        process = await program.start("batch", "shots.jsonl", "--json", "--no-store")
        refs = await until_tasks(program, 1)
        process.send_signal(signal.SIGINT)
        run = await program.end(process)
    [line] = run.objects

    assert 130 == run.code
    assert ({line["ref"]}, "WaitTimeoutError") == (refs, line["error"]["class"])
    assert f"happyhorse resume {line['ref']} -o . --no-store" == run.error["resume"]


async def test_a_line_with_an_unknown_outcome_is_never_sent_again(program: Any, emulate: Any, gated: Any) -> None:
    """A submit without a readable answer ends in 6, is never sent again, and names how to settle it."""
    shots(program, {"prompt": "a", "key": "mine"})
    async with (
        emulate(QUICK) as emulator,
        gated(emulator, "dashscope", store=True, spoils=True, opened=True) as gate,
    ):
        run = await program.run("batch", "shots.jsonl")
        again = await program.run("batch", "shots.jsonl", "--json")
    [line] = again.objects

    assert (6, 6) == (run.code, again.code)
    assert f"happyhorse resolve {line['job_id']}" in run.err
    assert "SubmitOutcomeUnknownError" == line["error"]["class"]
    assert 1 == len(gate.bodies)


async def test_a_key_with_another_request(program: Any, emulate: Any) -> None:
    """A changed line under the same key is an error, even if its file exists."""
    shots(program, {"prompt": "a", "key": "mine", "output": "a.mp4"})
    async with emulate(QUICK, store=True):
        await program.run("batch", "shots.jsonl")
        shots(program, {"prompt": "b", "key": "mine", "output": "a.mp4"})
        run = await program.run("batch", "shots.jsonl")

    assert (2, "") == (run.code, run.out)
    assert "for another request" in run.err


async def test_a_bar_on_a_terminal(program: Any, emulate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal one bar shows how many have ended."""
    monkeypatch.setenv("TERM", "xterm-256color")
    shots(program, {"prompt": "a"}, {"prompt": "b"})
    async with emulate(QUICK, store=True):
        run = await program.run_on_a_terminal("batch", "shots.jsonl")

    assert (0, 2) == (run.code, len(run.out.splitlines()))
    assert "0/2" in run.err


async def test_a_store_that_cannot_be_used(program: Any, emulate: Any) -> None:
    """A journal that cannot be opened ends in 2, before anything is sent."""
    shots(program, {"prompt": "a"})
    async with emulate(QUICK, store=True):
        program.write("jobs.sqlite", "not a database" * 1000)
        run = await program.run("batch", "shots.jsonl", "--json")
        one = await program.run("generate", "a horse", "--resolution", "720P")
        program.remove("jobs.sqlite")
        sent = await tasks(program)

    assert (2, "StoreError", 2) == (run.code, run.error["class"], one.code)
    assert set() == sent
