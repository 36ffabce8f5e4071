"""Checks of an adapter's own options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError


def check_switch(options: Mapping[str, Any], name: str, *, provider: str) -> None:
    """
    Check a boolean option.

    :raises ConfigurationError: it is neither true nor false.
    """
    value = options.get(name)
    if value is not None and not isinstance(value, bool):
        raise ConfigurationError(f"the option {name} must be true or false, not {value!r}", provider=provider)
