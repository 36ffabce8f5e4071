"""The whole configuration, and the choice of a provider. Every table of the file is an attrs class here."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, frozen

from ..budget import Budget
from ..errors import ConfigurationError
from ..price_list import Price, configured_prices
from ..redaction import redact_text, redact_url
from ..registry import adapter_names, find_adapter
from ..retry import RetryPolicies
from ..routing import Routing
from ..timing import Limits, PollSchedule
from .budget import BudgetSettings
from .engine import EngineSettings
from .loader import FILE_NAME, find_file
from .secrets import KeySource, SecretSource, without_frames
from .section import Section, beside
from .store import StoreSettings
from .structuring import choices, quoted, quoted_name, structure
from .trust import check_found_engine, check_found_proxy, check_found_store
from .urls import FROM_ENVIRONMENT, check_proxy, is_loopback

PROVIDER_VARIABLE = "HAPPYHORSE_PROVIDER"


@frozen(kw_only=True)
class ProviderSettings:
    """One configured account of a provider."""

    name: str
    """The prefix of refs: the section's name, or the adapter's name without a section."""
    adapter: str
    """The registered name of the adapter."""
    key_source: KeySource
    """The source of the API key."""
    region: str | None = None
    base_url: str | None = None
    """The root of the provider's API, if it is not the adapter's default. It takes precedence over `region`."""
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    """The adapter's own options."""
    prices: tuple[Price, ...] = ()
    """The prices configured for this account."""
    callback_url: str | None = None
    """The webhook URL that the provider calls at the end of every task."""
    callback_secret: SecretSource | None = None
    """The source of the secret that verifies callbacks."""
    proxy: str | None = field(default=None, repr=lambda url: repr(_shown_proxy(url)))
    """The URL of an HTTP proxy, or `env` for those of the environment."""
    auto_adopt: bool = False
    """Whether a submit whose response was lost adopts the only task in the provider's list that matches it."""
    allow_private_hosts: bool = False
    """Whether a video may be downloaded from an address that is not on the public internet."""

    @property
    def api_key(self) -> str:
        """
        The API key, read now.

        :raises ConfigurationError: there is no key, or it is not valid.
        """
        return self.key_source.read()

    def warn(self) -> None:
        """Warn of a key in the file itself. A key for a loopback address, such as an emulator's, is not a secret."""
        if self.key_source.literal is not None and not is_loopback(self.base_url or ""):
            warnings.warn(
                f"{self.key_source.where}: the API key is stored in plain text in this file; "
                "use api_key_env or api_key_file instead",
                stacklevel=3,
            )

    def resolved(self) -> dict[str, Any]:
        """Return all settings, with the defaults filled in, and the source of each secret instead of the secret."""
        account = find_adapter(self.adapter).account(
            provider=self.name, api_key="", base_url=self.base_url, region=self.region, options=self.options
        )
        return {
            "adapter": self.adapter,
            "region": self.region,
            "base_url": redact_url(account.base_url),
            "options": {name: redact_text(str(value)) for name, value in self.options.items()},
            "prices": {row.key: f"{row.amount:f} {row.currency}" for row in self.prices},
            "proxy": _shown_proxy(self.proxy),
            "callback_url": None if self.callback_url is None else redact_url(self.callback_url),
            "callback_secret": None if self.callback_secret is None else self.callback_secret.describe(),
            "auto_adopt": self.auto_adopt,
            "allow_private_hosts": self.allow_private_hosts,
            "api_key": self.key_source.describe(),
        }


def _shown_proxy(proxy: str | None) -> str | None:
    return proxy if proxy in (None, FROM_ENVIRONMENT) else redact_url(proxy)


@frozen(kw_only=True)
class Settings:
    """The whole configuration."""

    path: Path | None = None
    """The file, or `None` without one."""
    default: str | None = None
    """The default provider."""
    providers: Mapping[str, ProviderSettings] = field(factory=dict[str, ProviderSettings])
    """The file's sections, by name. If it has none, every registered adapter can be selected by its name."""
    proxy: str | None = field(default=None, repr=lambda url: repr(_shown_proxy(url)))
    """The proxy of providers without a section. A section has its own or this one."""
    store: StoreSettings | None = None
    """The journal on disk or in a database; `None` for the memory of the process."""
    engine: EngineSettings | None = None
    """The engine that runs enqueued jobs; `None`: every process runs its own."""
    poll: PollSchedule = field(factory=PollSchedule)
    limits: Limits = field(factory=Limits)
    retries: RetryPolicies = field(factory=RetryPolicies)
    routing: Routing | None = None
    budget: Budget | None = None
    """The budget; `None` for no limit."""
    """The routing of new jobs; `None`: the selected account gets all."""

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Settings:
        """
        Read the configuration. This blocks while a small file is read: do it when the application starts.

        A file that was found in the current directory, not named by *path* or `HAPPYHORSE_CONFIG`, sends API keys only
        to the providers' documented addresses and to this machine.

        :param path: the file; by default it is searched for, and may be absent.
        :raises ConfigurationError: it does not exist, cannot be read, or is not valid. No local variable of its frames
            holds content of the file, which may be a key.
        """
        try:
            return cls._load(path)
        except ConfigurationError as error:
            refusal = without_frames(error)
        raise refusal

    @classmethod
    def _load(cls, path: str | os.PathLike[str] | None) -> Settings:
        found = find_file(path)
        if found is None:
            return cls()
        file = found.path
        try:
            content = structure(_File, found.table)
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: {error.message}") from None
        known = tuple(content.providers) or adapter_names()
        if content.default is not None and content.default not in known:
            missing = f"there is no [providers.{quoted_name(content.default)}]"
            raise ConfigurationError(f"{file}: default: {missing}; {choices(content.default, known)}")
        if content.proxy is not None:
            check_proxy(content.proxy, where=f"{file}: proxy")
            if found.found:
                check_found_proxy(content.proxy, where=f"{file}: proxy", file=file)
        return cls(
            path=file,
            default=content.default,
            providers={
                name: _provider(name, section, content.proxy, file, found=found.found)
                for name, section in content.providers.items()
            },
            proxy=content.proxy,
            store=_store(content.store, file, found=found.found),
            engine=_engine(content.engine, file, found=found.found),
            poll=content.poll,
            limits=content.limits,
            retries=content.retries,
            routing=_routing(content.routing, known, file),
            budget=None if content.budget is None else content.budget.budget(),
        )

    def with_proxy(self, proxy: str) -> Settings:
        """
        Return these settings with *proxy* for every provider.

        :raises ConfigurationError: it is neither the URL of a proxy nor `env`.
        """
        check_proxy(proxy, where="--proxy")
        sections = {name: evolve(section, proxy=proxy) for name, section in self.providers.items()}
        return evolve(self, proxy=proxy, providers=sections)

    def choose(self, provider: str | None = None) -> ProviderSettings:
        """
        Choose a provider: *provider*, else `HAPPYHORSE_PROVIDER`, else `default`, else the only section.

        Warns if the API key is in the file.

        :raises ConfigurationError: none is selected, it is not configured, or it has no key.
        """
        chosen = self._choice(provider)
        if chosen is None:
            raise ConfigurationError(
                f"no provider is chosen: name one, or set {PROVIDER_VARIABLE}, or set default in {self._file()}; "
                f"known: {', '.join(self._names())}"
            )
        chosen.key_source.read()
        chosen.warn()
        return chosen

    def routing_for(self, provider: str | None) -> Routing | None:
        """Return the routing of new jobs; `None` if *provider* or the environment names the only account."""
        return None if provider is not None or os.environ.get(PROVIDER_VARIABLE) else self.routing

    def accounts(self, provider: str | None = None) -> tuple[ProviderSettings, ...]:
        """
        Return every configured account: the file's sections or, if it has none, each adapter whose key is in the
        environment. No key is read.

        :param provider: return only this one.
        :raises ConfigurationError: there is none, or *provider* is not configured.
        """
        if provider is not None:
            return (self._find(provider, "provider"),)
        if self.providers:
            return tuple(self.providers.values())
        variables = {name: find_adapter(name).api_key_env for name in adapter_names()}
        found = tuple(self._find(name, "provider") for name, variable in variables.items() if os.environ.get(variable))
        if not found:
            raise ConfigurationError(
                f"no account is configured: there is no [providers.NAME] in {self._file()}, and none of "
                f"{', '.join(sorted(set(variables.values())))} is set"
            )
        return found

    def resolved(self, provider: str | None = None) -> dict[str, Any]:
        """
        Return the effective configuration, secrets masked: the file, the selected provider, every provider, and the
        store.

        `poll` and `limits` have the selected provider's defaults for values that the file does not set.

        :raises ConfigurationError: *provider* or `HAPPYHORSE_PROVIDER` is not configured.
        """
        chosen = self._choice(provider)
        poll, limits = self.poll, self.limits
        if chosen is not None:
            adapter = find_adapter(chosen.adapter)
            poll, limits = poll.advised_by(adapter.poll), limits.filled_from(adapter.limits)
        return {
            "file": None if self.path is None else str(self.path.resolve()),
            "provider": None if chosen is None else chosen.name,
            "providers": {name: self._find(name, "provider").resolved() for name in self._names()},
            "store": None if self.store is None else self.store.resolved(),
            "engine": None if self.engine is None else self.engine.resolved(),
            "poll": asdict(poll),
            "limits": asdict(limits, filter=lambda attribute, _: attribute.init),
            "retries": asdict(self.retries, value_serializer=_finite),
            "routing": None if self.routing is None else asdict(self.routing),
            "budget": None if self.budget is None else [str(limit) for limit in self.budget.limits],
        }

    def _choice(self, provider: str | None) -> ProviderSettings | None:
        if provider is not None:
            return self._find(provider, "provider")
        if named := os.environ.get(PROVIDER_VARIABLE):
            return self._find(named, PROVIDER_VARIABLE)
        if self.default is not None:
            return self._find(self.default, f"{self._file()}: default")
        if self.routing is not None and (order := self.routing.order or tuple(self.providers)):
            return self._find(order[0], f"{self._file()}: routing.order")
        return next(iter(self.providers.values())) if len(self.providers) == 1 else None

    def _find(self, name: str, where: str) -> ProviderSettings:
        if name not in self._names():
            kind = f"[providers.{quoted_name(name)}] in {self.path}" if self.providers else f"adapter {quoted(name)}"
            raise ConfigurationError(f"{where}: there is no {kind}; {choices(name, self._names())}")
        if self.providers:
            return self.providers[name]
        key_source = KeySource(where=name, variable=find_adapter(name).api_key_env)
        return ProviderSettings(name=name, adapter=name, key_source=key_source, proxy=self.proxy)

    def _names(self) -> tuple[str, ...]:
        return tuple(self.providers) or adapter_names()

    def _file(self) -> str:
        return FILE_NAME if self.path is None else str(self.path)


def _finite(_: object, __: object, value: Any) -> Any:
    # JSON has no infinity.
    return "for ever" if value == math.inf else value


@frozen(kw_only=True)
class _File:
    """The whole file."""

    default: str | None = None
    providers: Mapping[str, Section] = field(factory=dict[str, Section])
    proxy: str | None = None
    store: StoreSettings | None = None
    engine: EngineSettings | None = None
    poll: PollSchedule = field(factory=PollSchedule)
    limits: Limits = field(factory=Limits)
    retries: RetryPolicies = field(factory=RetryPolicies)
    routing: Routing | None = None
    budget: BudgetSettings | None = None


def _routing(routing: Routing | None, known: tuple[str, ...], file: Path) -> Routing | None:
    for name in routing.order if routing is not None else ():
        if name not in known:
            missing = f"there is no [providers.{quoted_name(name)}]"
            raise ConfigurationError(f"{file}: routing.order: {missing}; {choices(name, known)}")
    return routing


def _provider(name: str, section: Section, proxy: str | None, file: Path, *, found: bool) -> ProviderSettings:
    section.check(name, file, found=found)
    adapter = section.find_adapter(name, file)
    return ProviderSettings(
        name=name,
        adapter=adapter.name,
        key_source=section.key_source(name, adapter, file),
        region=section.region,
        base_url=section.base_url,
        options=dict(section.options),
        prices=configured_prices(section.prices, where=f"{file}: providers.{name}.prices"),
        callback_url=section.callback_url,
        callback_secret=section.secret_source(name, adapter, file),
        proxy=proxy if section.proxy is None else section.proxy,
        auto_adopt=section.auto_adopt,
        allow_private_hosts=section.allow_private_hosts,
    )


def _engine(engine: EngineSettings | None, file: Path, *, found: bool) -> EngineSettings | None:
    if engine is not None and found:
        check_found_engine(engine, file=file)
    return engine


def _store(store: StoreSettings | None, file: Path, *, found: bool) -> StoreSettings | None:
    if store is None:
        return None
    if store.path is not None:
        store = evolve(store, path=beside(file, store.path, where=f"{file}: store.path"))
    if found:
        check_found_store(store, file=file)
    return store
