"""How the command line as a whole is read: options before the command, help, slips, and what `--help` loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from happyhorse_async.cli.arguments import normalized
from happyhorse_async.cli.commands import make_app
from happyhorse_async.cli.help import GROUPS
from happyhorse_async.cli.output import Output
from happyhorse_async.emulator import Emulator


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--json", "providers"], ["providers", "--json"]),
        (["-v", "--config", "a.toml", "list", "--limit", "1"], ["list", "-v", "--config", "a.toml", "--limit", "1"]),
        (["--config=a.toml", "config"], ["config", "--config=a.toml"]),
        (["--no-store", "generate", "--", "--json"], ["generate", "--no-store", "--", "--json"]),
        (["help"], ["--help"]),
        (["help", "batch"], ["batch", "--help"]),
        (["--json", "--version"], ["--version"]),
        (["-v"], []),
        (["list", "--json"], ["list", "--json"]),
        (["--nope", "list"], ["--nope", "list"]),
        (["generate", "x", "-o", "-"], ["generate", "x", "--output=-"]),
        (["generate", "--", "-o", "-"], ["generate", "--", "-o", "-"]),
        ([], []),
    ],
)
def test_general_options_may_stand_before_the_command(arguments: list[str], words: list[str]) -> None:
    """They are moved behind the command; `help COMMAND` is its --help."""

    assert words == normalized(arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("generate", "A", "cardboard", "train"), "put the prompt in quotes: happyhorse generate 'A cardboard train'"),
        (
            ("submit", "--json", "A", "train", "--duration", "5"),
            "put the prompt in quotes: happyhorse submit 'A train'",
        ),
        (("plan", "A", "train"), "put the prompt in quotes: happyhorse plan 'A train'"),
        (("demo", "A", "train"), "put the prompt in quotes: happyhorse demo 'A train'"),
        (("A cardboard train",), "the command is missing: happyhorse generate 'A cardboard train'"),
        (("generate", "--", "--weird", "--duration", "5"), "everything after -- is text: put the options before it"),
        (("status", "main:1", "main:2"), "too many arguments: main:2 (see happyhorse status --help)"),
        (("generate", "x", "--ration", "1:1"), "Did you mean --ratio? (see happyhorse generate --help)"),
        (("genrate", "x"), 'Unknown command "genrate"'),
    ],
)
async def test_a_slip_is_explained(program: Any, emulator: Emulator, arguments: tuple[str, ...], sentence: str) -> None:
    """The commonest slips end in 2, with what to type instead, and nothing is sent."""
    run = await program.run(*arguments)
    listed = await program.run("list", "--json")

    assert (2, "") == (run.code, run.out)
    assert sentence in run.err
    assert [] == listed.objects


async def test_a_general_option_before_the_command(program: Any) -> None:
    """`happyhorse --json providers` prints JSON."""
    run = await program.run("--json", "providers")

    assert run.code == 0
    assert "dashscope" in {provider["provider"] for provider in run.objects}


def test_the_help_has_every_command() -> None:
    """Every command of the command line is in the overview, and its own help begins with the same words."""
    app = make_app(Output(as_json=False))
    names = [name for group in GROUPS.values() for name in group]

    for name in app.resolved_commands():
        assert name in names or name in ("--help", "-h")
    for group in GROUPS.values():
        for name, summary in group.items():
            if not name.startswith("-"):
                assert (app[name].help or "").split(".")[0].split()[:2] == summary.rstrip(".").split()[:2], name


@pytest.mark.parametrize("arguments", [["--help"], ["help"], [], ["--version"]])
def test_help_loads_next_to_nothing(arguments: list[str]) -> None:
    """The overview is quick: neither the libraries of the commands nor asyncio are loaded for it."""
    heavy = {"aiohttp", "asyncio", "cattrs", "cyclopts", "rich", "happyhorse_async.client", "happyhorse_async.emulator"}
    code = (
        "import sys; from happyhorse_async.cli import main; "
        f"assert main({arguments!r}) == 0; sys.stderr.write(' '.join(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set() == heavy & set(run.stderr.split())
    assert run.stdout


def test_a_command_loads_what_it_needs() -> None:
    """The options of all commands are known without the client, the emulator and the progress bars."""
    heavy = {"aiohttp", "asyncio", "rich.progress", "happyhorse_async.client", "happyhorse_async.emulator"}
    code = (
        "import sys; from happyhorse_async.cli.commands import make_app; "
        "from happyhorse_async.cli.output import Output; make_app(Output(as_json=False)); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set() == heavy & set(run.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion(program: Any, shell: str) -> None:
    """--install-completion writes the completion of the shell, and prints where."""
    run = await program.run("--install-completion", "--shell", shell)

    assert run.code == 0
    assert run.out.startswith(str(Path.home()))
    assert b"generate" in program.read(run.out.strip())
