"""The example of traces, run for real against the emulator."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import happyhorse_async as hh

EXAMPLE = Path(__file__).parents[2] / "examples" / "tracing.py"


async def test_the_spans_are_on_the_console(tmp_path: Path) -> None:
    """The example prints the tree of spans, the job below the span of the application, and saves the video."""
    async with hh.Emulator(scenario=hh.Scenario(queue=(0, 0), run=(0, 0))) as emulator:
        config = tmp_path / "happyhorse.toml"
        url = emulator.url("dashscope")
        account = f'[providers.main]\nadapter = "dashscope"\nbase_url = "{url}"\napi_key_env = "KEY"\n'
        config.write_text(f"{account}[poll]\ninterval = 0.05\n")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLE),
            cwd=tmp_path,
            env={**os.environ, "KEY": "sk-of-the-example", "HAPPYHORSE_CONFIG": str(config)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()

    assert 0 == process.returncode, err.decode()
    tree = [line.split(" (")[0] for line in out.decode().splitlines()]
    assert ["make a video", "  generate_content happyhorse-1.1-t2v", "    submit", "    poll"] == tree[:4], out.decode()
    assert {"    poll", "  wait", "  download"} == set(tree[4:]) | {"    poll"}, out.decode()
    assert "happyhorse.task.status=SUCCEEDED" in out.decode()
    assert "cardboard" not in out.decode()
    assert (tmp_path / "train.mp4").stat().st_size > 1000
