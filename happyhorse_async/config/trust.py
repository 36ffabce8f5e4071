"""
Limits of a configuration file that was found in the current directory, not named by the user.

A cloned repository or a shared folder may hold a stranger's `happyhorse.toml` or `pyproject.toml`. Such a file must not
send the user's keys, or the signed URLs of paid videos, to the stranger's address. A file that the user has named has
none of these limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..errors import ConfigurationError
from .engine import EngineSettings
from .store import StoreSettings
from .urls import FROM_ENVIRONMENT, is_documented, is_loopback


def check_found_address(
    base_url: str | None, options: Mapping[str, Any], adapter: Adapter, *, where: str, file: Path
) -> None:
    """
    Check that a key from outside the file goes only to the provider's documented addresses or to this machine.

    :raises ConfigurationError: it would go elsewhere.
    """
    named = {f"options.{name}": str(value) for name, value in options.items() if "://" in str(value)}
    for name, address in {"base_url": base_url, **named}.items():
        if address is not None and not (is_loopback(address) or is_documented(address, adapter)):
            problem = "sends an API key to an address that is not one of the provider's documented ones"
            raise refused(f"{where}.{name}", problem, file)


def check_found_proxy(proxy: str | None, *, where: str, file: Path) -> None:
    """
    Check that the file sets no proxy; `env` selects the user's.

    :raises ConfigurationError: it does.
    """
    if proxy not in (None, FROM_ENVIRONMENT):
        raise refused(where, "sets a proxy", file)


def check_found_store(store: StoreSettings, *, file: Path) -> None:
    """
    Check that the journal is in the folder of the file, symbolic links followed, or comes from the environment.

    :raises ConfigurationError: it is elsewhere.
    """
    folder = file.parent.resolve()
    if store.path is not None and folder not in store.path.resolve().parents:
        raise refused(f"{file}: store.path", "puts the journal outside the folder of the file", file)
    for name, url in {"url": store.url, "listen_url": store.listen_url}.items():
        if url is not None:
            raise refused(f"{file}: store.{name}", "puts the journal into a database", file)


def check_found_engine(engine: EngineSettings, *, file: Path) -> None:
    """
    Check that the database of workflows comes from the environment.

    :raises ConfigurationError: they are not.
    """
    if engine.url is not None:
        raise refused(f"{file}: engine.url", "puts the workflows into a database", file)


def refused(where: str, problem: str, file: Path) -> ConfigurationError:
    """Return the error for a setting that only a named file may have."""
    return ConfigurationError(
        f"{where}: {problem}, and this file was only found in the current directory. If you trust it, name it: "
        f"--config {file}, HAPPYHORSE_CONFIG={file} or Client.from_config({str(file)!r})"
    )
