"""
Which adapters and emulated APIs are installed, and which of them can express a request.

Both are found by entry point, in any distribution, and loaded on first use. A name that two distributions register is
an error, never a silent choice, because an adapter gets the API key.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import evolve

from .adapter import Adapter
from .errors import ConfigurationError, HappyHorseError, InvalidRequestError, UnsupportedFeatureError
from .redaction import redact_text
from .request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

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

    :raises ConfigurationError: none is registered, two are, or it cannot be loaded.
    """
    adapter = _load(ADAPTERS, name)
    if not isinstance(adapter, Adapter):
        raise ConfigurationError(f"the adapter {name!r} is not a {Adapter.__module__}.{Adapter.__name__}")
    return adapter


def installed_adapters() -> Iterator[tuple[str, Adapter]]:
    """Yield the installed adapters by name. Adapters that cannot be loaded are skipped."""
    for name in adapter_names():
        with suppress(HappyHorseError):
            yield name, find_adapter(name)


def emulated_api_names() -> tuple[str, ...]:
    """Return the names of the registered emulated APIs, sorted. Loads none of them."""
    return _names(EMULATED_APIS)


def find_emulated_api(name: str) -> EmulatedAPI:
    """
    Load the emulated API registered as *name*.

    :raises ConfigurationError: none is registered, two are, or it cannot be loaded.
    """
    emulated_api: EmulatedAPI = _load(EMULATED_APIS, name)
    return emulated_api


def explain_refusal(
    refusal: InvalidRequestError | UnsupportedFeatureError,
    adapter: Adapter,
    request: VideoRequest,
    *,
    provider: str,
    callback_url: str | None = None,
) -> HappyHorseError:
    """
    Distinguish a request that this provider does not support from one that is invalid everywhere.

    :param refusal: the error that `Adapter.check` raised for *request*.
    :return: an `UnsupportedFeatureError` if the provider, or this version of it, lacks a mode, an option or a value
        that an installed adapter has. It names the providers that have it. Otherwise an `InvalidRequestError`.
    """
    options = _options(request)
    takers = {name: _takers(adapter, evolve(_PROBES[request.mode], **{name: options[name]})) for name in options}
    for name, able in takers.items():
        if not able:
            return _invalid_everywhere(adapter, request, name, provider)
    plain = _with_plain_media(request)
    refused = [name for name in options if not _takes(adapter, _only(plain, name))]
    is_about_media = plain is not request and _takes(adapter, plain)
    if isinstance(refusal, InvalidRequestError) and not refused and not is_about_media:
        return refusal
    # Model ids and extra fields are one provider's own.
    able = providers_that_can(evolve(request, model=None, extra={}), callback_url)
    if not able and refused:
        able = takers[refused[0]]
    if isinstance(refusal, UnsupportedFeatureError):
        refusal.alternatives = able
        return refusal
    if not able:
        return refusal
    feature = f"{refused[0]} {options[refused[0]]}" if refused else "media of this size"
    return UnsupportedFeatureError(refusal.message, feature=feature, alternatives=able, provider=provider)


def providers_that_can(request: VideoRequest, callback_url: str | None = None) -> tuple[str, ...]:
    """Return the names of the installed adapters that can express *request*, skipping those that fail to load."""
    return tuple(name for name, adapter in installed_adapters() if _takes(adapter, request, callback_url))


_URL = "https://media.example.org/a"
_PROBES: dict[Mode, VideoRequest] = {
    Mode.T2V: TextToVideo("a"),
    Mode.I2V: ImageToVideo(_URL),
    Mode.R2V: ReferenceToVideo("a", _URL),
    Mode.EDIT: VideoEdit("a", _URL),
}
_OPTIONS = ("resolution", "ratio", "duration", "seed", "watermark", "audio")


def _options(request: VideoRequest) -> dict[str, Any]:
    """Return the options that are set."""
    values = {name: getattr(request, name, None) for name in _OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def _only(request: VideoRequest, name: str) -> VideoRequest:
    """Return *request* with no other option than *name*."""
    others: dict[str, Any] = {other: None for other in _options(request) if other != name}
    return evolve(request, **others)


def _takers(adapter: Adapter, request: VideoRequest) -> tuple[str, ...]:
    """Return which of the installed adapters and *adapter* can express *request*."""
    own = (adapter.name,) if _takes(adapter, request) else ()
    return tuple(sorted({*own, *providers_that_can(request)}))


def _takes(adapter: Adapter, request: VideoRequest, callback_url: str | None = None) -> bool:
    try:
        adapter.check(request, provider=adapter.name, callback_url=callback_url)
    except HappyHorseError:
        return False
    return True


def _invalid_everywhere(adapter: Adapter, request: VideoRequest, name: str, provider: str) -> InvalidRequestError:
    try:
        adapter.check(_only(request, name), provider=provider)
    except InvalidRequestError as error:
        return error
    except HappyHorseError:
        # "No provider accepts the value" says more than the refusal, which says that this provider lacks the option.
        pass
    shown = redact_text(repr(getattr(request, name)))[:80]
    return InvalidRequestError(f"no provider accepts {shown} for {name}", provider=provider)


def _with_plain_media(request: VideoRequest) -> VideoRequest:
    """Return *request* with small media behind plain URLs in place of its own; itself where it has none."""
    plain: dict[str, Any] = {name: _URL for name in ("image", "video") if hasattr(request, name)}
    if isinstance(request, ReferenceToVideo | VideoEdit):
        plain["images"] = (_URL,) * len(request.images)
    return evolve(request, **plain) if plain else request


def _entries(group: str) -> EntryPoints:
    return _entries_of(tuple(sys.path), group)


# Reading the metadata of every installed distribution takes milliseconds, and an event loop waits for it.
@lru_cache(maxsize=16)
def _entries_of(_path: tuple[str, ...], group: str) -> EntryPoints:
    # Importing it takes longer than the lookup.
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
