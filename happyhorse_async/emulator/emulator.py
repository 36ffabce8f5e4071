"""The emulator itself: its settings, and its interface for tests."""

from __future__ import annotations

import asyncio
import math
import secrets
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from attrs import frozen

from ..emulation import EmulatedAPI, ProviderLimits
from ..errors import ConfigurationError
from ..registry import emulated_api_names, find_emulated_api
from .faults import Fault, Faults, Injection, Operation, find_fault
from .media_cache import MediaCache
from .provider import EmulatedProvider, Keys
from .request_log import KEPT, ReceivedRequest
from .scenario import Scenario
from .signed_urls import SignedUrls
from .webhook_log import WebhookLog
from .webhook_queue import CallbackScenario


@frozen(kw_only=True)
class _Options:
    """The arguments of an emulator; see `Emulator`."""

    scenario: Scenario
    callbacks: CallbackScenario
    limits: bool | Mapping[str, ProviderLimits]
    keys: Keys
    events_urls: Mapping[str, str]
    host: str
    port: int
    prepared_video: bool


class Emulator:
    """
    Emulates every provider that has a registered emulated API, over real HTTP.

    ```python
    async with Emulator(speed=60, seed=1) as emulator:
        Client("hiapi", api_key="any", base_url=emulator.url("hiapi"))
    ```

    Its videos are real H.264 files with a test picture, and need the extra `happyhorse-async[emulator]`. Each `async
    with` starts without tasks.

    :param speed: every duration is divided by it: at 60, a task of two minutes is done after two seconds, and its id
        and its URL expire after 24 minutes. Rate limits are multiplied by it.
    :param seed: the same seed gives the n-th task of a provider the same durations and the same end.
    :param scenario: how tasks go; by default they wait some seconds, run one to three minutes, and succeed.
    :param limits: `True` holds every account to the limits that its provider publishes; a mapping of provider names
        sets others.
    :param api_key: the only key that is accepted. By default any is, and each is an account of its own.
    :param callbacks: how webhooks are delivered; by default each is sent once its task has ended, and again until it
        is answered with a 2xx.
    :param callback_secret: the secret that webhooks are signed with, in the provider's way. By default they are not
        signed.
    :param events_urls: by provider name, for providers that send events to a URL that is set up outside the API: the
        URL. Other providers call the URL of the submit.
    :param host: the address to listen on. While it is a loopback address, only requests to `localhost` or a loopback
        address are answered, and webhooks go to this machine only; with another one also to private networks.
    :param port: the port to listen on; 0 takes any free one.
    :param prepared_video: without the extra `emulator`, serve one small prepared video for every task. By default a
        download is then answered with an error that says what to install.
    :raises ConfigurationError: *speed* is not a positive number. On entering: *events_urls* names a provider that sends
        no events.
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
        prepared_video: bool = False,
    ) -> None:
        if not 0 < speed < math.inf:
            raise ConfigurationError(f"speed must be a number of more than 0, not {speed!r}")
        self.speed = speed
        self.seed = seed
        self.deliveries = WebhookLog()
        """The webhook deliveries since the emulator was last entered or reset."""
        self._options = _Options(
            scenario=scenario or Scenario(),
            callbacks=callbacks or CallbackScenario(),
            limits=limits,
            keys=Keys(api_key, callback_secret),
            events_urls=dict(events_urls or {}),
            host=host,
            port=port,
            prepared_video=prepared_video,
        )
        self._scenario = self._options.scenario
        self._callbacks = self._options.callbacks
        self._port: int | None = None
        self._faults = Faults()
        self._received: deque[ReceivedRequest] = deque(maxlen=KEPT)
        self._providers: dict[str, EmulatedProvider] = {}
        self._drop_webhooks: Callable[[], object] | None = None
        self._open = AsyncExitStack()

    @property
    def address(self) -> str:
        """
        The root URL of the server, such as `"http://127.0.0.1:8000"`.

        :raises RuntimeError: it is not running.
        """
        if self._port is None:
            raise RuntimeError("the emulator is not running; enter it with `async with` first")
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"http://{host}:{self._port}"

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the emulated providers."""
        return emulated_api_names()

    @property
    def scenario(self) -> Scenario:
        """How tasks go. Setting it affects tasks that are submitted later."""
        return self._scenario

    @scenario.setter
    def scenario(self, scenario: Scenario) -> None:
        self._scenario = scenario
        for provider in self._providers.values():
            provider.scenario = scenario

    @property
    def callbacks(self) -> CallbackScenario:
        """How webhooks are delivered. Setting it affects tasks that are submitted later."""
        return self._callbacks

    @callbacks.setter
    def callbacks(self, callbacks: CallbackScenario) -> None:
        self._callbacks = callbacks
        for provider in self._providers.values():
            provider.webhook_queue.scenario = callbacks

    @property
    def faults(self) -> tuple[Injection, ...]:
        """The active faults."""
        return self._faults.active

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The requests since the emulator was last entered or reset, downloads included: the last 10,000."""
        return tuple(self._received)

    def url(self, provider: str) -> str:
        """
        Return the base URL for a client of *provider*.

        :raises RuntimeError: the emulator is not running.
        :raises ConfigurationError: there is no such provider.
        """
        address = self.address
        self._check_provider(provider)
        return f"{address}/{provider}{self._providers[provider].emulated_api.root}"

    def inject(
        self,
        fault: Fault | str,
        *,
        on: Operation | str | Iterable[str] | None = None,
        provider: str | None = None,
        times: int | None = 1,
        after: int = 0,
        seconds: float | None = None,
    ) -> Injection:
        """
        Switch a fault on.

        ```python
        emulator.inject("reset-before-answer", on="submit", provider="hiapi")
        emulator.inject("late-404", seconds=2)
        ```

        If several faults match a call, the one that was switched on first is applied until it ends.

        :param fault: its name, or an object from `happyhorse_async.emulator.faults`.
        :param on: the calls that it is applied to, of `"submit"`, `"query"`, `"result"`, `"list"`, `"cancel"`,
            `"download"`, `"permit"` and `"upload"`; by default every call that it fits.
        :param provider: the provider whose calls it is applied to; by default all providers.
        :param times: to how many calls it is applied; `None`: to every one.
        :param after: how many matching calls are answered correctly first.
        :param seconds: instead of *times*, for how long it is applied: real seconds, from the first call on.
        :return: a handle that switches the fault off and releases held responses.
        :raises ConfigurationError: there is no such fault, operation or provider, or a number is negative.
        """
        if provider is not None:
            self._check_provider(provider)
        found = find_fault(fault) if isinstance(fault, str) else fault
        return self._faults.add(found, on=on, provider=provider, times=times, after=after, seconds=seconds)

    def calls(self, on: Operation | str, *, provider: str | None = None) -> int:
        """
        Return the number of calls, with faults or without.

        :param on: the operation; see `inject`.
        :param provider: by default all together.
        """
        counts = self._faults.calls.items()
        return sum(count for (name, operation), count in counts if operation == on and provider in (None, name))

    def billed(self, provider: str | None = None) -> int:
        """
        Return how many tasks were accepted, each of which a real provider would have billed.

        :param provider: by default all together.
        """
        return sum(emulated.billed for name, emulated in self._providers.items() if provider in (None, name))

    def reset(self) -> None:
        """
        Forget every task, request and webhook, switch every fault off, and return to the first scenarios.

        May be called from any thread. Clients with tasks in flight then see them as unknown.
        """
        self._faults.clear()
        self._faults.calls.clear()
        self.scenario, self.callbacks = self._options.scenario, self._options.callbacks
        for provider in self._providers.values():
            provider.reset()
        if self._drop_webhooks is not None:
            self._drop_webhooks()
        self._received.clear()
        self.deliveries.clear()

    async def __aenter__(self) -> Self:
        if self._port is not None:
            raise RuntimeError("the emulator is already running")
        emulated_apis = [find_emulated_api(name) for name in emulated_api_names()]
        self._check_events_urls(emulated_apis)
        # Importing aiohttp takes a quarter of a second, too long for an import of this library.
        from .control import ControlAPI  # noqa: PLC0415
        from .server import Server, is_loopback  # noqa: PLC0415
        from .webhook_sender import WebhookSender  # noqa: PLC0415

        links, clock = SignedUrls(secrets.token_bytes(32)), _clock()
        self._received.clear()
        self._faults.calls.clear()
        self.deliveries = WebhookLog()
        self._providers = {api.name: self._provider(api, links) for api in emulated_apis}
        async with AsyncExitStack() as stack:
            media_cache = MediaCache(await self._folder(stack), prepared=self._options.prepared_video)
            webhook_sender = WebhookSender(
                self._providers.values(),
                log=self.deliveries,
                only_loopback=is_loopback(self._options.host),
                speed=self.speed,
                clock=clock,
            )
            server = Server(
                self._providers,
                links=links,
                media_cache=media_cache,
                webhook_sender=webhook_sender,
                clock=clock,
                faults=self._faults,
                received=self._received,
                control=ControlAPI(self),
            )
            stack.push_async_callback(server.stop)
            await stack.enter_async_context(webhook_sender)
            stack.callback(self._faults.clear)
            self._drop_webhooks = _in_loop(webhook_sender.drop_pending)
            self._port = await server.start(self._options.host, self._options.port)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._port = self._drop_webhooks = None
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    def _provider(self, emulated_api: EmulatedAPI, links: SignedUrls) -> EmulatedProvider:
        if isinstance(self._options.limits, bool):
            limits = emulated_api.limits if self._options.limits else None
        else:
            limits = self._options.limits.get(emulated_api.name)
        return EmulatedProvider(
            emulated_api,
            scenario=self._scenario,
            links=links,
            seed=self.seed,
            speed=self.speed,
            limits=limits,
            keys=self._options.keys,
            callbacks=self._callbacks,
            events_url=self._options.events_urls.get(emulated_api.name),
            faults=self._faults,
            received=self._received,
        )

    def _check_provider(self, name: str) -> None:
        if name not in self.providers:
            raise ConfigurationError(f"the emulator has no provider {name!r}; known: {', '.join(self.providers)}")

    def _check_events_urls(self, emulated_apis: Iterable[EmulatedAPI]) -> None:
        rules = {emulated_api.name: emulated_api.callback_rules for emulated_api in emulated_apis}
        known = [name for name, rule in rules.items() if rule is not None and rule.set_up_outside]
        for name in self._options.events_urls:
            if name not in known:
                raise ConfigurationError(
                    f"{name!r} sends no events to a URL that is set up outside its API; known: {', '.join(known)}"
                )

    async def _folder(self, stack: AsyncExitStack) -> Path:
        folder = await anyio.to_thread.run_sync(lambda: tempfile.TemporaryDirectory(prefix="happyhorse-emulator-"))
        stack.push_async_callback(anyio.to_thread.run_sync, folder.cleanup)
        return Path(folder.name)


def _clock() -> Callable[[], float]:
    """Return a clock in Unix seconds that runs with the event loop: setting the wall clock affects no task."""
    loop = asyncio.get_running_loop()
    offset = time.time() - loop.time()
    return lambda: loop.time() + offset


def _in_loop(action: Callable[[], object]) -> Callable[[], None]:
    """Return a function that any thread may call, and that runs *action* in the running event loop."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(action)

    return call
