"""A process that sends and polls jobs, for tests that kill it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from .conftest import Gateway


async def start_worker(script: Path, url: str, schema: str, gateway: Gateway) -> asyncio.subprocess.Process:
    """Start the program *script* as a process that works, and wait until it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        url,
        schema,
        gateway.url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"open\n" == await process.stdout.readline()
    return process
