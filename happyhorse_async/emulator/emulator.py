"""The emulator's front door."""

from __future__ import annotations

import asyncio
import math
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from ..emulation import EmulatedAPI, ProviderLimits
from ..errors import ConfigurationError
from ..registry import emulated_api_names, find_emulated_api
from .faults import Fault, Faults, Injection, Operation, find_fault
from .media_cache import MediaCache
from .provider import EmulatedProvider
from .scenario import Scenario
from .signed_urls import SignedUrls
from .webhook_log import WebhookLog
from .webhook_plan import CallbackScenario


class Emulator:
    """
    Plays every provider that has a registered dialect, over real HTTP.

    ```python
    async with Emulator(speed=60, seed=1) as emulator:
        Client("hiapi", api_key="any", base_url=emulator.url("hiapi"))
    ```

    Its videos are real H.264 files with a test picture, and need the extra `happyhorse-async[emulator]`. Nothing is
    remembered from one `async with` to the next.

    :param speed: every duration is divided by it: a task that would run for two minutes is done after two seconds at
        60, and its id and its URL die after 24 minutes. Rates of limits are multiplied by it.
    :param seed: the same seed gives the n-th task of a provider the same course.
    :param scenario: how tasks fare; by default they wait some seconds, run one to three minutes, and succeed.
    :param limits: `True` holds every account to the limits that its provider publishes; a mapping of provider names
        sets others.
    :param api_key: the only key that is accepted. By default any is, and each is an account of its own.
    :param callbacks: how callbacks fare; by default each is sent once its task has ended, and again until it is taken.
    :param callback_secret: what they are signed with, as the provider signs them. By default they are not.
    :param events_urls: by the name of a provider that sends events to where the account has set it up, outside the API:
        the URL. Other providers call the URL of the submit. Callbacks are sent to private addresses only.
    :param host: the address to listen on.
    :param port: the port to listen on; 0 takes any that is free.
    :raises ConfigurationError: *speed* is no positive number. Entering it: *events_urls* names another provider.
    """

    def __init__(
        self,
        *,
        speed: float = 60.0,
        seed: int = 0,
        scenario: Scenario | None = None,
        limits: bool | Mapping[str, ProviderLimits] = False,
        api_key: str | None = None,
        callbacks: CallbackScenario | None = None,
        callback_secret: str | None = None,
        events_urls: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not 0 < speed < math.inf:
            raise ConfigurationError(f"speed must be a number of more than 0, not {speed!r}")
        self.speed = speed
        self.seed = seed
        self.scenario = scenario or Scenario()
        self.callbacks = callbacks or CallbackScenario()
        self.deliveries = WebhookLog()
        """What came of the callbacks, since the emulator was last entered."""
        self._limits = limits
        self._api_key = api_key
        self._callback_secret = callback_secret
        self._events_urls = dict(events_urls or {})
        self._host = host
        self._wanted_port = port
        self._port: int | None = None
        self._roots: dict[str, str] = {}
        self._faults = Faults()
        self._providers: dict[str, EmulatedProvider] = {}
        self._open = AsyncExitStack()

    @property
    def address(self) -> str:
        """
        Where the server listens, such as `"http://127.0.0.1:8000"`.

        :raises RuntimeError: it does not run.
        """
        if self._port is None:
            raise RuntimeError("the emulator does not run; enter it with `async with` first")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the providers it plays."""
        return emulated_api_names()

    def url(self, provider: str) -> str:
        """
        Return the base URL to give to a client of *provider*.

        :raises RuntimeError: the emulator does not run.
        :raises ConfigurationError: there is no such provider.
        """
        address = self.address
        if provider not in self._roots:
            raise ConfigurationError(f"the emulator plays no {provider!r}; known: {', '.join(self._roots)}")
        return f"{address}/{provider}{self._roots[provider]}"

    def inject(
        self,
        fault: Fault | str,
        *,
        on: Operation | str | Iterable[str] | None = None,
        provider: str | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Injection:
        """
        Switch a fault on.

        ```python
        emulator.inject("reset-before-answer", on="submit", provider="hiapi")
        ```

        Faults that fit the same call are played in the order in which they were switched on, each until it is over.

        :param fault: one by its name, or an object from `happyhorse_async.emulator.faults`.
        :param on: what it is played on, of `"submit"`, `"query"`, `"list"`, `"cancel"` and `"download"`; by default
            whatever it can be.
        :param provider: whose calls it is played on; by default everybody's.
        :param times: on how many calls it is played; `None`: on every one.
        :param after: how many calls that fit are let pass before.
        :return: a handle on it, by which what hangs is released and the fault is switched off.
        :raises ConfigurationError: there is no such fault, operation or provider.
        """
        if provider is not None and provider not in self.providers:
            raise ConfigurationError(f"the emulator plays no {provider!r}; known: {', '.join(self.providers)}")
        found = find_fault(fault) if isinstance(fault, str) else fault
        return self._faults.add(found, on=on, provider=provider, times=times, after=after)

    def calls(self, on: Operation | str, *, provider: str | None = None) -> int:
        """
        Count the calls that have come, faults or not.

        :param on: of which operation; see `inject`.
        :param provider: to whom; by default to all together.
        """
        counts = self._faults.calls.items()
        return sum(count for (name, operation), count in counts if operation == on and provider in (None, name))

    def billed(self, provider: str | None = None) -> int:
        """Count the tasks that were taken, each of which a real provider would have billed. By default of all."""
        return sum(played.billed for name, played in self._providers.items() if provider in (None, name))

    async def __aenter__(self) -> Self:
        if self._port is not None:
            raise RuntimeError("the emulator runs already")
        emulated_apis = [find_emulated_api(name) for name in emulated_api_names()]
        self._check_events_urls(emulated_apis)
        links = SignedUrls(secrets.token_bytes(32))
        providers = {emulated_api.name: self._provider(emulated_api, links) for emulated_api in emulated_apis}
        async with AsyncExitStack() as stack:
            media_cache = MediaCache(await self._folder(stack))
            # aiohttp takes a quarter of a second to import, which an import of this library must not.
            from .server import Server  # noqa: PLC0415
            from .webhook_sender import WebhookSender  # noqa: PLC0415

            clock = _clock()
            self.deliveries = WebhookLog()
            webhook_sender = WebhookSender(providers.values(), log=self.deliveries, speed=self.speed, clock=clock)
            server = Server(
                providers,
                links=links,
                media_cache=media_cache,
                webhook_sender=webhook_sender,
                clock=clock,
                faults=self._faults,
            )
            stack.push_async_callback(server.stop)
            await stack.enter_async_context(webhook_sender)
            stack.callback(self._faults.clear)
            self._port = await server.start(self._host, self._wanted_port)
            self._roots = {emulated_api.name: emulated_api.root for emulated_api in emulated_apis}
            self._providers = providers
            self._faults.calls.clear()
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._port = None
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    def _provider(self, emulated_api: EmulatedAPI, links: SignedUrls) -> EmulatedProvider:
        if isinstance(self._limits, bool):
            limits = emulated_api.limits if self._limits else None
        else:
            limits = self._limits.get(emulated_api.name)
        return EmulatedProvider(
            emulated_api,
            scenario=self.scenario,
            links=links,
            seed=self.seed,
            speed=self.speed,
            limits=limits,
            api_key=self._api_key,
            callbacks=self.callbacks,
            callback_secret=self._callback_secret,
            events_url=self._events_urls.get(emulated_api.name),
            faults=self._faults,
        )

    def _check_events_urls(self, emulated_apis: Iterable[EmulatedAPI]) -> None:
        rules = {emulated_api.name: emulated_api.callback_rules for emulated_api in emulated_apis}
        able = [name for name, rule in rules.items() if rule is not None and rule.set_up_outside]
        for name in self._events_urls:
            if name not in able:
                raise ConfigurationError(f"{name!r} sends no events to a URL that is set up; known: {', '.join(able)}")

    async def _folder(self, stack: AsyncExitStack) -> Path:
        folder = await anyio.to_thread.run_sync(lambda: tempfile.TemporaryDirectory(prefix="happyhorse-emulator-"))
        stack.push_async_callback(anyio.to_thread.run_sync, folder.cleanup)
        return Path(folder.name)


def _clock() -> Callable[[], float]:
    """Make a clock in Unix seconds that runs with the event loop: setting the wall clock moves no task."""
    loop = asyncio.get_running_loop()
    offset = time.time() - loop.time()
    return lambda: loop.time() + offset
