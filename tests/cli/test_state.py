"""The journal that the command line keeps by itself: nothing is paid twice, and no configuration is needed for that."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from happyhorse_async.cli.state import journal_file
from happyhorse_async.emulator import Emulator, Scenario

QUICK = Scenario(queue=(0, 0), run=(3, 3))
CHEAP = ("--resolution", "720P", "--duration", "3")


async def refs(program: Any, provider: str = "dashscope") -> set[str]:
    """Return the refs of all tasks that the provider has."""
    run = await program.run("list", "--provider", provider, "--limit", "100", "--json")
    return {task["ref"] for task in run.objects}


async def test_a_batch_without_a_store_is_paid_once(program: Any, emulate: Any) -> None:
    """Without [store], a batch that is run again submits nothing and downloads what is missing."""
    program.write("clips.jsonl", '{"prompt": "a", "resolution": "720P"}\n{"prompt": "b", "resolution": "720P"}\n')
    async with emulate(QUICK):
        first = await program.run("batch", "clips.jsonl")
        program.remove(first.out.splitlines()[0])
        again = await program.run("batch", "clips.jsonl")
        sent = await refs(program)

    assert (0, 0, 2) == (first.code, again.code, len(sent))
    assert set(first.out.splitlines()) == set(again.out.splitlines()) == set(program.videos())
    assert "paid again" not in first.err


async def test_the_same_file_name_elsewhere_is_another_batch(program: Any, emulate: Any) -> None:
    """Lines are known by the path of their file: a file of the same name in another folder makes its own videos."""
    program.folder("other")
    for name in ("clips.jsonl", "other/clips.jsonl"):
        program.write(name, '{"prompt": "a", "resolution": "720P"}\n')
    async with emulate(QUICK):
        await program.run("batch", "clips.jsonl")
        await program.run("batch", "other/clips.jsonl")
        sent = await refs(program)

    assert 2 == len(sent)


async def test_a_batch_stays_where_it_was_submitted(program: Any, emulate: Any) -> None:
    """Another default provider in the configuration does not make the same videos again there."""
    program.write("clips.jsonl", '{"prompt": "a", "resolution": "720P"}\n')
    async with emulate(QUICK):
        first = await program.run("batch", "clips.jsonl")
        text = program.read("happyhorse.toml").decode().replace('default = "dashscope"', 'default = "hiapi"')
        program.write("happyhorse.toml", text)
        program.remove(first.out.strip())
        again = await program.run("batch", "clips.jsonl")
        sent = (len(await refs(program)), len(await refs(program, "hiapi")))

    assert (0, first.out, (1, 0)) == (again.code, again.out, sent)
    assert "line 1 was submitted to dashscope before, and stays there" in again.err


async def test_a_key_is_paid_once_and_no_key_is_a_new_video(program: Any, emulate: Any) -> None:
    """With --key the same request is the same task in another run; without one each run makes a new video."""
    async with emulate(QUICK):
        for options in (("--key", "order-1"), ("--key", "order-1"), (), ()):
            run = await program.run("submit", "a horse", *CHEAP, *options)
            assert 0 == run.code
        sent = await refs(program)

    assert 3 == len(sent)


async def test_resume_finds_what_was_submitted(program: Any, emulate: Any) -> None:
    """Without [store] too, `resume` and job ids know what earlier runs have submitted."""
    async with emulate(QUICK):
        submitted = await program.run("submit", "a horse", *CHEAP, "--json")
        job_id = submitted.objects[0]["job_id"]
        status = await program.run("status", job_id, "--json")
        resumed = await program.run("resume", "--json")
        waited = await program.run("wait", job_id, "-o", "by-job.mp4")
        downloaded = await program.run("download", job_id, "-o", "again.mp4")

    assert submitted.objects[0]["ref"] == status.objects[0]["ref"]
    assert (0, job_id) == (resumed.code, resumed.objects[0]["job_id"])
    assert [(0, "by-job.mp4\n"), (0, "again.mp4\n")] == [(run.code, run.out) for run in (waited, downloaded)]


async def test_each_configuration_file_has_a_journal(program: Any, emulate: Any) -> None:
    """Files are told apart by their path; runs without a file share one journal. `config` names it."""
    async with emulate(QUICK):
        program.write("other.toml", program.read("happyhorse.toml").decode())
        named = [await program.run("config", "--json", *options) for options in ((), ("--config", "other.toml"))]
        await program.run("submit", "a horse", *CHEAP)
        pending = await program.run("list", "--pending", "--json", "--config", "other.toml")
    program.remove("happyhorse.toml")
    without = await program.run("config", "--json")
    none = await program.run("config", "--json", "--no-store")

    journals = [run.objects[0]["journal"] for run in (*named, without)]
    assert 3 == len(set(journals))
    assert {os.environ["XDG_STATE_HOME"] + "/happyhorse"} == {os.path.dirname(path) for path in journals}  # noqa: PTH120
    assert [] == pending.objects
    assert none.objects[0]["journal"] is None


def test_the_journal_follows_the_file_and_not_its_link(tmp_path: Path) -> None:
    """A link to a configuration file has the journal of that file."""
    (tmp_path / "real.toml").touch()
    (tmp_path / "link.toml").symlink_to("real.toml")

    assert journal_file(tmp_path / "real.toml") == journal_file(tmp_path / "link.toml")
    assert journal_file(None) != journal_file(tmp_path / "real.toml")


async def test_the_state_folder_is_private(program: Any, emulator: Emulator) -> None:
    """Prompts and signed URLs are kept there, for the user alone; a run that only reads makes nothing."""
    folder = os.environ["XDG_STATE_HOME"] + "/happyhorse"
    await program.run("list")
    assert not os.path.exists(folder)  # noqa: ASYNC240, PTH110
    await program.run("submit", "a horse", *CHEAP)

    assert 0o700 == stat.S_IMODE(os.stat(folder).st_mode)  # noqa: PTH116


@pytest.mark.parametrize("command", [("generate", "a horse"), ("submit", "a horse"), ("batch", "clips.jsonl")])
async def test_a_state_folder_that_cannot_be_made(
    program: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """It is an error with a way out, before anything is paid; --no-store does without."""
    program.write("clips.jsonl", json.dumps({"prompt": "a", "resolution": "720P"}))
    program.write("a-file", "")
    monkeypatch.setenv("XDG_STATE_HOME", os.getcwd() + "/a-file")  # noqa: PTH109
    run = await program.run(*command)
    sent = await refs(program)
    without = await program.run(*command, "--no-store")

    assert (2, "", set()) == (run.code, run.out, sent)
    assert "for the journal cannot be made" in run.err
    assert "--no-store" in run.err
    assert 0 == without.code
