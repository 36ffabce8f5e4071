"""The table `[store]`: the journal on disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from attrs import Attribute, asdict, field, frozen
from attrs.validators import and_, ge, instance_of, le, optional

from ..errors import ConfigurationError

# Seconds: beyond any useful setting, and within the calendar.
_LONGEST = 1e10
_LONGEST_BUSY_TIMEOUT = 3600


def _file(_: object, attribute: Attribute[Any], value: Path) -> None:
    if value.name in ("", ":memory:"):
        raise ConfigurationError(
            f"{attribute.name} must name a file; to keep jobs in memory, leave the table [store] out"
        )


def _retention(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value <= _LONGEST and value != math.inf:
        raise ConfigurationError(f"{attribute.name} must be a number of seconds, or inf for ever, not {value!r}")


@frozen(kw_only=True)
class StoreSettings:
    """
    The file in which jobs are recorded. Times are in seconds; what is not set is the store's default.

    :raises ConfigurationError: a number is out of range, or the path names no file.
    """

    path: Path = field(validator=_file)
    """The file. It is created if there is none; its folder is not."""
    keep_prompts: float | None = field(default=None, validator=_retention)
    """How long a request is kept after its outcome is known; `inf` for ever."""
    keep_closed: float | None = field(default=None, validator=_retention)
    """How long a job is kept, with its key, after it has ended; `inf` for ever."""
    busy_timeout: float | None = field(default=None, validator=optional(and_(ge(0), le(_LONGEST_BUSY_TIMEOUT))))
    """How long to wait while other processes write."""

    work: bool = field(default=True, validator=instance_of(bool))
    """Whether programs with this configuration send and poll jobs. `false` leaves that to `happyhorse worker`."""

    @property
    def options(self) -> dict[str, Any]:
        """What is set beside the path, as the store's own arguments, where `None` means for ever."""
        return {name: None if value == math.inf else value for name, value in self._set().items()}

    def resolved(self) -> dict[str, Any]:
        """Show the absolute path, and what is set."""
        # JSON has no infinity.
        shown = {name: "for ever" if value == math.inf else value for name, value in self._set().items()}
        return {"path": str(self.path.resolve()), **shown, **({} if self.work else {"work": False})}

    def _set(self) -> dict[str, Any]:
        own = ("path", "work")
        return asdict(self, filter=lambda attribute, value: attribute.name not in own and value is not None)
