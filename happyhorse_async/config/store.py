"""The table `[store]`: the file in which jobs are written down."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from attrs import Attribute, asdict, field, frozen

from ..errors import ConfigurationError

# Beyond any useful setting, and short enough for the calendar.
_LONGEST = 1e10


def _file(_: object, attribute: Attribute[Any], value: Path) -> None:
    if value.name == ":memory:":
        raise ConfigurationError(
            f"{attribute.name} must name a file; to keep jobs in memory, leave the table [store] out"
        )


def _seconds(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value <= _LONGEST and value != math.inf:
        raise ConfigurationError(f"{attribute.name} must be a number of seconds, or inf for ever, not {value!r}")


def _patience(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value <= 3600:
        raise ConfigurationError(f"{attribute.name} must be a number of seconds from 0 to 3600, not {value!r}")


@frozen(kw_only=True)
class StoreSettings:
    """
    The file in which jobs are written down. Times are in seconds; what is not set is the store's default.

    :raises ConfigurationError: a figure cannot be one, or the path names no file.
    """

    path: Path = field(validator=_file)
    """The file. It is created if there is none; its folder is not."""
    keep_prompts: float | None = field(default=None, validator=_seconds)
    """How long a request is kept after its outcome is known; `inf` for ever."""
    keep_closed: float | None = field(default=None, validator=_seconds)
    """How long a job is kept, with its key, after it is closed; `inf` for ever."""
    busy_timeout: float | None = field(default=None, validator=_patience)
    """How long to wait while other processes write."""

    @property
    def options(self) -> dict[str, Any]:
        """What is set beside the path, as the store's own arguments, where `None` means for ever."""
        return {name: None if value == math.inf else value for name, value in self._set().items()}

    def resolved(self) -> dict[str, Any]:
        """Show the path in full, and what is set."""
        # JSON has no word for infinity.
        told = {name: "for ever" if value == math.inf else value for name, value in self._set().items()}
        return {"path": str(self.path.resolve()), **told}

    def _set(self) -> dict[str, Any]:
        return asdict(self, filter=lambda attribute, value: attribute.name != "path" and value is not None)
