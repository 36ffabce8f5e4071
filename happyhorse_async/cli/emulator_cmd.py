"""The emulator from the command line: served for others, or for one demonstration of the main job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from attrs import asdict

from ..client import Client
from ..emulator import Emulator
from ..errors import ConfigurationError
from ..request import VideoRequest
from ..timing import PollSchedule
from .callbacks import CallbackOptions, delivery_line
from .emulator_options import ServeOptions
from .generate import JobRunner
from .output import Output

# A minute or three of emulated work in a few seconds.
_DEMO_SPEED = 60.0
_DEMO_POLL = PollSchedule(interval=0.25)
_TEST_PICTURE = "This video is a test picture from the emulator. No provider was called, and nothing was paid."
_ANY_KEY = "emulator"
_MISSING_EXTRA = "the emulator needs two more packages to make videos: pip install 'happyhorse-async[emulator]'"


async def serve_emulator(output: Output, serving: ServeOptions, callbacks: CallbackOptions) -> None:
    """Serve the emulator until the run is interrupted, which is its proper end."""
    if not _can_render():
        output.warn(_MISSING_EXTRA)
    async with _running(serving.emulator(callbacks)) as emulator:
        urls = {name: emulator.url(name) for name in emulator.providers}
        output.event("listening", urls=urls)
        output.line(
            f"# The emulator runs at {emulator.address}, {serving.speed:g} times faster than life. Ctrl-C ends it."
        )
        output.line("# Its videos are test pictures; no provider is called. As a happyhorse.toml:")
        for name, url in urls.items():
            for line in ("", f"[providers.{name}]", f'base_url = "{url}"', f'api_key = "{_ANY_KEY}"  # any will do'):
                output.line(line)
        try:
            async for delivery in emulator.deliveries:
                output.event("delivery", **asdict(delivery))
                output.note(delivery_line(delivery))
        except asyncio.CancelledError:
            output.note("the emulator has ended")


async def run_demo(output: Output, request: VideoRequest, *, provider: str, target: Path) -> None:
    """Run the main job on an emulator of its own, and say plainly that it was one."""
    if not _can_render():
        raise ConfigurationError(_MISSING_EXTRA)
    job = JobRunner(output, target=target)
    async with _running(Emulator(speed=_DEMO_SPEED)) as emulator:
        output.note(f"an emulator plays {provider} on this machine; the provider itself is not called")
        async with Client(provider, api_key=_ANY_KEY, base_url=emulator.url(provider), poll=_DEMO_POLL) as client:
            handle = await job.submit(client, request)
            await job.save(client, await job.follow(handle, None))
    output.event("note", message=_TEST_PICTURE)
    output.note(_TEST_PICTURE)


def _can_render() -> bool:
    return find_spec("av") is not None and find_spec("PIL") is not None


@asynccontextmanager
async def _running(emulator: Emulator) -> AsyncGenerator[Emulator]:
    try:
        await emulator.__aenter__()
    except OSError as error:
        raise ConfigurationError(f"the emulator cannot listen: {error.strerror or error}") from None
    try:
        yield emulator
    finally:
        await emulator.__aexit__(None, None, None)
