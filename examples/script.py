"""
A script without an event loop of its own: `asyncio.run` starts one, and ends it.

Run it beside a `happyhorse.toml`: `python script.py "A cardboard train at night" train.mp4`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import happyhorse_async as hh


def make_video(prompt: str, path: str | Path) -> Path:
    """Make a video and return its file. Blocks for minutes; must not be called where an event loop runs."""

    async def work() -> Path:
        async with hh.Client.from_config() as client:
            task = await client.generate(hh.TextToVideo(prompt))
            return await client.download(task, path)

    return asyncio.run(work())


if __name__ == "__main__":
    print(make_video(sys.argv[1], sys.argv[2]))
