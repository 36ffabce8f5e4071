"""The emulator from the command line: as a server for other programs, or for one demonstration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from attrs import asdict

from ..client import Client
from ..emulator import Emulator
from ..errors import ConfigurationError
from ..registry import emulated_api_names
from ..request import VideoRequest
from ..timing import PollSchedule
from .callback_options import CallbackOptions, delivery_line
from .emulator_options import ServeOptions
from .generate import JobRunner
from .output import Output
from .target import Target

# One to three minutes of emulated time in a few seconds.
_DEMO_SPEED = 60.0
_DEMO_POLL = PollSchedule(interval=0.25)
_TEST_PICTURE = "This video is a test picture from the emulator. No provider was called, and nothing was paid."
ANY_KEY = "emulator"
"""Accepted by every emulated account."""
MISSING_EXTRA = "the emulator needs two more packages to make videos: pip install 'happyhorse-async[emulator]'"
"""Printed if the packages that make videos are missing."""
_NEXT_STEP = (
    "Next: `happyhorse emulator > happyhorse.toml` runs it for your own programs, and `happyhorse providers` shows "
    "where real videos come from."
)
# The shortest emulated tasks end after about a second of real time at the default speed.
_INTERVAL = 30.0
_DEFAULT = "dashscope"


async def serve_emulator(output: Output, serving: ServeOptions, callbacks: CallbackOptions) -> None:
    """Serve the emulator until the run is interrupted."""
    if not can_render():
        output.warn(MISSING_EXTRA)
    async with _running(serving.emulator(callbacks)) as emulator:
        urls = {name: emulator.url(name) for name in emulator.providers}
        output.event("listening", urls=urls)
        for line in _configuration(emulator, serving.speed, urls):
            output.line(line)
        try:
            async for delivery in emulator.deliveries:
                output.event("delivery", **asdict(delivery))
                output.note(delivery_line(delivery))
        except asyncio.CancelledError:
            output.note("the emulator has ended")


def _configuration(emulator: Emulator, speed: float, urls: dict[str, str]) -> list[str]:
    """Write a happyhorse.toml for clients of the emulator."""
    default = _DEFAULT if _DEFAULT in urls else next(iter(urls), "")
    sections = [
        line
        for name, url in urls.items()
        for line in ("", f"[providers.{name}]", f'base_url = "{url}"', f'api_key = "{ANY_KEY}"  # any key will do')
    ]
    interval = max(0.05, min(10.0, round(_INTERVAL / speed, 2)))
    return [
        f"# The emulator listens at {emulator.address} and runs at {speed:g} times real time. Ctrl-C ends it.",
        "# Its videos are test pictures; no provider is called. As happyhorse.toml, this configures clients for it.",
        f'default = "{default}"',
        *sections,
        "",
        "[poll]",
        f"interval = {interval:g}  # seconds; emulated tasks end early",
    ]


async def run_demo(output: Output, request: VideoRequest, *, provider: str, target: Target) -> None:
    """Make one video with a private emulator, and say clearly that it is an emulator."""
    if not can_render():
        raise ConfigurationError(MISSING_EXTRA)
    known = emulated_api_names()
    if provider not in known:
        raise ConfigurationError(f"--provider: there is no emulated provider {provider!r}; known: {', '.join(known)}")
    job = JobRunner(output, target=target)
    async with _running(Emulator(speed=_DEMO_SPEED)) as emulator:
        output.note(f"emulating {provider} on this machine; the provider itself is not called")
        async with Client(provider, api_key=ANY_KEY, base_url=emulator.url(provider), poll=_DEMO_POLL) as client:
            handle = await job.submit(client, request)
            await job.save(client, await job.follow(handle, None))
    output.event("note", message=_TEST_PICTURE)
    output.note(_TEST_PICTURE)
    output.note(_NEXT_STEP)


def can_render() -> bool:
    """Return whether the packages that make videos are installed."""
    return find_spec("av") is not None and find_spec("PIL") is not None


@asynccontextmanager
async def _running(emulator: Emulator) -> AsyncGenerator[Emulator]:
    try:
        await emulator.__aenter__()
    except OSError as error:
        raise ConfigurationError(
            f"the emulator cannot listen: {error.strerror or error}; --port 0 takes a free port"
        ) from None
    try:
        yield emulator
    finally:
        await emulator.__aexit__(None, None, None)
