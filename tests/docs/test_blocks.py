"""
Every code block of the README and the documentation is run, as it is printed.

Two things are changed, so that no provider is called or paid: a client without a base URL is given that of the
emulator, and so is every section of a configuration. Both are first made unchanged, as far as that needs no network.
A journal in a database becomes one in a file. What is written for another program (SQL) is not run.
"""

from __future__ import annotations

import ast
import asyncio
import code
import doctest
import io
import json
import math
import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import pytest
from anyio.from_thread import start_blocking_portal
from attrs import evolve
from sybil import Document, Example
from sybil.evaluators.python import pad
from sybil.parsers.myst import CodeBlockParser

import happyhorse_async as hh
from happyhorse_async.config import Settings
from happyhorse_async.registry import ADAPTERS, EMULATED_APIS, adapter_names, find_adapter

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "README.zh-CN.md",
    ROOT / "adapters" / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]

_RUN = ("python", "console", "shell", "toml", "json", "text")
_SHOWN = ("sql", "yaml")
_KEY = "HAPPYHORSE_KEY_OF_THE_PAGES"
_POLL = hh.PollSchedule(interval=0.03)
# The two set-up commands build an environment of their own: .ci/run runs the second, and tests below read both.
_SET_UP = ("demo", "tests")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Page:
    """Runs a page block by block, in a folder of its own."""

    def __init__(self, path: Path, folder: Path, emulator: hh.Emulator) -> None:
        self._path = path
        self._folder = folder
        self._emulator = emulator
        self._blocks: list[str] = []
        self._names: dict[str, Any] = {"__name__": path.stem, "__client__": self._client, "__blocks__": self._blocks}
        self._printed = ""
        self._configure({"default": "dashscope"})

    def read(self) -> None:
        """Run all blocks, from top to bottom."""
        parsers = [CodeBlockParser(language, getattr(self, f"_{language}")) for language in _RUN]
        document = Document.parse(str(self._path), *parsers)
        # With a factory a runner leaves alone what other tests know as the current loop.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as self._runner:
            for example in document.examples():
                example.evaluate()

    def _python(self, example: Example) -> None:
        source = pad(example.parsed, example.line + example.parsed.line_offset)
        tree = ast.fix_missing_locations(_ToEmulator().visit(ast.parse(source, example.path)))
        # What another library does, and what belongs into another app.
        if _is_marked(example, "not run"):
            compile(tree, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            return
        code = compile(tree, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        with redirect_stdout(io.StringIO()) as printed:
            # A block that awaits at its top level is a coroutine; any other has run by now.
            work = types.FunctionType(code, self._names)()
            if work is not None:
                self._runner.run(cast("Coroutine[Any, Any, None]", work))
        self._printed = printed.getvalue()
        self._blocks.append(example.parsed)

    def _text(self, example: Example) -> str | None:
        return _difference(example.parsed, self._printed) if _is_marked(example, "output") else None

    def _shell(self, example: Example) -> str | None:
        if any(_is_marked(example, mark) for mark in _SET_UP):
            return None
        return self._run(example.parsed, expected="")

    def _console(self, example: Example) -> str | None:
        commands, expected = _transcript(example.parsed)
        if _is_marked(example, "until Ctrl-C"):
            return self._interrupt(commands, expected)
        # What needs no network is run with the configuration that the page shows.
        return self._run(commands, expected, config=self._shown if _is_marked(example, "as printed") else None)

    def _toml(self, example: Example) -> None:
        table = tomllib.loads(example.parsed)
        if "project" in table:
            assert {ADAPTERS, EMULATED_APIS} >= table["project"]["entry-points"].keys()
            return
        in_project = "tool" in table
        self._shown = self._folder / "shown" / ("pyproject.toml" if in_project else "happyhorse.toml")
        self._shown.parent.mkdir(exist_ok=True)
        self._shown.write_text(example.parsed, "utf-8")
        Settings.load(self._shown)
        self._configure(table["tool"]["happyhorse"] if in_project else table)

    def _json(self, example: Example) -> str | None:
        json.loads(example.parsed)
        return self._text(example)

    def _client(self, provider: str | list[hh.Provider], **options: Any) -> hh.Client:
        hh.Client(provider, **options)
        if isinstance(provider, list):
            accounts = [
                evolve(one, base_url=self._emulator.url(str(one.adapter or one.name)), region=None) for one in provider
            ]
            return hh.Client(accounts, **{**options, "poll": _POLL})
        options |= {"base_url": self._emulator.url(provider), "region": None, "poll": _POLL}
        return hh.Client(provider, **options)

    def _configure(self, table: Mapping[str, Any]) -> None:
        providers = table.get("providers") or {name: {} for name in self._emulator.providers}
        redirected = {
            "providers": {name: self._redirected(name, section) for name, section in providers.items()},
            "poll": {"interval": _POLL.interval},
        }
        kept = {name: table[name] for name in ("default", "store", "routing") if name in table}
        if "url_env" in kept.get("store", {}):
            kept["store"] = {"path": "jobs.sqlite", "work": kept["store"].get("work", True)}
        (self._folder / "happyhorse.toml").write_text("\n".join(_toml_lines({**kept, **redirected})), "utf-8")

    def _redirected(self, name: str, section: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in section.items() if key in ("adapter", "options", "callback_url")}
        if section.keys() & {"callback_secret_env", "callback_secret_file"}:
            kept["callback_secret_env"] = _KEY
        return {**kept, "base_url": self._emulator.url(section.get("adapter", name)), "api_key_env": _KEY}

    def _run(self, commands: str, expected: str, *, config: Path | None = None) -> str | None:
        done = subprocess.run(
            ["bash", "-c", commands],
            cwd=self._folder,
            env=os.environ if config is None else {**os.environ, "HAPPYHORSE_CONFIG": str(config)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        printed = done.stdout.decode()
        if done.returncode:
            return f"{commands}exit code {done.returncode}:\n{printed}"
        return _difference(expected, printed) if expected else None

    def _interrupt(self, command: str, expected: str) -> str | None:
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            printed = "".join(process.stdout.readline() for _ in expected.splitlines())
            process.terminate()
        return _difference(expected, printed)


class _ToEmulator(ast.NodeTransformer):
    """Makes `hh.Client(...)` without a base URL a client of the emulator."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if ast.unparse(node.func) == "hh.Client" and "base_url" not in [keyword.arg for keyword in node.keywords]:
            node.func = ast.Name("__client__", ast.Load())
        return node


def _is_marked(example: Example, mark: str) -> bool:
    return example.document.text[: example.start].endswith(f"<!-- {mark} -->\n")


def _transcript(text: str) -> tuple[str, str]:
    """Part what is typed after `$` from what is printed."""
    typed, printed = [], []
    continued = False
    for line in text.splitlines():
        if continued or line.startswith("$ "):
            typed.append(line.removeprefix("$ "))
            continued = line.endswith("\\")
        else:
            printed.append(line)
    return "".join(f"{line}\n" for line in typed), "".join(f"{line}\n" for line in printed)


def _difference(expected: str, printed: str) -> str | None:
    if doctest.OutputChecker().check_output(expected, printed, _FLAGS):
        return None
    return f"expected:\n{expected}\nprinted:\n{printed}"


def _toml_lines(table: Mapping[str, Any], path: str = "") -> list[str]:
    # A basic string, number or boolean of TOML is written as in JSON.
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    for key, value in table.items():
        if isinstance(value, Mapping):
            place = f"{path}.{key}" if path else key
            lines += [f"[{place}]", *_toml_lines(cast("Mapping[str, Any]", value), place)]
    return lines


def _simulated(request: hh.VideoRequest, _: int) -> hh.SimulatedTask | None:
    # A page that shows a cancellation or a timeout needs a task that does not end.
    return hh.SimulatedTask(queue=math.inf) if "glacier" in (request.prompt or "") else None


@pytest.fixture(scope="module")
def emulator() -> Iterator[hh.Emulator]:
    """Run an emulator in a thread of its own. Its tasks end within a third of a second, but for those of a glacier."""
    emulator = hh.Emulator(speed=600, scenario=hh.Scenario(choose=_simulated))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder, with the command on the path, every key in the environment, and nothing else set."""
    for name in [name for name in os.environ if name.startswith("HAPPYHORSE_")]:
        monkeypatch.delenv(name)
    for name in (_KEY, *(find_adapter(name).api_key_env for name in adapter_names())):
        monkeypatch.setenv(name, "sk-of-the-pages")
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    monkeypatch.setenv("HOME", str(tmp_path))
    # The studio opens a browser.
    monkeypatch.setenv("BROWSER", "true")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    # A file that is only found may not set a callback URL, as some of the pages do.
    monkeypatch.setenv("HAPPYHORSE_CONFIG", str(tmp_path / "happyhorse.toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The page on the command line starts some thirty processes.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_a_page_runs(path: Path, folder: Path, emulator: hh.Emulator) -> None:
    """Each block works, and prints what the page says."""
    Page(path, folder, emulator).read()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_what_it_is(path: Path) -> None:
    """No block escapes the test above by having no language, or one that is not run."""
    fences = re.findall(r"^ *(`{3,})([^`\n]*)\n.*?^ *\1$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    languages = {language.strip() for _, language in fences}

    assert set() == {
        language for language in languages if language not in (*_RUN, *_SHOWN) and not language.startswith("{")
    }


def _set_up_command(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```shell\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found, f"README.md has no command after <!-- {mark} -->"
    return found[1].strip()


def _steps(command: str) -> list[str]:
    return [step.strip() for step in command.replace("\\\n", " ").split("&&")]


@pytest.mark.parametrize("mark", _SET_UP)
def test_a_set_up_command_needs_nothing_but_python(mark: str) -> None:
    """Each of the two commands makes its own environment, and names extras and groups that exist."""
    command = _set_up_command(mark)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = re.search(r'"\.\[(.*?)\]"', command)
    steps = _steps(command)

    assert "python3 -m venv .venv" == steps[0]
    assert all(step.startswith(".venv/bin/") for step in steps[1:])
    assert extras is not None
    assert set(extras[1].split(",")) <= project["project"]["optional-dependencies"].keys()
    assert set(re.findall(r"--group (\S+)", command)) <= project["dependency-groups"].keys()


def test_the_first_command_ends_with_a_video(folder: Path) -> None:
    """The last step of the first command, in a prepared environment, writes an MP4 and prints its name."""
    (folder / ".venv").symlink_to(sys.prefix)
    step = _steps(_set_up_command("demo"))[-1]

    done = subprocess.run(["bash", "-c", step], cwd=folder, stdout=subprocess.PIPE, text=True, check=True)

    assert b"ftyp" == (folder / done.stdout.strip()).read_bytes()[4:8]


class _Prompt(code.InteractiveConsole):
    """The prompt of `python -m asyncio`, without running anything."""

    def __init__(self) -> None:
        super().__init__()
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def runcode(self, code: types.CodeType) -> None:
        """Do nothing."""

    def showsyntaxerror(self, *_: object, **__: object) -> None:
        """Let a block that does not survive the prompt fail the test."""
        raise  # noqa: PLE0704 - called where the error is handled


def _blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", _blocks(ROOT / "docs" / "quickstart.md")[:-1])
def test_the_blocks_of_the_quickstart_survive_the_prompt(block: str) -> None:
    """Pasted into `python -m asyncio`, no blank line ends a statement too soon, and no line joins the one before it."""
    prompt = _Prompt()

    wants_more = [prompt.push(line) for line in [*block.splitlines(), ""]]

    assert not wants_more[-1]


def test_ci_runs_the_second_command() -> None:
    """The block that .ci/run takes from the README is the one after its mark, and its last step is pytest."""
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    extraction = next(line for line in script.splitlines() if line.startswith("command="))

    done = subprocess.run(
        ["bash", "-c", f'{extraction}; printf %s "$command"'], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )

    assert _set_up_command("tests") == done.stdout
    assert _steps(done.stdout)[-1].startswith(".venv/bin/pytest ")
