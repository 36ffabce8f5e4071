"""The recipes for other queues, as they are printed. Each runs where its package is installed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import types
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
REQUEST = hh.TextToVideo("a horse", duration=3)


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed: pip install {package}")


def recipe(name: str) -> str:
    """Return the code below a name in bold."""
    block = re.search(rf"^\*\*{name}\.\*\*.*?```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    return block[1]


def run(name: str) -> dict[str, Any]:
    """Run a recipe, and return its names."""
    module = types.ModuleType(f"recipe_{name}")
    # Some packages look functions up in their module.
    sys.modules[module.__name__] = module
    exec(compile(recipe(name), module.__name__, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


@pytest.fixture
async def job_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[str]:
    """Write a configuration, and enqueue a job that no process sends."""
    async with hh.Emulator(speed=100, seed=1) as emulator:
        config = tmp_path / "happyhorse.toml"
        config.write_text(
            f'[providers.main]\nadapter = "hiapi"\napi_key_env = "RECIPE_KEY"\nbase_url = "{emulator.url("hiapi")}"\n'
            f'[store]\npath = "{tmp_path.as_posix()}/jobs.sqlite"\n'
        )
        monkeypatch.setenv("HAPPYHORSE_CONFIG", str(config))
        monkeypatch.setenv("RECIPE_KEY", "any")
        async with hh.Client.from_config(work=False) as client:
            job = await client.enqueue(REQUEST)
        yield job.job_id


@needs("temporalio")
async def test_temporal(job_id: str) -> None:
    """The activity returns the ref of the task, and has sent heartbeats."""
    from temporalio.testing import ActivityEnvironment

    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    async with hh.Client.from_config() as client:
        ref = await environment.run(run("Temporal")["Videos"](client).make_video, job_id)

    assert ref.startswith("main:")
    assert beats


@needs("taskiq")
async def test_taskiq(job_id: str) -> None:
    """The task returns what may be kept of the video."""
    names = run("taskiq")
    broker = names["broker"]
    broker.is_worker_process = True
    await broker.startup()
    try:
        sent = await names["make_video"].kiq(job_id)
        result = await sent.wait_result(timeout=30)
    finally:
        await broker.shutdown()

    assert "SUCCEEDED" == result.return_value["status"]


_CELERY = """
import sys, threading
from celery.contrib.testing.worker import start_worker

names = {"__name__": "recipe"}
exec(compile(sys.stdin.read(), "recipe", "exec", dont_inherit=True), names)
with start_worker(names["app"], perform_ping_check=False, pool="solo"):
    print(names["make_video"].delay(sys.argv[1]).get(timeout=40)["status"])
"""


@needs("celery")
async def test_celery(job_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes the message, and the result is what may be kept of the video."""
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "cache+memory://")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CELERY, job_id, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    )
    output, _ = await process.communicate(recipe("Celery").encode())

    assert "SUCCEEDED" == output.decode().strip()
