"""The options of many commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from attrs import frozen
from cyclopts import Group, Parameter
from cyclopts.validators import Number

_GENERAL = Group("General options", sort_key=9)


@Parameter(name="*", group=_GENERAL)
@frozen(kw_only=True)
class Basic:
    """The options of every command, before or after its name."""

    json: bool = False
    """Print one JSON object per line, and no colours."""
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"))] = False
    """Show the library's log on the standard error."""


@Parameter(name="*", group=_GENERAL)
@frozen(kw_only=True)
class Common(Basic):
    """The options of every command that reads the configuration."""

    config: str | None = None
    """The configuration file, instead of HAPPYHORSE_CONFIG, happyhorse.toml or pyproject.toml."""
    proxy: str | None = None
    """The URL of an HTTP proxy, or env for those of the environment."""
    no_store: bool = False
    """Keep no journal: jobs of this run are forgotten at its end, and running it again pays again."""


def _not_empty(_: object, key: str | None) -> None:
    if key is not None and not key.strip():
        raise ValueError("it is empty")


Seconds = Annotated[float | None, Parameter(validator=Number(gt=0))]
Key = Annotated[str | None, Parameter(validator=_not_empty)]
Output = Annotated[str | None, Parameter(name=("--output", "-o"), validator=_not_empty)]
Folder = Annotated[Path | None, Parameter(name=("--output", "-o"))]
Limit = Annotated[int, Parameter(validator=Number(gt=0), show_default=True)]
Count = Annotated[int | None, Parameter(validator=Number(gt=0))]
Port = Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))]
