"""`generate` and `submit`: the main job from the command line, and every way in which it can end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from happyhorse_async.emulator import Emulator, Scenario
from happyhorse_async.registry import adapter_names
from happyhorse_async.task import FailureReason


@pytest.mark.parametrize("provider", adapter_names())
async def test_a_video_on_disk(program: Any, emulator: Emulator, provider: str) -> None:
    """With every provider, the path of a finished MP4 is the only line on the standard output."""
    run = await program.run("generate", "a horse", "--duration", "3", "--provider", provider, "-o", "horse.mp4")

    assert (0, "horse.mp4\n") == (run.code, run.out)
    assert b"ftyp" == program.read("horse.mp4")[4:8]
    assert f"submitted {provider}:" in run.err
    assert "SUCCEEDED" in run.err


async def test_the_file_is_named_after_the_task(program: Any, emulator: Emulator) -> None:
    """Without --output the video lands in the current folder under the task's id."""
    run = await program.run("generate", "a horse", "--duration", "3", "--json")
    task_id = run.objects[0]["ref"].partition(":")[2]

    assert run.code == 0
    assert [f"{task_id}.mp4"] == program.videos()


async def test_json(program: Any, emulator: Emulator) -> None:
    """With --json every line is an object: the ref at once, each update, and the file at the end."""
    options = ("--resolution", "720P", "--no-watermark", "--json", "-o", "horse.mp4")
    run = await program.run("generate", "a horse", *options)
    refs = {event["ref"] for event in run.objects}

    assert (0, "") == (run.code, run.err)
    assert run.events == ["submitted", *["update"] * (len(run.events) - 2), "finished"]
    assert {"PENDING", "RUNNING", "SUCCEEDED"} >= {event["status"] for event in run.objects[1:]}
    assert len(refs) == 1
    assert run.objects[0]["job_id"].startswith("hh-")
    assert ("SUCCEEDED", "horse.mp4") == (run.objects[-1]["status"], run.objects[-1]["path"])
    assert run.objects[-1]["videos"][0]["url"].startswith(emulator.address)


async def test_a_failed_task(program: Any, emulate: Any) -> None:
    """A task that fails ends in 4, with the provider's reason and without a way to resume what is over."""
    async with emulate(Scenario(queue=(0, 0), run=(1, 1), failures={FailureReason.CONTENT_REJECTED: 1.0})):
        run = await program.run("generate", "a horse", "--json")

    assert run.code == 4
    assert "FAILED" == run.objects[-1]["status"]
    assert ("TaskFailedError", None) == (run.error["class"], run.error["resume"])
    assert run.objects[0]["ref"] == run.error["ref"]
    assert [] == program.videos()


async def test_out_of_time(program: Any, emulate: Any) -> None:
    """--timeout ends the waiting with 5; the task goes on, and the way to take it up is printed."""
    async with emulate(Scenario(stuck=1.0)):
        run = await program.run("generate", "a horse", "--timeout", "0.2", "-o", "horse.mp4")
        as_json = await program.run("generate", "a horse", "--timeout", "0.2", "--json", "--config", "happyhorse.toml")

    assert (5, "") == (run.code, run.out)
    assert "within 0.2 s" in run.err
    assert "\n  happyhorse wait dashscope:" in run.err
    assert run.err.endswith(" -o horse.mp4\n")
    assert as_json.code == 5
    assert f"happyhorse wait {as_json.objects[0]['ref']} -o . --config happyhorse.toml" == as_json.error["resume"]


async def test_a_refused_key(program: Any, emulate: Any) -> None:
    """A key that the provider refuses ends in 3, in one line that does not show it."""
    async with emulate(api_key="another"):
        run = await program.run("generate", "a horse", "--resolution", "720P", "--no-watermark")

    assert (3, "") == (run.code, run.out)
    assert run.err.startswith("error: ")
    assert len(run.err.splitlines()) == 1
    assert "sk-never" not in run.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--duration", "99"], "duration must be"),
        (["--provider", "hiapi", "--video", "https://example.org/v.mp4"], "providers that can: dashscope"),
        (["--provider", "missing"], "no [providers.missing]"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--image", "frame.png"], "frame.png does not exist"),
        (["--ratio", "1:1", "--image", "https://example.org/a.png"], "the video has the aspect ratio of the image"),
        (["-o", "nowhere/horse.mp4"], "the folder nowhere does not exist"),
        (["--duration", "long"], "--duration"),
        (["--timeout", "0"], "--timeout"),
        (["--mode", "x2v"], '"t2v", "i2v", "r2v", "edit"'),
        (["--ration", "1:1"], "Did you mean --ratio?"),
    ],
)
async def test_bad_input(program: Any, emulator: Emulator, arguments: list[str], reason: str) -> None:
    """Whatever can be found wrong here ends in 2, in one line, before anything is sent."""
    run = await program.run("generate", "a horse", *arguments)
    listed = await program.run("list", "--provider", "dashscope", "--json")

    assert (2, "") == (run.code, run.out)
    assert reason in run.err
    assert len(run.err.splitlines()) == 1
    assert [] == listed.objects


async def test_a_usage_error_in_json(program: Any) -> None:
    """An error in the arguments is an object as well."""
    run = await program.run("generate", "--json", "--nope")

    assert (2, "") == (run.code, run.out)
    assert "UsageError" == run.error["class"]


async def test_no_provider(program: Any) -> None:
    """Without configuration the error names what to do."""
    run = await program.run("generate", "a horse")

    assert run.code == 2
    assert "HAPPYHORSE_PROVIDER" in run.err


async def test_submit_prints_the_ref(program: Any, emulate: Any) -> None:
    """`submit` returns as soon as the task is taken; its only output is the ref."""
    async with emulate(Scenario(queue=(1000, 1000))):
        run = await program.run("submit", "a horse")
        status = await program.run("status", run.out.strip(), "--json")

    assert run.code == 0
    assert [run.out.strip()] == [task["ref"] for task in status.objects]
    assert "PENDING" == status.objects[0]["status"]


async def test_a_literal_key_warns_on_one_line(program: Any) -> None:
    """The warning of the configuration is a line, not a trace of the source."""
    program.write("literal.toml", '[providers.hiapi]\napi_key = "sk-never-to-be-seen"\nproxy = "http://127.0.0.1:9"\n')
    run = await program.run("list", "--config", "literal.toml")

    assert run.code == 6
    assert run.err.startswith("warning: literal.toml: providers.hiapi.api_key: ")
    assert "sk-never" not in run.err
    assert "UserWarning" not in run.err


async def test_a_bar_on_a_terminal(program: Any, emulate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the progress moves in place, and the standard output still has the result alone."""
    monkeypatch.setenv("TERM", "xterm-256color")
    async with emulate(Scenario(queue=(0, 0), run=(90, 90))):
        run = await program.run_on_a_terminal("generate", "a horse", "--resolution", "720P", "-o", "horse.mp4")

    assert (0, "horse.mp4\n") == (run.code, run.out)
    assert "\x1b[2K" in run.err
    assert "RUNNING" in run.err
    assert re.search(r"SUCCEEDED in \d+:\d\d", run.err)


async def test_no_bar_with_json(program: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json a terminal shows neither bar nor colour."""
    monkeypatch.setenv("TERM", "xterm-256color")
    run = await program.run_on_a_terminal("generate", "a horse", "--json", "-o", "horse.mp4")

    assert (0, "finished") == (run.code, run.events[-1])
    assert "\x1b" not in run.out + run.err
