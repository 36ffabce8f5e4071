"""`studio`: the local page, with the configured accounts or a private emulator."""

from __future__ import annotations

import asyncio
import os
import webbrowser
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from ..client import Client, Provider
from ..config.settings import PROVIDER_VARIABLE
from ..emulator import Emulator
from ..errors import ConfigurationError
from ..stores import MemoryStore, TaskStore
from ..studio import Studio, Workshop
from ..studio.models import largest_medium
from ..studio.shelf import Shelf
from ..studio.workshop import About
from ..timing import PollSchedule
from .emulator_cmd import ANY_KEY, MISSING_EXTRA, can_render
from .output import Output
from .session import Session
from .state import state_folder

# One to three emulated minutes in some seconds: slow enough to watch.
_SPEED = 20.0
_POLL = PollSchedule(interval=0.5)
_EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::", "[::]"})  # noqa: S104 - refused below


@frozen(kw_only=True)
class StudioOptions:
    """The address of the page, and the folder for its videos."""

    host: str
    port: int
    output: Path | None
    browser: bool


async def run_studio(output: Output, session: Session, options: StudioOptions, provider: str | None) -> None:
    """Serve the page until the run is interrupted."""
    if options.host in _EVERY_ADDRESS:
        raise ConfigurationError(
            f"--host {options.host} means every address of this machine, and the studio answers only under a name that "
            "it knows: give the one address or name under which you will open the page"
        )
    is_emulator = provider is None and session.settings.path is None and not os.environ.get(PROVIDER_VARIABLE)
    opened = _on_emulator(options) if is_emulator else _on_accounts(session, options, provider)
    async with opened as workshop:
        try:
            async with Studio(workshop, host=options.host, port=options.port) as studio:
                await _serve(output, studio, options, is_emulator=is_emulator)
        except OSError as error:
            raise ConfigurationError(
                f"the studio cannot listen at {options.host}:{options.port}: {error.strerror or error}; --port 0 takes "
                "a free port"
            ) from None


async def _serve(output: Output, studio: Studio, options: StudioOptions, *, is_emulator: bool) -> None:
    # Users open the first printed URL.
    output.event("listening", url=studio.url, emulator=is_emulator)
    output.secret_line(studio.url)
    if is_emulator:
        output.note("no account is configured: this is an emulator, its videos are test pictures, and nothing is paid")
        if not can_render():
            output.warn(f"{MISSING_EXTRA}; until then every video is one prepared clip")
    output.note("keep this URL to yourself, it can spend your money; Ctrl-C ends the studio")
    if options.browser:
        await asyncio.to_thread(webbrowser.open, studio.url)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        output.note("the studio has ended; tasks go on at the provider")


@asynccontextmanager
async def _on_accounts(session: Session, options: StudioOptions, provider: str | None) -> AsyncGenerator[Workshop]:
    videos = options.output or _videos_folder()
    async with session.journal() as store, session.client(provider, recover=True) as client:
        yield _workshop(client, store, state_folder() / "studio", About(is_emulator=False, videos=videos))


@asynccontextmanager
async def _on_emulator(options: StudioOptions) -> AsyncGenerator[Workshop]:
    store = MemoryStore()
    with TemporaryDirectory(prefix="happyhorse-studio-") as name:
        folder = Path(name)
        videos = options.output or folder / "videos"
        async with (
            Emulator(speed=_SPEED, prepared_video=True) as emulator,
            _emulated_client(emulator, store) as client,
        ):
            about = About(is_emulator=True, videos=videos, has_prepared_video=not can_render())
            yield _workshop(client, store, folder, about)


def _emulated_client(emulator: Emulator, store: TaskStore) -> Client:
    accounts = [Provider(name, api_key=ANY_KEY, base_url=emulator.url(name)) for name in emulator.providers]
    return Client(accounts, poll=_POLL, store=store)


def _workshop(client: Client, store: TaskStore, folder: Path, about: About) -> Workshop:
    return Workshop(client, store, Shelf(folder, largest=largest_medium()), about)


def _videos_folder() -> Path:
    from platformdirs import user_videos_path  # noqa: PLC0415 - only needed here

    return user_videos_path() / "HappyHorse"
