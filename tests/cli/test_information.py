"""`providers`, `config`, `emulator`, `demo`, the help, and what is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from typing import Any

import av
import pytest
from aiohttp import ClientSession

from happyhorse_async.emulator import Emulator
from happyhorse_async.registry import adapter_names

TEST_PICTURE = "This video is a test picture from the emulator. No provider was called"


async def test_providers(program: Any) -> None:
    """The table has a row for every installed provider."""
    run = await program.run("providers")
    rows = {line.split()[0]: line.split()[1:] for line in run.out.splitlines()}

    assert run.code == 0
    assert set(adapter_names()) <= set(rows)
    assert "HIAPI_API_KEY" in rows["hiapi"]


async def test_providers_in_json(program: Any) -> None:
    """With --json every provider is an object with all that it offers."""
    run = await program.run("providers", "--json")
    providers = {provider["provider"]: provider for provider in run.objects}

    assert (True, True, False) == tuple(providers["dashscope"][name] for name in ("lists", "cancels", "callbacks"))
    assert {"t2v", "i2v", "r2v"} == {spec["mode"] for spec in providers["hiapi"]["models"]}
    assert [3, 15] == providers["nexusflow"]["models"][0]["durations"]


async def test_config(program: Any, emulator: Emulator) -> None:
    """What is in force is shown, with the source of each key and never the key."""
    run = await program.run("config")
    as_json = await program.run("config", "--provider", "hiapi", "--json")
    [resolved] = as_json.objects

    assert run.code == 0
    assert "\nprovider: dashscope\n" in run.out
    assert "\n    api_key: environment EMULATOR_KEY (set)\n" in run.out
    assert ("hiapi", 0.05) == (resolved["provider"], resolved["poll"]["interval"])
    assert "sk-never" not in run.out + as_json.out


async def test_config_of_a_bad_file(program: Any) -> None:
    """A misspelt key ends in 2."""
    program.write("happyhorse.toml", "[providers.hiapi]\nregoin = 'x'")
    run = await program.run("config")

    assert (2, "") == (run.code, run.out)
    assert run.err.startswith("error: happyhorse.toml: unknown key providers.hiapi.regoin; did you mean region?")


@pytest.mark.parametrize("provider", adapter_names())
async def test_demo(program: Any, provider: str) -> None:
    """The demonstration leaves a playable video of the asked size and length, and says that it is a test picture."""
    run = await program.run("demo", "a horse", "--provider", provider, "--duration", "3", "--ratio", "1:1")
    with av.open("demo.mp4") as container:
        stream = container.streams.video[0]
        seconds = float(container.duration or 0) / av.time_base
        found = (stream.codec_context.name, stream.width == stream.height, round(seconds))

    assert (0, "demo.mp4\n") == (run.code, run.out)
    assert ("h264", True, 3) == found
    assert TEST_PICTURE in run.err


async def test_demo_in_json(program: Any) -> None:
    """With --json the demonstration says what it is as well."""
    run = await program.run("demo", "--json", "--duration", "3", "-o", "horse.mp4")

    assert run.code == 0
    assert ["finished", "note"] == run.events[-2:]
    assert run.objects[-1]["message"].startswith(TEST_PICTURE)


async def test_a_demo_of_an_unknown_provider(program: Any) -> None:
    """A provider that cannot be emulated is the first and only thing that is said."""
    run = await program.run("demo", "--provider", "nope")

    assert (2, "") == (run.code, run.out)
    assert run.err.startswith("error: --provider: there is no emulated provider 'nope'; known: dashscope, ")


async def test_an_interrupted_demo(program: Any) -> None:
    """What an emulator of its own has begun cannot be taken up again, and no such thing is promised."""
    process = await program.start("demo")
    seen = await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    run = await program.end(process, seen)

    assert 130 == run.code
    assert "happyhorse wait" not in run.err
    assert [] == program.videos()


async def test_emulator(program: Any) -> None:
    """The emulator prints a configuration that leads to it, and ends without complaint on Ctrl-C."""
    process = await program.start("emulator", "--port", "0", "--speed", "1000")
    lines = [await process.stdout.readline() for _ in range(6 + 4 * len(adapter_names()))]
    program.write("happyhorse.toml", b"".join(lines).decode())
    configuration = tomllib.loads(b"".join(lines).decode())
    run = await program.run("generate", "a horse", "--resolution", "720P", "--duration", "3", "-o", "horse.mp4")
    other = await program.run("submit", "a horse", "--provider", "nexusflow", "--resolution", "720P")
    process.send_signal(signal.SIGINT)
    served = await program.end(process)

    assert set(adapter_names()) == set(configuration["providers"])
    assert ("dashscope", 0.05) == (configuration["default"], configuration["poll"]["interval"])
    assert (0, "horse.mp4\n", 0) == (run.code, run.out, other.code)
    assert "happyhorse.toml" not in run.err + other.err
    assert 0 == served.code
    assert "the emulator has ended" in served.err


@pytest.mark.fault(23)
async def test_an_emulator_with_faults(program: Any) -> None:
    """What is to go wrong is told on the command line, with the operation and how often."""
    process = await program.start(
        "emulator", "--port", "0", "--fault", "bad-request:submit:2", "--fault", "html-502:list"
    )
    lines = [await process.stdout.readline() for _ in range(6 + 4 * len(adapter_names()))]
    program.write("happyhorse.toml", b"".join(lines).decode())
    runs = [await program.run("submit", "a horse", "--provider", "imini", "--resolution", "720P") for _ in range(3)]
    process.send_signal(signal.SIGINT)
    served = await program.end(process)

    assert [3, 3, 0] == [run.code for run in runs]
    assert 0 == served.code


@pytest.mark.parametrize("fault", ["nothing", "hang:payment", "hang:submit:often", "hang:submit:-1", "hang:submit:1:2"])
async def test_a_fault_that_is_none(program: Any, fault: str) -> None:
    """A fault, an operation or a number that means nothing is bad input."""
    run = await program.run("emulator", "--port", "0", "--fault", fault)

    assert 2 == run.code


async def test_emulator_in_json(program: Any) -> None:
    """With --json the emulator prints its addresses as one object."""
    process = await program.start("emulator", "--port", "0", "--json")
    line = await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    served = await program.end(process)

    assert 0 == served.code
    assert b'"event": "listening"' in line
    assert b'"hiapi": "http://127.0.0.1:' in line


async def test_emulator_tells_of_callbacks(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each webhook is reported, with --json as an event; its secret may come from the environment."""
    monkeypatch.setenv("HAPPYHORSE_EMULATOR_CALLBACK_SECRET", "0123456789abcdef")
    options = ("--callback-delay", "0", "1", "--speed", "100000")
    process = await program.start("emulator", "--port", "0", "--json", *options)
    url = json.loads(await process.stdout.readline())["urls"]["hiapi"]
    content = {"model": "happyhorse-1-0", "input": {"prompt": "a kite"}, "callback": {"url": url + "/nowhere?s=x"}}
    async with (
        ClientSession(headers={"Authorization": "Bearer sk-any"}) as http,
        http.post(url + "/v1/tasks", json=content) as response,
    ):
        task_id = (await response.json())["data"]["taskId"]
    event = json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    served = await program.end(process)

    assert 0 == served.code
    assert ("delivery", "hiapi", task_id, 1, 401) == tuple(
        event[name] for name in ("event", "provider", "task_id", "attempt", "status")
    )
    assert url + "/nowhere?***" == event["url"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--events-url", "dashscope"), "--events-url takes PROVIDER=URL"),
        (("--events-url", "hiapi=http://127.0.0.1/"), "'hiapi' sends no events"),
        (("--callback-loss", "1.5"), "Invalid value"),
        (("--callback-delay", "2", "1"), "must be in order"),
    ],
)
async def test_callbacks_that_cannot_be(program: Any, options: tuple[str, ...], error: str) -> None:
    """What cannot be said of callbacks is bad input."""
    run = await program.run("emulator", "--port", "0", *options)

    assert 2 == run.code
    assert error in run.err


async def test_a_port_that_is_taken(program: Any, emulator: Emulator) -> None:
    """A port that another server has is bad input."""
    run = await program.run("emulator", "--port", emulator.address.rpartition(":")[2])

    assert 2 == run.code
    assert run.err.startswith("error: the emulator cannot listen")


async def test_help_documents_the_exit_codes(program: Any) -> None:
    """The help of the program has the exit codes, that of a command has not."""
    run = await program.run("--help")
    of_generate = await program.run("generate", "--help")
    text = " ".join(run.out.split())

    assert 0 == run.code
    assert "Exit codes: 0 done; 1 unexpected error; 2 bad input" in text
    assert "130 interrupted" in text
    assert "Exit codes:" not in of_generate.out


async def test_version(program: Any) -> None:
    """`--version` alone is the program's; after a command it is HappyHorse's."""
    run = await program.run("--version")
    of_request = await program.run("generate", "a horse", "--version", "2.0", "--provider", "hiapi")

    assert 0 == run.code
    assert run.out[0].isdigit()
    assert 2 == of_request.code


@pytest.mark.parametrize("missing", ["cyclopts", "cyclopts.validators"])
def test_without_the_extra(missing: str) -> None:
    """Without its libraries the command names the extra in one line and ends in 2."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from happyhorse_async.cli import main; sys.exit(main(['demo']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 2 == run.returncode
    assert 'the command needs further packages: pip install "happyhorse-async[cli]"\n' == run.stderr


def test_as_a_module() -> None:
    """`python -m happyhorse_async` is the same program."""
    run = subprocess.run(
        [sys.executable, "-m", "happyhorse_async", "nothing"], capture_output=True, text=True, check=False
    )

    assert 2 == run.returncode
    assert run.stderr.startswith('error: Unknown command "nothing"')
