"""The image of docker/: what its files say, and its RUN steps, without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen

from happyhorse_async.cli.commands import make_app
from happyhorse_async.cli.output import Output
from happyhorse_async.config import Settings

from .postgres_server import PostgresServer

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
_VENV = "/opt/happyhorse"


def _instructions() -> list[tuple[str, str]]:
    lines = (DOCKER / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    parted = [line.partition(" ") for line in lines if line.strip() and not line.startswith("#")]
    return [(name, value.strip()) for name, _, value in parted]


def _all(name: str) -> list[str]:
    return [value for found, value in _instructions() if found == name]


def _start() -> list[str]:
    (entry,), (command,) = _all("ENTRYPOINT"), _all("CMD")
    return [*json.loads(entry), *json.loads(command)]


def _compose() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]


def _commands() -> list[list[str]]:
    return [_start()[1:], *(service["command"] for service in _compose().values() if service["image"] == "happyhorse")]


def test_the_instructions_are_known_and_begin_with_a_base() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"} | {
        "HEALTHCHECK"
    }

    assert "FROM" == _instructions()[0][0]
    assert known >= {name for name, _ in _instructions()}


def test_a_base_image_has_a_version() -> None:
    """An image without a tag, or with latest, is another one tomorrow."""
    images = [value.split()[0] for value in _all("FROM")] + [
        service["image"] for service in _compose().values() if service["image"] != "happyhorse"
    ]

    assert [] == [image for image in images if not re.fullmatch(r"[\w./-]+:\d[\w.-]*", image)]


def test_the_container_does_not_run_as_root() -> None:
    """The last USER is a number other than 0, which Kubernetes can check (runAsNonRoot)."""
    assert int(_all("USER")[-1]) > 0


def test_the_process_gets_the_signals() -> None:
    """ENTRYPOINT and CMD are JSON: a shell in between would swallow SIGTERM."""
    assert "happyhorse" == _start()[0]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    """.dockerignore leaves out everything but what the image is built from, so no key or journal gets in."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = {
        source.removeprefix("./")
        for value in _all("COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
    }

    assert "*" == ignored[0]
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    assert [] == [source for source in copied if not (ROOT / source).exists()]


def test_pip_leaves_no_cache_in_a_layer() -> None:
    assert [] == [step for step in _all("RUN") if "pip install" in step and "--no-cache-dir" not in step]


@pytest.mark.parametrize("command", _commands(), ids=lambda command: command[0])
def test_the_commands_of_the_containers_are_commands(command: list[str]) -> None:
    """Each has options that the command line knows."""
    called, *_ = make_app(Output(as_json=False)).parse_args(command, print_error=False, exit_on_error=False)

    assert callable(called)


def test_the_worker_reads_a_valid_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file beside compose.yaml is valid with the environment that compose.yaml gives."""
    for name, value in _compose()["worker"]["environment"].items():
        monkeypatch.setenv(name, value)

    settings = Settings.load(DOCKER / "happyhorse.toml")

    assert "/etc/happyhorse.toml" == os.environ["HAPPYHORSE_CONFIG"]
    assert "./happyhorse.toml:/etc/happyhorse.toml:ro" in _compose()["worker"]["volumes"]
    assert settings.store is not None
    assert (_compose()["worker"]["environment"]["HAPPYHORSE_DATABASE_URL"], None) == settings.store.database()


def _build_steps() -> list[str]:
    stage = _instructions()[: [name for name, _ in _instructions()].index("FROM", 1)]
    return [value for name, value in stage if name == "RUN"]


@frozen(kw_only=True)
class Image:
    """What the steps of the build have made, and how its processes are started."""

    programs: Path
    folder: Path
    environment: dict[str, str]

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start what a container would, in the environment that it would have."""
        return subprocess.Popen(
            [str(self.programs / "happyhorse"), *command],
            cwd=self.folder, env=self.environment | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def is_healthy(self, port: int) -> bool:
        """Run the HEALTHCHECK of the image."""
        _, _, command = _all("HEALTHCHECK")[0].partition("CMD ")
        program, *arguments = json.loads(command)
        arguments = [argument.replace("8080", str(port)) for argument in arguments]
        done = subprocess.run([self.programs / program, *arguments], capture_output=True, timeout=30, check=False)
        return done.returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Run the RUN steps of the first stage on what is copied to it, and on nothing else."""
    folder = tmp_path_factory.mktemp("image")
    source, venv = folder / "src", folder / "venv"
    source.mkdir()
    for value in _all("COPY"):
        if not value.startswith("--from"):
            for name in value.split()[:-1]:
                _copy(ROOT / name, source / name)
    # The dependencies are those of this environment, because the tests use no network.
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PYTHONSAFEPATH": "1"}
    for number, step in enumerate(_build_steps()):
        command = step.replace(_VENV, str(venv)).replace("python -m venv", f"{shlex.quote(sys.executable)} -m venv")
        done = subprocess.run(
            ["sh", "-c", command], cwd=source, env=offline, capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, f"{step}\n{done.stdout}{done.stderr}"
        if number == 0:
            installed = next(venv.glob("lib/python*/site-packages"))
            (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {"PATH": f"{venv}/bin:{os.environ['PATH']}", "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
    return Image(programs=venv / "bin", folder=folder, environment=environment | {"PYTHONSAFEPATH": "1"})


def _line(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the output up to the line with *pattern*, and return what its group matches."""
    assert process.stdout is not None
    read: list[str] = []
    for line in process.stdout:
        read.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError("".join(read))


@contextmanager
def _stopped(process: subprocess.Popen[str]) -> Generator[subprocess.Popen[str]]:
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_image_runs_an_emulator_that_is_healthy_until_sigterm_ends_it(image: Image) -> None:
    """The command of the image on a free port, the HEALTHCHECK of the image, and its STOPSIGNAL."""
    assert ["--port", "8080"] == _start()[-2:]
    with _stopped(image.start(*_start()[1:-1], "0")) as emulator:
        port = int(_line(emulator, r"The emulator listens at http://[^:]+:(\d+)"))
        healthy = image.is_healthy(port)
        emulator.send_signal(signal.Signals[_all("STOPSIGNAL")[0]])
        emulator.wait(timeout=30)

    assert healthy
    assert 0 == emulator.returncode
    assert not image.is_healthy(port)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_image_runs_a_worker_that_is_healthy_until_sigterm_ends_it(
    image: Image, postgres_server: PostgresServer
) -> None:
    """The command, configuration and environment of compose.yaml, with a database and a port of this machine."""
    worker = _compose()["worker"]
    config = image.folder / "happyhorse.toml"
    config.write_text((DOCKER / "happyhorse.toml").read_text("utf-8"), "utf-8")
    environment = worker["environment"] | {
        "HAPPYHORSE_CONFIG": str(config), "HAPPYHORSE_DATABASE_URL": postgres_server.url,
    }  # fmt: skip
    with _stopped(image.start(*worker["command"][:-1], "0", **environment)) as process:
        port = int(_line(process, r"health checks are answered on port (\d+)"))
        _line(process, r"(working for dashscope)")
        healthy = image.is_healthy(port)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

    assert ["--health-port", "8080"] == worker["command"][-2:]
    assert healthy
    assert 0 == process.returncode


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
