"""One table `[providers.NAME]` of the file: its keys and their checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ..adapter import Adapter
from ..errors import ConfigurationError
from ..price_list import configured_prices
from ..registry import adapter_names, find_adapter
from .secrets import KeySource, SecretSource, check_api_key
from .structuring import choices, looks_secret, quoted, quoted_name
from .trust import check_found_address, check_found_proxy, refused
from .urls import check_base_url, check_further_urls, check_proxy, check_url

_PROVIDER_NAME = re.compile(r"[a-z0-9_-]+")
_SHOWN_OPTION = 8
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@frozen(kw_only=True)
class Section:
    """The table `[providers.NAME]` of the file."""

    adapter: str | None = None
    region: str | None = None
    base_url: str | None = None
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    prices: Mapping[str, Any] = field(factory=dict[str, Any])
    callback_url: str | None = None
    callback_secret_env: str | None = None
    callback_secret_file: str | None = None
    proxy: str | None = None
    auto_adopt: bool = False
    allow_private_hosts: bool = False
    api_key_env: str | None = None
    api_key_file: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def check(self, name: str, file: Path, *, found: bool) -> None:
        """
        Check everything that can be checked without reading a key.

        :param found: whether the file was found, not named; see `trust`.
        :raises ConfigurationError: a setting is not valid; the error names it.
        """
        where = f"{file}: providers.{quoted_name(name)}"
        if not _PROVIDER_NAME.fullmatch(name):
            raise ConfigurationError(f"{where}: the name of a provider is made of a-z, 0-9, _ and -")
        adapter = self.find_adapter(name, file)
        for option in self.options:
            if option not in adapter.option_names:
                known = choices(option, adapter.option_names)
                raise ConfigurationError(
                    f"{where}.options.{quoted_name(option)}: {adapter.name} has no such option; {known}"
                )
        self._check_addresses(adapter, where)
        self._check_region(name, adapter, where)
        configured_prices(self.prices, where=f"{where}.prices")
        if found:
            self._check_trust(adapter, where, file)

    def _check_addresses(self, adapter: Adapter, where: str) -> None:
        if self.base_url is not None:
            check_base_url(self.base_url, where=f"{where}.base_url")
        check_further_urls(adapter, self.options, where=f"{where}.options")
        if self.proxy is not None:
            check_proxy(self.proxy, where=f"{where}.proxy")
        if self.callback_url is not None:
            check_url(self.callback_url, where=f"{where}.callback_url")
            if not adapter.capabilities.callbacks:
                raise ConfigurationError(f"{where}.callback_url: {adapter.name} has no callbacks")

    def _check_trust(self, adapter: Adapter, where: str, file: Path) -> None:
        # A key in the file belongs to the author of the file.
        if self.api_key is None:
            check_found_address(self.base_url, self.options, adapter, where=where, file=file)
        check_found_proxy(self.proxy, where=f"{where}.proxy", file=file)
        if self.callback_url is not None:
            raise refused(f"{where}.callback_url", "sets a webhook URL, which is sent the signed URLs of videos", file)
        if self.allow_private_hosts:
            raise refused(f"{where}.allow_private_hosts", "allows downloads from private addresses", file)

    def _check_region(self, name: str, adapter: Adapter, where: str) -> None:
        if self.region is not None and looks_secret(self.region):
            raise ConfigurationError(
                f"{where}.region: {adapter.name} has no such region; {choices('', adapter.regions)}"
            )
        try:
            adapter.account(provider=name, api_key="", base_url=self.base_url, region=self.region, options=self.options)
        except ConfigurationError as error:
            # The invalid value may be a key in the wrong place.
            error.mask(*(text for text in map(str, self.options.values()) if len(text) > _SHOWN_OPTION))
            key = "options" if self.region is None else "region"
            close = get_close_matches(self.region or "", adapter.regions, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{where}.{key}: {error.message}{hint}") from None

    def find_adapter(self, name: str, file: Path) -> Adapter:
        """
        Load the adapter of the section *name*.

        :raises ConfigurationError: there is no such adapter, or the section is named after another adapter.
        """
        where, known = f"{file}: providers.{quoted_name(name)}", adapter_names()
        if self.adapter is None and name not in known:
            raise ConfigurationError(f"{where}.adapter is missing; known: {', '.join(known)}")
        adapter = name if self.adapter is None else self.adapter
        if adapter not in known:
            raise ConfigurationError(
                f"{where}.adapter: there is no adapter {quoted(adapter)}; {choices(adapter, known)}. "
                "Is the package that has it installed?"
            )
        if name in known and name != adapter:
            raise ConfigurationError(
                f"{where}.adapter: a section named after the adapter {name} cannot use {adapter}; give it another name"
            )
        return find_adapter(adapter)

    def key_source(self, name: str, adapter: Adapter, file: Path) -> KeySource:
        """Return the source of the API key."""
        where = f"{file}: providers.{name}"
        where = ".".join((where, *self._only(where, "api_key_env", "api_key_file", "api_key")))
        if self.api_key_file is not None:
            return KeySource(where=where, file=beside(file, self.api_key_file, where=where))
        if self.api_key is not None:
            return KeySource(where=where, literal=check_api_key(self.api_key, where=where))
        variable = adapter.api_key_env if self.api_key_env is None else self.api_key_env
        return KeySource(where=where, variable=_variable(variable, where, "key"))

    def secret_source(self, name: str, adapter: Adapter, file: Path) -> SecretSource | None:
        """Return the source of the webhook secret, if the section has one."""
        where = f"{file}: providers.{name}"
        named = self._only(where, "callback_secret_env", "callback_secret_file")
        if not named:
            return None
        where = f"{where}.{named[0]}"
        if not adapter.capabilities.signed_callbacks:
            raise ConfigurationError(f"{where}: {adapter.name} signs no callbacks")
        if self.callback_secret_file is not None:
            return SecretSource(where=where, file=beside(file, self.callback_secret_file, where=where))
        return SecretSource(where=where, variable=_variable(self.callback_secret_env or "", where, "secret"))

    def _only(self, where: str, *keys: str) -> list[str]:
        named = [key for key in keys if getattr(self, key) is not None]
        if len(named) > 1:
            raise ConfigurationError(f"{where}: only one of {', '.join(named)} can be set")
        return named


def beside(file: Path, path: str | Path, *, where: str) -> Path:
    """
    Return *path*, relative to the configuration file.

    :raises ConfigurationError: it begins with `~` and there is no such home directory.
    """
    try:
        return file.parent / Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"{where}: there is no such home directory") from None


def _variable(name: str, where: str, kind: str) -> str:
    if not _VARIABLE_NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: expected the name of an environment variable, not the {kind} itself")
    return name
