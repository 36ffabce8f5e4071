"""The accounts of a client, configured by arguments or by the sections of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from attrs import evolve, field, frozen

from ..adapter import Account, Adapter
from ..config import (
    KeySource,
    ProviderSettings,
    SecretSource,
    Settings,
    check_api_key,
    check_base_url,
    check_further_urls,
    check_proxy,
    check_url,
)
from ..errors import ConfigurationError
from ..job import Endpoint
from ..logs import get_logger
from ..price_list import Price, PriceList, configured_prices
from ..registry import adapter_names, find_adapter
from ..routing import Routing
from ..timing import Limits
from ..transports.proxy import Proxies

_log = get_logger(__name__)


@frozen
class Provider:
    """
    One account of a provider, for a client with several: like a section of the configuration file.

    Errors in it are raised when the client is made.
    """

    name: str
    """The prefix of the refs of its tasks: `[a-z0-9_-]+`. The name of another adapter is an error."""
    adapter: str | Adapter | None = field(default=None, kw_only=True)
    """The name of a registered adapter, or an `Adapter`; by default the adapter called *name*."""
    api_key: str | None = field(default=None, kw_only=True, repr=False)
    """The API key; by default from the adapter's environment variable."""
    base_url: str | None = field(default=None, kw_only=True)
    """The root of the API, instead of the provider's documented one."""
    region: str | None = field(default=None, kw_only=True)
    """One of the adapter's regions."""
    options: Mapping[str, Any] | None = field(default=None, kw_only=True, repr=False)
    """The adapter's own options."""
    limits: Limits | None = field(default=None, kw_only=True)
    """Rate and concurrency limits of this account; by default those of the client."""
    proxy: str | None = field(default=None, kw_only=True, repr=False)
    """The URL of an HTTP proxy, or `"env"`; by default that of the client."""
    callback_url: str | None = field(default=None, kw_only=True, repr=False)
    """The URL that the provider calls when a task has ended, for requests without their own."""
    prices: Mapping[str, str | float] | None = field(default=None, kw_only=True)
    """Prices instead of the published ones, like a table `[providers.NAME.prices]`."""


@frozen(kw_only=True, eq=False)
class AccountSettings:
    """The settings of one account. Its key is read when it is first needed."""

    adapter: Adapter
    keyless: Account = field(repr=False)
    """The account without its key."""
    read_key: Callable[[], str] = field(repr=False)
    """Returns the key, or raises a `ConfigurationError`."""
    limits: Limits | None = None
    shares_limits: bool = False
    """Whether all clients that were given the *limits* object share it, instead of one for each account."""
    proxy: str | None = field(default=None, repr=False)
    callback_url: str | None = field(default=None, repr=False)
    callback_secret: SecretSource | None = None
    prices: tuple[Price, ...] = ()
    """The user's own prices."""
    auto_adopt: bool = False
    allow_private_hosts: bool = False

    @property
    def name(self) -> str:
        """The prefix of the refs of its tasks."""
        return self.keyless.provider

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of its jobs."""
        return Endpoint(provider=self.name, adapter=self.adapter.name, base_url=self.keyless.base_url)

    @cached_property
    def account(self) -> Account:
        """
        The account with its key.

        :raises ConfigurationError: there is no key, or it cannot be one.
        """
        return evolve(self.keyless, api_key=self.read_key())

    @cached_property
    def price_list(self) -> PriceList:
        """The prices that apply to the account."""
        return self.adapter.price_list(self.keyless, self.prices)

    @property
    def identity(self) -> tuple[str, str, str]:
        """The identity of the account: two sections with the same key and address are one; raises like `account`."""
        # It names shared limits, and must not contain the key itself.
        key = hashlib.sha256(self.account.api_key.encode()).hexdigest()
        return self.adapter.name, self.account.base_url, key


@frozen(kw_only=True)
class Defaults:
    """The client's arguments for all of its accounts."""

    limits: Limits | None = None
    shares_limits: bool = False
    """Whether the client has only one account."""
    proxy: str | None = field(default=None, repr=False)
    auto_adopt: bool = False
    allow_private_hosts: bool = False


def settings_of(provider: Provider, defaults: Defaults, *, where: str = "") -> AccountSettings:
    """
    Check a `Provider`, and return its settings with the defaults filled in. Reads no key from the environment.

    :param where: the prefix of its field names in errors.
    :raises ConfigurationError: an unknown adapter, region or option, a bad address, or a name that another adapter has.
    """
    adapter = _adapter_of(provider)
    proxy = provider.proxy if provider.proxy is not None else defaults.proxy
    Proxies.of(None if proxy is None else check_proxy(proxy, where=f"{where}proxy"))
    check_further_urls(adapter, provider.options or {}, where=f"{where}options")
    if provider.callback_url is not None:
        check_url(provider.callback_url, where=f"{where}callback_url")
        if not adapter.capabilities.callbacks:
            raise ConfigurationError(f"{where}callback_url: {adapter.name} has no callbacks")
    return AccountSettings(
        adapter=adapter,
        keyless=adapter.account(
            provider=provider.name,
            api_key="",
            base_url=None if provider.base_url is None else check_base_url(provider.base_url, where=f"{where}base_url"),
            region=provider.region,
            options=provider.options,
        ),
        read_key=_key_reader(provider, adapter, where),
        limits=provider.limits if provider.limits is not None else defaults.limits,
        shares_limits=provider.limits is not None or defaults.shares_limits,
        proxy=proxy,
        callback_url=provider.callback_url,
        prices=configured_prices(provider.prices or {}, where=f"{where}prices"),
        auto_adopt=defaults.auto_adopt,
        allow_private_hosts=defaults.allow_private_hosts,
    )


def _adapter_of(provider: Provider) -> Adapter:
    named = provider.adapter
    adapter = named if isinstance(named, Adapter) else find_adapter(provider.name if named is None else named)
    if provider.name != adapter.name and provider.name in adapter_names():
        raise ConfigurationError(
            f"a provider named after the adapter {provider.name} cannot use {adapter.name}; give it another name",
            provider=provider.name,
        )
    return adapter


def _key_reader(provider: Provider, adapter: Adapter, where: str) -> Callable[[], str]:
    if provider.api_key is None:
        return KeySource(where=provider.name, variable=adapter.api_key_env).read
    key = check_api_key(provider.api_key, where=f"{where}api_key")
    return lambda: key


def configured_accounts(settings: Settings, chosen: ProviderSettings) -> list[AccountSettings]:
    """
    Return the accounts of a configuration: all of its sections, or only the selected adapter if it has none.

    :param chosen: the account that must have a key. Others without a key are logged.
    """
    sections = [chosen, *(section for name, section in settings.providers.items() if name != chosen.name)]
    for section in sections[1:]:
        section.warn()
    accounts = [_section_settings(section, settings.limits) for section in sections]
    _warn_of_missing_keys(accounts[1:])
    return accounts


def _section_settings(section: ProviderSettings, limits: Limits) -> AccountSettings:
    adapter = find_adapter(section.adapter)
    return AccountSettings(
        adapter=adapter,
        keyless=adapter.account(
            provider=section.name, api_key="", base_url=section.base_url, region=section.region, options=section.options
        ),
        read_key=section.key_source.read,
        limits=limits,
        proxy=section.proxy,
        callback_url=section.callback_url,
        callback_secret=section.callback_secret,
        prices=section.prices,
        auto_adopt=section.auto_adopt,
        allow_private_hosts=section.allow_private_hosts,
    )


def as_providers(
    provider: object, api_key: str | None, base_url: str | None, region: str | None, options: Mapping[str, Any] | None
) -> tuple[Provider, ...]:
    """
    Return the accounts given by the first arguments of `Client`.

    :raises ConfigurationError: there is none, a name is repeated, or arguments for one account are combined with a
        `Provider`.
    """
    if isinstance(provider, str | Adapter):
        name = provider if isinstance(provider, str) else provider.name
        return (Provider(name, adapter=provider, api_key=api_key, base_url=base_url, region=region, options=options),)
    given = {"api_key": api_key, "base_url": base_url, "region": region, "options": options}
    if named := [name for name, value in given.items() if value is not None]:
        raise ConfigurationError(f"{', '.join(named)}: give it to each Provider instead")
    several = (provider,) if isinstance(provider, Provider) else provider
    if not isinstance(several, Sequence):
        raise ConfigurationError(f"provider: expected the name of an adapter or a Provider, not {_kind(provider)}")
    found = tuple(cast("Sequence[object]", several))
    if not found:
        raise ConfigurationError("provider: an empty list; a client needs at least one account")
    for one in found:
        if not isinstance(one, Provider):
            raise ConfigurationError(f"provider: expected a list of Provider, which has {_kind(one)} in it")
    providers = cast("tuple[Provider, ...]", found)
    names = [one.name for one in providers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"provider: {', '.join(map(repr, twice))} is there twice; each needs a name of its own"
        )
    return providers


def _warn_of_missing_keys(accounts: Iterable[AccountSettings]) -> None:
    """Log the accounts without a key. An account that is never used needs none."""
    for account in accounts:
        try:
            _ = account.account
        except ConfigurationError as error:
            _log.warning("the account %s cannot be used: %s", account.name, error.message)


def default_of(accounts: Sequence[AccountSettings], routing: Routing | None) -> str:
    """
    Return the name of a client's default account: the first one that gets new jobs.

    Others without a key are logged.

    :raises ConfigurationError: it has no key, or *routing* names an account that is not there.
    """
    named = {account.name: account for account in accounts}
    for name in routing.order if routing else ():
        if name not in named:
            raise ConfigurationError(f"routing.order: there is no provider {name!r}; known: {', '.join(named)}")
    default = routing.order[0] if routing and routing.order else accounts[0].name
    _ = named.pop(default).account
    _warn_of_missing_keys(named.values())
    return default


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
