"""
Which adapters and emulated APIs are installed.

Both are found by entry point, whoever ships them, and loaded only when they are asked for. A name that two
distributions claim is an error, never a silent choice: an adapter is handed the API key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .adapter import Adapter
from .errors import ConfigurationError, HappyHorseError
from .request import VideoRequest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

    from .emulation import EmulatedAPI

ADAPTERS = "happyhorse_async.adapters"
"""The entry-point group of the adapters."""
EMULATED_APIS = "happyhorse_async.emulated_apis"
"""The entry-point group of the emulated APIs."""
_KINDS = {ADAPTERS: "adapter", EMULATED_APIS: "emulated API"}


def adapter_names() -> tuple[str, ...]:
    """Return the names of the registered adapters, sorted. Loads none of them."""
    return _names(ADAPTERS)


def find_adapter(name: str) -> Adapter:
    """
    Load the adapter registered as *name*.

    :raises ConfigurationError: there is none, there are two, or it cannot be loaded.
    """
    adapter = _load(ADAPTERS, name)
    if not isinstance(adapter, Adapter):
        raise ConfigurationError(f"the adapter {name!r} is no {Adapter.__module__}.{Adapter.__name__}")
    return adapter


def emulated_api_names() -> tuple[str, ...]:
    """Return the names of the registered emulated APIs, sorted. Loads none of them."""
    return _names(EMULATED_APIS)


def find_emulated_api(name: str) -> EmulatedAPI:
    """
    Load the emulated API registered as *name*.

    :raises ConfigurationError: there is none, there are two, or it cannot be loaded.
    """
    emulated_api: EmulatedAPI = _load(EMULATED_APIS, name)
    return emulated_api


def providers_that_can(request: VideoRequest, callback_url: str | None = None) -> tuple[str, ...]:
    """Return the names of the registered adapters that can express *request*. One that cannot be loaded cannot."""
    return tuple(name for name in adapter_names() if _can(name, request, callback_url))


def _can(name: str, request: VideoRequest, callback_url: str | None) -> bool:
    try:
        find_adapter(name).check(request, provider=name, callback_url=callback_url)
    except HappyHorseError:
        return False
    return True


def _entries(group: str) -> EntryPoints:
    # Takes longer to import than what it finds.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return entry_points(group=group)


def _names(group: str) -> tuple[str, ...]:
    return tuple(sorted(_entries(group).names))


def _load(group: str, name: str) -> Any:
    kind = _KINDS[group]
    entry = _entry(group, kind, name)
    try:
        make: Callable[[], Any] = entry.load()
        loaded = make()
    except Exception as error:
        raise ConfigurationError(
            f"the {kind} {name!r} ({entry.value}, from {_distribution(entry)}) cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    own_name = getattr(loaded, "name", None)
    if own_name != name:
        raise ConfigurationError(
            f"the {kind} registered as {name!r} by {_distribution(entry)} calls itself {own_name!r}; both must agree"
        )
    return loaded


def _entry(group: str, kind: str, name: str) -> EntryPoint:
    found = sorted(_entries(group).select(name=name), key=_distribution)
    if not found:
        known = ", ".join(_names(group)) or "none"
        raise ConfigurationError(f"there is no {kind} {name!r}; known: {known}. Is the package that has it installed?")
    if len(found) > 1:
        claims = " and ".join(f"{_distribution(entry)} ({entry.value})" for entry in found)
        raise ConfigurationError(f"the {kind} {name!r} is registered by {claims}; uninstall one of them")
    return found[0]


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"
