"""What is configured, and which provider is chosen. Every table of the file is an attrs class here."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from ..adapter import Adapter
from ..errors import ConfigurationError
from ..redaction import redact_text, redact_url
from ..registry import adapter_names, find_adapter
from ..retry import RetryPolicies
from ..timing import Limits, PollSchedule
from .secrets import KeySource, SecretSource, check_api_key, check_url
from .store import StoreSettings
from .tables import FILE_NAME, choices, find_table, structure

PROVIDER_VARIABLE = "HAPPYHORSE_PROVIDER"

_PROVIDER_NAME = re.compile(r"[a-z0-9_-]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@frozen(kw_only=True)
class ProviderSettings:
    """One provider as configured: all that a client needs to know of it."""

    name: str
    """What goes into refs: the section's name, or the adapter's where no file has a section."""
    adapter: str
    """The registered name of the adapter."""
    key_source: KeySource
    """Where the API key comes from."""
    region: str | None = None
    base_url: str | None = None
    """The root of the provider's API, where it is not the adapter's own. It wins over `region`."""
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    """The adapter's own options."""
    callback_url: str | None = None
    """Where the provider shall call at the end of every task."""
    callback_secret: SecretSource | None = None
    """Where the secret comes from that proves a callback to be the provider's own."""
    auto_adopt: bool = False
    """Whether a submit whose answer was lost adopts the only task that it can be."""
    allow_private_hosts: bool = False
    """Whether a video may be fetched from an address that is not on the public internet."""

    @property
    def api_key(self) -> str:
        """
        The API key, read now.

        :raises ConfigurationError: there is none, or it cannot be one.
        """
        return self.key_source.read()

    def resolved(self) -> dict[str, Any]:
        """Show everything, with the defaults filled in and in place of the key where it comes from."""
        account = find_adapter(self.adapter).account(
            provider=self.name, api_key="", base_url=self.base_url, region=self.region, options=self.options
        )
        return {
            "adapter": self.adapter,
            "region": self.region,
            "base_url": redact_url(account.base_url),
            "options": {name: redact_text(str(value)) for name, value in self.options.items()},
            "callback_url": None if self.callback_url is None else redact_url(self.callback_url),
            "callback_secret": None if self.callback_secret is None else self.callback_secret.describe(),
            "auto_adopt": self.auto_adopt,
            "allow_private_hosts": self.allow_private_hosts,
            "api_key": self.key_source.describe(),
        }


@frozen(kw_only=True)
class Settings:
    """Everything that is configured."""

    path: Path | None = None
    """The file, or `None` where there is none."""
    default: str | None = None
    """The provider that is used where none is named."""
    providers: Mapping[str, ProviderSettings] = field(factory=dict[str, ProviderSettings])
    """The file's sections, by name. Where it has none, every registered adapter can be chosen by its name."""
    store: StoreSettings | None = None
    """Where jobs are written down; `None` for the memory of the process."""
    poll: PollSchedule = field(factory=PollSchedule)
    limits: Limits = field(factory=Limits)
    retries: RetryPolicies = field(factory=RetryPolicies)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Settings:
        """
        Read the configuration. It is a small file, read at once: do it when the application starts.

        :param path: the file; by default it is searched for, and there may be none.
        :raises ConfigurationError: it does not exist, cannot be read, or holds something wrong.
        """
        file, table = find_table(path)
        if file is None:
            return cls()
        content = structure(_File, table, file)
        known = tuple(content.providers) or adapter_names()
        if content.default is not None and content.default not in known:
            missing = f"there is no [providers.{content.default}]"
            raise ConfigurationError(f"{file}: default: {missing}; {choices(content.default, known)}")
        return cls(
            path=file,
            default=content.default,
            providers={name: _provider(name, section, file) for name, section in content.providers.items()},
            store=content.store,
            poll=content.poll,
            limits=content.limits,
            retries=content.retries,
        )

    def choose(self, provider: str | None = None) -> ProviderSettings:
        """
        Choose a provider: *provider*, else `HAPPYHORSE_PROVIDER`, else `default`, else the only section.

        :raises ConfigurationError: none is chosen, it is not configured, or it has no key.
        """
        chosen = self._choice(provider)
        if chosen is None:
            raise ConfigurationError(
                f"no provider is chosen: name one, or set {PROVIDER_VARIABLE}, or set default in {self._file()}; "
                f"known: {', '.join(self._names())}"
            )
        chosen.key_source.read()
        return chosen

    def resolved(self, provider: str | None = None) -> dict[str, Any]:
        """
        Show what is in force, secrets masked: the file, the provider that is chosen, every provider, and the store.

        `poll` and `limits` have the chosen provider's own figures where the file has none.

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
            "poll": asdict(poll),
            "limits": asdict(limits, filter=lambda attribute, _: attribute.init),
            "retries": asdict(self.retries, value_serializer=_told),
        }

    def _choice(self, provider: str | None) -> ProviderSettings | None:
        if provider is not None:
            return self._find(provider, "provider")
        if named := os.environ.get(PROVIDER_VARIABLE):
            return self._find(named, PROVIDER_VARIABLE)
        if self.default is not None:
            return self._find(self.default, f"{self._file()}: default")
        return next(iter(self.providers.values())) if len(self.providers) == 1 else None

    def _find(self, name: str, where: str) -> ProviderSettings:
        if name not in self._names():
            kind = f"[providers.{name}] in {self.path}" if self.providers else f"adapter {name!r}"
            raise ConfigurationError(f"{where}: there is no {kind}; {choices(name, self._names())}")
        if self.providers:
            return self.providers[name]
        key_source = KeySource(where=name, variable=find_adapter(name).api_key_env)
        return ProviderSettings(name=name, adapter=name, key_source=key_source)

    def _names(self) -> tuple[str, ...]:
        return tuple(self.providers) or adapter_names()

    def _file(self) -> str:
        return FILE_NAME if self.path is None else str(self.path)


def _told(_: object, __: object, value: Any) -> Any:
    # JSON has no word for infinity.
    return "for ever" if value == math.inf else value


@frozen(kw_only=True)
class _Section:
    """The table `[providers.<name>]`."""

    adapter: str | None = None
    region: str | None = None
    base_url: str | None = None
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    callback_url: str | None = None
    callback_secret_env: str | None = None
    callback_secret_file: str | None = None
    auto_adopt: bool = False
    allow_private_hosts: bool = False
    api_key_env: str | None = None
    api_key_file: str | None = None
    api_key: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class _File:
    """The whole file."""

    default: str | None = None
    providers: Mapping[str, _Section] = field(factory=dict[str, _Section])
    store: StoreSettings | None = None
    poll: PollSchedule = field(factory=PollSchedule)
    limits: Limits = field(factory=Limits)
    retries: RetryPolicies = field(factory=RetryPolicies)


def _provider(name: str, section: _Section, file: Path) -> ProviderSettings:
    where = f"{file}: providers.{name}"
    if not _PROVIDER_NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: the name of a provider is made of a-z, 0-9, _ and -")
    adapter = _adapter(name, section, where)
    for option in section.options:
        if option not in adapter.option_names:
            known = choices(option, adapter.option_names)
            raise ConfigurationError(f"{where}.options.{option}: {adapter.name} has no such option; {known}")
    if section.base_url is not None and {"?", "#"} & set(check_url(section.base_url, where=f"{where}.base_url")):
        raise ConfigurationError(f"{where}.base_url: a root has no query and no fragment")
    if section.callback_url is not None:
        check_url(section.callback_url, where=f"{where}.callback_url")
        if not adapter.capabilities.callbacks:
            raise ConfigurationError(f"{where}.callback_url: {adapter.name} has no callbacks")
    settings = ProviderSettings(
        name=name,
        adapter=adapter.name,
        key_source=_key_source(section, adapter, where, file),
        region=section.region,
        base_url=section.base_url,
        options=dict(section.options),
        callback_url=section.callback_url,
        callback_secret=_secret_source(section, adapter, where, file),
        auto_adopt=section.auto_adopt,
        allow_private_hosts=section.allow_private_hosts,
    )
    _check_region(settings, adapter, where)
    return settings


def _adapter(name: str, section: _Section, where: str) -> Adapter:
    known = adapter_names()
    if section.adapter is None and name not in known:
        raise ConfigurationError(f"{where}.adapter is missing; known: {', '.join(known)}")
    adapter = name if section.adapter is None else section.adapter
    if adapter not in known:
        raise ConfigurationError(
            f"{where}.adapter: there is no adapter {adapter!r}; {choices(adapter, known)}. "
            "Is the package that has it installed?"
        )
    if name in known and name != adapter:
        raise ConfigurationError(
            f"{where}.adapter: a section named after the adapter {name} cannot use {adapter}; give it another name"
        )
    return find_adapter(adapter)


def _check_region(settings: ProviderSettings, adapter: Adapter, where: str) -> None:
    try:
        adapter.account(
            provider=settings.name,
            api_key="",
            base_url=settings.base_url,
            region=settings.region,
            options=settings.options,
        )
    except ConfigurationError as error:
        key = "options" if settings.region is None else "region"
        close = get_close_matches(settings.region or "", adapter.regions, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigurationError(f"{where}.{key}: {error.message}{hint}") from None


def _key_source(section: _Section, adapter: Adapter, where: str, file: Path) -> KeySource:
    where = ".".join((where, *_only(section, where, "api_key_env", "api_key_file", "api_key")))
    if section.api_key_file is not None:
        return KeySource(where=where, file=file.parent / Path(section.api_key_file).expanduser())
    if section.api_key is not None:
        warnings.warn(
            f"{where}: the API key stands in the file itself; api_key_env or api_key_file keep it out of there",
            stacklevel=2,
        )
        return KeySource(where=where, literal=check_api_key(section.api_key, where=where))
    variable = adapter.api_key_env if section.api_key_env is None else section.api_key_env
    return KeySource(where=where, variable=_variable(variable, where, "key"))


def _secret_source(section: _Section, adapter: Adapter, where: str, file: Path) -> SecretSource | None:
    named = _only(section, where, "callback_secret_env", "callback_secret_file")
    if not named:
        return None
    where = f"{where}.{named[0]}"
    if not adapter.capabilities.signed_callbacks:
        raise ConfigurationError(f"{where}: {adapter.name} signs no callbacks")
    if section.callback_secret_file is not None:
        return SecretSource(where=where, file=file.parent / Path(section.callback_secret_file).expanduser())
    return SecretSource(where=where, variable=_variable(section.callback_secret_env or "", where, "secret"))


def _only(section: _Section, where: str, *keys: str) -> list[str]:
    named = [key for key in keys if getattr(section, key) is not None]
    if len(named) > 1:
        raise ConfigurationError(f"{where}: only one of {', '.join(named)} can be set")
    return named


def _variable(name: str, where: str, kind: str) -> str:
    if not _VARIABLE_NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: expected the name of an environment variable, not the {kind} itself")
    return name
