"""
Configuration from arguments, the environment and a file.

The file is the one given as an argument or by `HAPPYHORSE_CONFIG`; else `happyhorse.toml` in the current directory;
else `pyproject.toml` there, if it has a table `[tool.happyhorse]`. The provider is the one given as an argument or by
`HAPPYHORSE_PROVIDER`; else the file's `default`; else its only section.

Every mistake is a `ConfigurationError` that names the file, the key and the known choices, and shows no secret.
"""

from __future__ import annotations

from .secrets import KeySource, SecretSource, check_api_key, check_secret
from .settings import ProviderSettings, Settings
from .store import StoreSettings
from .structuring import quoted, structure
from .urls import check_base_url, check_further_urls, check_proxy, check_url

__all__ = [
    "KeySource",
    "ProviderSettings",
    "SecretSource",
    "Settings",
    "StoreSettings",
    "check_api_key",
    "check_base_url",
    "check_further_urls",
    "check_proxy",
    "check_secret",
    "check_url",
    "quoted",
    "structure",
]
