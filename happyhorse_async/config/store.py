"""The table `[store]`: the journal on disk, or in a database."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import Attribute, asdict, field, frozen
from attrs.validators import and_, ge, gt, instance_of, le, optional

from ..errors import ConfigurationError
from ..redaction import redact_url
from .structuring import variable_name

# Seconds: beyond any useful setting, and within the calendar.
_LONGEST = 1e10
_LONGEST_WAIT = 3600

_ONLY_FILE = frozenset({"busy_timeout"})
_ONLY_DATABASE = frozenset({"listen_url", "listen_url_env", "schema", "timeout", "takeover_after"})
_PLACES = frozenset({"path", "url", "url_env", "listen_url", "listen_url_env"})


def _file(_: object, attribute: Attribute[Any], value: Path | None) -> None:
    if value is not None and value.name in ("", ":memory:"):
        raise ConfigurationError(
            f"{attribute.name} must name a file; to keep jobs in memory, leave the table [store] out"
        )


def _retention(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value <= _LONGEST and value != math.inf:
        raise ConfigurationError(f"{attribute.name} must be a number of seconds, or inf for ever, not {value!r}")


@frozen(kw_only=True)
class StoreSettings:
    """
    Where jobs are recorded: a file, or a PostgreSQL database. Times are in seconds; unset fields get the store's
    defaults.

    :raises ConfigurationError: a number is out of range, the path is not a file name, or both kinds of store are set.
    """

    path: Path | None = field(default=None, validator=_file)
    """The file. It is created if there is none; its folder is not."""
    url: str | None = field(default=None, repr=False)
    """The URL of the database. One with a password belongs into the variable that `url_env` names."""
    url_env: str | None = None
    """The environment variable with the URL of the database."""
    listen_url: str | None = field(default=None, repr=False)
    """The direct URL of the database, if the other one leads to a pooler such as PgBouncer."""
    listen_url_env: str | None = None
    """The environment variable with that URL."""
    schema: str | None = None
    """The schema of the tables in the database."""
    keep_prompts: float | None = field(default=None, validator=_retention)
    """How long a request is kept after its outcome is known; `inf` for ever."""
    keep_closed: float | None = field(default=None, validator=_retention)
    """How long a job is kept, with its key, after it has ended; `inf` for ever."""
    keep_media: int | None = field(default=None, validator=optional(ge(0)))
    """Bytes of the largest local picture or video that is kept with an enqueued job until it is sent."""
    busy_timeout: float | None = field(default=None, validator=optional(and_(ge(0), le(_LONGEST_WAIT))))
    """How long to wait while other processes write to the file."""
    timeout: float | None = field(default=None, validator=optional(and_(gt(0), le(_LONGEST_WAIT))))
    """How long one operation on the database may take."""
    takeover_after: float | None = field(default=None, validator=optional(and_(ge(0), le(_LONGEST_WAIT))))
    """How long a process must have been connected before it considers another one dead."""

    work: bool = field(default=True, validator=instance_of(bool))
    """Whether programs with this configuration send and poll jobs. `false` leaves that to `happyhorse worker`."""

    def __attrs_post_init__(self) -> None:
        places = [name for name in ("path", "url", "url_env") if getattr(self, name) is not None]
        if not places:
            raise ConfigurationError(
                "path is missing: the file of the journal, or url_env, the variable with the URL of a PostgreSQL "
                "database"
            )
        if len(places) > 1:
            raise ConfigurationError(f"{places[1]} cannot be combined with {places[0]}: there is one journal")
        if self.listen_url is not None and self.listen_url_env is not None:
            raise ConfigurationError("listen_url_env and listen_url cannot be combined")
        foreign = sorted((_ONLY_FILE if self.path is None else _ONLY_DATABASE) & set(self._set()))
        if foreign:
            raise ConfigurationError(f"{foreign[0]} cannot be combined with {places[0]}")

    @property
    def options(self) -> dict[str, Any]:
        """The other fields that are set, as the store's arguments; `None` means for ever."""
        chosen = {name: value for name, value in self._set().items() if name not in _PLACES}
        return {name: None if value == math.inf else value for name, value in chosen.items()}

    def database(self) -> tuple[str, str | None] | None:
        """
        Return the URLs of the database, read from the environment now; `None` if the journal is a file.

        Warns of a password in the configuration file.

        :raises ConfigurationError: a variable is not set.
        """
        if self.path is not None:
            return None
        if any(urlsplit(url or "").password for url in (self.url, self.listen_url)):
            warnings.warn(
                "store.url: the password of the database is stored in plain text in the configuration file; "
                "use url_env instead",
                stacklevel=4,
            )
        url = self.url or _variable("url_env", self.url_env or "")
        listen_url = _variable("listen_url_env", self.listen_url_env) if self.listen_url_env else self.listen_url
        return url, listen_url

    @property
    def place(self) -> str:
        """The location of the journal, without secrets."""
        if self.path is not None:
            return str(self.path.resolve())
        url = self.url or os.environ.get(self.url_env or "")
        return f"environment {self.url_env} (not set)" if not url else redact_url(url)

    def resolved(self) -> dict[str, Any]:
        """Return the location, without secrets, and the fields that are set."""
        # JSON has no infinity.
        shown = {name: "for ever" if value == math.inf else value for name, value in self._set().items()}
        if not self.work:
            shown["work"] = False
        for name in ("url", "listen_url"):
            if name in shown:
                shown[name] = redact_url(shown[name])
        if self.path is not None:
            return {**shown, "path": self.place}
        return {"url": self.place, **shown}

    def _set(self) -> dict[str, Any]:
        return asdict(self, filter=lambda attribute, value: attribute.name != "work" and value is not None)


def _variable(name: str, variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigurationError(f"store.{name}: the environment variable {variable_name(variable)} is not set")
    return value
