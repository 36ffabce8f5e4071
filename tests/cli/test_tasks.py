"""`status`, `wait`, `download`, `cancel` and `list`: taking up tasks by their ref."""

from __future__ import annotations

import math
import socket
from typing import Any

import pytest

from happyhorse_async.emulator import Emulator, Scenario, SimulatedTask
from happyhorse_async.task import FailureReason


async def submitted(program: Any, *arguments: str) -> str:
    """Submit a task and return its ref."""
    run = await program.run("submit", "a horse", "--resolution", "720P", "--duration", "3", *arguments)
    assert run.code == 0
    return str(run.out.strip())


async def test_wait_and_download(program: Any, emulator: Emulator) -> None:
    """The ref alone finds the provider, in another run than the one that submitted."""
    ref = await submitted(program, "--provider", "hiapi")
    run = await program.run("wait", ref, "-o", "horse.mp4")

    assert (0, "horse.mp4\n") == (run.code, run.out)
    assert ["horse.mp4"] == program.videos()


async def test_wait_without_a_file(program: Any, emulator: Emulator) -> None:
    """Without --output nothing is downloaded, and the end is reported."""
    ref = await submitted(program)
    run = await program.run("wait", ref)
    as_json = await program.run("wait", ref, "--json")

    assert (0, f"{ref} SUCCEEDED\n") == (run.code, run.out)
    assert ("finished", None) == (as_json.objects[-1]["event"], as_json.objects[-1]["path"])
    assert [] == program.videos()


async def test_wait_runs_out_of_time(program: Any, emulate: Any) -> None:
    """A wait that runs out of time ends in 5 and says how to go on."""
    async with emulate(Scenario(stuck=1.0)):
        ref = await submitted(program)
        run = await program.run("wait", ref, "--timeout", "0.1", "-o", "my horse.mp4")

    assert run.code == 5
    assert run.err.endswith(f"  happyhorse wait {ref} -o 'my horse.mp4'\n")


async def test_download_of_a_finished_task(program: Any, emulator: Emulator) -> None:
    """`download` fetches what is there."""
    ref = await submitted(program)
    await program.run("wait", ref)
    run = await program.run("download", ref, "-o", "horse.mp4")

    assert (0, "horse.mp4\n") == (run.code, run.out)
    assert ["horse.mp4"] == program.videos()


async def test_download_of_a_task_that_goes_on(program: Any, emulate: Any) -> None:
    """`download` does not wait: a task that still runs is an error, with the command that does wait."""
    async with emulate(Scenario(stuck=1.0)):
        ref = await submitted(program)
        run = await program.run("download", ref, "-o", "horse.mp4")

    assert run.code == 6
    assert f"happyhorse wait {ref} -o horse.mp4" in run.err
    assert [] == program.videos()


async def test_status(program: Any, emulate: Any) -> None:
    """`status` polls once; text has the details, JSON the whole task with its video."""
    async with emulate(Scenario(queue=(0, 0), run=(0, 0))):
        ref = await submitted(program)
        run = await program.run("status", ref)
        as_json = await program.run("status", ref, "--json")
    [task] = as_json.objects

    assert run.code == 0
    assert run.out.startswith(f"{ref} SUCCEEDED\n")
    assert "Signature" not in run.out
    assert (ref, "SUCCEEDED") == (task["ref"], task["status"])
    assert "Signature" in task["videos"][0]["url"]


async def test_status_of_a_failed_task_is_no_failure(program: Any, emulate: Any) -> None:
    """`status` succeeds when the provider could tell, also that the task has failed."""
    async with emulate(Scenario(queue=(0, 0), run=(0, 0), failures={FailureReason.PROVIDER_FAULT: 1.0})):
        ref = await submitted(program)
        run = await program.run("status", ref)

    assert run.code == 0
    assert run.out.startswith(f"{ref} FAILED ")


@pytest.mark.parametrize("command", ["status", "wait", "download"])
async def test_a_task_that_the_provider_does_not_know(program: Any, emulator: Emulator, command: str) -> None:
    """An unknown task cannot be resumed."""
    arguments = ["--timeout", "0.3"] if command == "wait" else []
    run = await program.run(command, "nexusflow:task_nothing", *arguments, "--json")

    if command == "wait":
        assert ("WaitTimeoutError", 5) == (run.error["class"], run.code)
    else:
        assert ("TaskNotFoundError", 3) == (run.error["class"], run.code)
        assert run.error["resume"] is None


@pytest.mark.parametrize("ref", ["nothing", "Main:1", "missing:1", "dashscope:"])
async def test_text_that_is_not_a_ref(program: Any, emulator: Emulator, ref: str) -> None:
    """Text that is neither a ref of a known provider nor a job id is bad input."""
    run = await program.run("status", ref)

    assert (2, "") == (run.code, run.out)
    assert len(run.err.splitlines()) == 1


async def test_no_network(program: Any) -> None:
    """A refused connection ends in 6."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        root = f"http://127.0.0.1:{taken.getsockname()[1]}"
        program.write("happyhorse.toml", f'[providers.hiapi]\nbase_url = "{root}"\napi_key_env = "EMULATOR_KEY"\n')
        run = await program.run("status", "hiapi:1", "--json")

    assert (6, "TransportError") == (run.code, run.error["class"])


async def test_cancel(program: Any, emulate: Any) -> None:
    """A task that has not begun is cancelled, and a wait for it then ends in 4."""
    async with emulate(Scenario(choose=lambda request, number: SimulatedTask(queue=math.inf))):
        ref = await submitted(program)
        run = await program.run("cancel", ref)
        waited = await program.run("wait", ref)

    assert (0, f"{ref} CANCELED\n") == (run.code, run.out)
    assert waited.code == 4


async def test_a_cancellation_that_comes_too_late(program: Any, emulate: Any) -> None:
    """A task that runs is not cancelled: its true state is shown, and the run ends in 3."""
    async with emulate(Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=math.inf))):
        ref = await submitted(program)
        await program.run("status", ref)
        run = await program.run("cancel", ref, "--json")

    assert (3, "RUNNING") == (run.code, run.objects[0]["status"])


async def test_a_provider_that_cannot_cancel(program: Any, emulator: Emulator) -> None:
    """Where the provider has no cancellation, nothing is sent and the run ends in 2."""
    run = await program.run("cancel", "hiapi:1", "--json")

    assert (2, "UnsupportedFeatureError") == (run.code, run.error["class"])


async def test_list(program: Any, emulator: Emulator) -> None:
    """`list` shows the newest tasks, as many as asked for."""
    refs = [await submitted(program, "--provider", "hiapi") for _ in range(3)]
    run = await program.run("list", "--provider", "hiapi")
    as_json = await program.run("list", "--provider", "hiapi", "--limit", "2", "--json")

    assert run.code == 0
    assert all(ref in run.out for ref in refs)
    assert 2 == len(as_json.objects)
    assert {task["ref"] for task in as_json.objects} < set(refs)


async def test_an_empty_list(program: Any, emulator: Emulator) -> None:
    """No tasks are no output."""
    run = await program.run("list", "--provider", "dashscope")

    assert (0, "", "no tasks\n") == (run.code, run.out, run.err)


async def test_a_provider_without_a_list(program: Any, emulator: Emulator) -> None:
    """Where the provider has no list, the run ends in 2."""
    run = await program.run("list", "--provider", "imini")

    assert run.code == 2
