"""API keys and addresses: where they are read, and what can be one. No error shows a key."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen

from ..errors import ConfigurationError
from .tables import kind_of


def check_api_key(key: object, *, where: str) -> str:
    """
    Return *key*, if it can stand in an HTTP header.

    :param where: where it was found, for the error, which never shows the key.
    :raises ConfigurationError: it is empty, no text, or holds spaces, line breaks, control or non-ASCII characters.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"{where}: an API key is text, not {kind_of(key)}")
    if not key.strip():
        raise ConfigurationError(f"{where}: the API key is empty")
    if not all("!" <= character <= "~" for character in key):
        raise ConfigurationError(
            f"{where}: an API key is made of ASCII letters, digits and signs; "
            "this one holds a space, a line break or another character"
        )
    return key


def check_secret(secret: object, *, where: str) -> str:
    """
    Return *secret*, if it can be one that is shared with a provider.

    :param where: where it was found, for the error, which never shows the secret.
    :raises ConfigurationError: it is empty, no text, or holds a character that no text file can.
    """
    if not isinstance(secret, str):
        raise ConfigurationError(f"{where}: a secret is text, not {kind_of(secret)}")
    if not secret.strip():
        raise ConfigurationError(f"{where}: the secret is empty")
    if any("\ud800" <= character <= "\udfff" for character in secret):
        raise ConfigurationError(f"{where}: the secret is not text in UTF-8")
    return secret


def check_url(url: object, *, where: str) -> str:
    """
    Return *url*, if it is one that requests can be sent to.

    :param where: where it was found, for the error.
    :raises ConfigurationError: it is no http(s) URL, or holds a user or password.
    """
    if not isinstance(url, str) or not _is_url(url):
        raise ConfigurationError(f"{where}: expected an http:// or https:// URL")
    if "@" in urlsplit(url).netloc:
        raise ConfigurationError(f"{where}: a URL with a user or a password in it is not accepted")
    return url


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text


@frozen(kw_only=True)
class KeySource:
    """Where an API key is read when it is needed. One of `variable`, `file` and `literal` is set."""

    where: str
    """The place that names it, for errors."""
    variable: str | None = None
    """An environment variable."""
    file: Path | None = None
    """A file with the key alone in it."""
    literal: str | None = field(default=None, repr=False)
    """The key itself."""

    def read(self) -> str:
        """
        Return the key.

        :raises ConfigurationError: there is none, or it cannot be one.
        """
        if self.file is not None:
            return self._checked(self._read_file(self.file), self.where)
        if self.literal is not None:
            return self._checked(self.literal, self.where)
        key = os.environ.get(self.variable or "")
        if not key:
            raise ConfigurationError(f"{self.where}: the environment variable {self._variable()} is not set")
        return self._checked(key, f"{self.where}: the environment variable {self._variable()}")

    def _checked(self, key: str, where: str) -> str:
        return check_api_key(key, where=where)

    def describe(self) -> str:
        """Say where the key comes from and whether it is there, and not what it is."""
        if self.literal is not None:
            return "written in the configuration file"
        if self.file is not None:
            return f"file {self.file}" if self.file.is_file() else "file (missing)"
        return f"environment {self._variable()} ({'set' if os.environ.get(self.variable or '') else 'not set'})"

    def _variable(self) -> str:
        # Where the name of the variable was asked for, some write the key itself. It would pass for a name in
        # lower-case letters, digits and underscores, so only what looks like a variable is shown.
        return self.variable if self.variable and self.variable.isupper() else "that it names"

    def _read_file(self, file: Path) -> str:
        try:
            return file.read_text("utf-8-sig").rstrip("\r\n")
        except OSError as error:
            # The path is not shown: some write the key itself where the name of a file was asked for.
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(
                f"{self.where}: the file cannot be read ({reason}); a relative path begins at the configuration file"
            ) from None
        except ValueError:
            raise ConfigurationError(f"{self.where}: the file is not text in UTF-8") from None


@frozen(kw_only=True)
class SecretSource(KeySource):
    """Where the secrets of callbacks are read: one, or several while they are rotated, each on a line of its own."""

    def read_all(self) -> tuple[str, ...]:
        """
        Return the secrets.

        :raises ConfigurationError: there is none.
        """
        return tuple(line for line in self.read().splitlines() if line.strip())

    def _checked(self, key: str, where: str) -> str:
        return check_secret(key, where=where)
