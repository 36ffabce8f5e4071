"""API keys and the secrets of webhooks: where they are read, and what cannot be one. No error shows them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attrs import field, frozen

from ..errors import ConfigurationError
from .structuring import kind_of, looks_secret

_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
# NAME=value; a key itself may hold an equals sign, as base64 does, but has no upper-case name before it.
_NAMED_VALUE = re.compile(
    r"(export\s+|set\s+|\$env:)?([A-Z][A-Z0-9]*(_[A-Z0-9]+)+\s*[=:]|(?i:(\w+[_-])?(api[_-]?)?(key|token|secret))\s*[=:])"
    r"\s*[^\s=]"
)
# A path, the address of an entry in a vault, or the name of an environment variable, where its content was asked for.
_REFERENCE = re.compile(
    r"[a-z][a-z0-9+.-]*://.*|(~|\.{1,2})/.*|/[a-z]+/[a-z][\w./-]*|[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_(KEY|TOKEN|SECRET)"
)
_PYTHON_LITERAL = re.compile(r"[bru]{0,2}(['\"]).*\1", re.IGNORECASE)
_VARIABLE_REFERENCE = re.compile(r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|%\w+%|\{\{.*\}\}|<.*>|\[.*\]", re.DOTALL)
# Three dots are how documentation shortens a key, and are accepted in examples that send nothing.
_PLACEHOLDER = re.compile(
    r"((sk|pk|key|whsec)[-_])?(x{3,}|[*_-]{3,})([-_]x{3,})*"
    r"|(enter|insert|put|paste|replace|add)[-_ ].*"
    r"|.*\byour[-_ ].*(key|secret|token).*|((sk|pk|key|whsec)[-_])?your[-_].*"
    r"|api[-_ ]?key|.*(key|secret|token)[-_ ]here|change[-_ ]?me|to[-_ ]?do|placeholder|none|null|undefined",
    re.IGNORECASE,
)


def check_api_key(key: object, *, where: str) -> str:
    """
    Return *key*, if it can be sent in an HTTP header.

    :param where: where it was found, for the error, which never shows the key.
    :raises ConfigurationError: it is empty, not text, holds spaces, quotes, line ends, control or non-ASCII characters,
        or is a placeholder or `NAME=value` instead of a key.
    """
    text = _check_text(key, "API key", where)
    if text.lower().startswith(("bearer ", "bearer\t")):
        raise ConfigurationError(f"{where}: leave out the word Bearer: only the API key is needed")
    if not all("!" <= character <= "~" for character in text):
        raise ConfigurationError(
            f"{where}: an API key is made of ASCII letters, digits and signs; "
            "this one holds a space, a line break or another character"
        )
    return text


def check_secret(secret: object, *, where: str) -> str:
    """
    Return *secret*, if it can be one that is shared with a provider to sign webhooks.

    :param where: where it was found, for the error, which never shows the secret.
    :raises ConfigurationError: it is empty, not text, has quotes or white space around it, or is a placeholder.
    """
    text = _check_text(secret, "secret", where)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigurationError(f"{where}: the secret is not text in UTF-8")
    return text


def _check_text(value: object, kind: str, where: str) -> str:
    """Check what keys and secrets have in common: the ways in which they are copied badly."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{where}: {_article(kind)} is text, not {kind_of(value)}")
    if not value.strip():
        raise ConfigurationError(f"{where}: the {kind} is empty")
    if value != value.strip("\r\n"):
        raise ConfigurationError(f"{where}: the {kind} has a line break before or after it: remove it")
    if value != value.strip().strip("\ufeff\u200b"):
        raise ConfigurationError(f"{where}: the {kind} holds a space before or after it: remove it")
    # A text may well end in a quoted word.
    is_quoted = value[0] in _QUOTES or (value[-1] in _QUOTES and value.count(value[-1]) == 1)
    if is_quoted or _PYTHON_LITERAL.fullmatch(value):
        raise ConfigurationError(f"{where}: the {kind} has quotation marks around it: remove them")
    if _NAMED_VALUE.match(value):
        raise ConfigurationError(f"{where}: this is NAME=value; only the {kind} itself is expected")
    if value[0] == "{" and value[-1] == "}" and ":" in value:
        raise ConfigurationError(f"{where}: this is JSON; only the {kind} itself is expected")
    if value.endswith(("\\n", "\\r")):
        raise ConfigurationError(
            f"{where}: the {kind} ends with a backslash and a letter for a line break: remove them"
        )
    if _REFERENCE.fullmatch(value):
        raise ConfigurationError(f"{where}: this is where the {kind} can be found; the {kind} itself is expected")
    if _VARIABLE_REFERENCE.fullmatch(value) or _PLACEHOLDER.fullmatch(value):
        raise ConfigurationError(f"{where}: this is a placeholder; put the {kind} itself in its place")
    return value


def without_frames(error: ConfigurationError) -> ConfigurationError:
    """Return *error* without its frames and context: error trackers record the local variables of each frame."""
    error.__context__ = None
    return error.with_traceback(None)


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIOU" else f"a {kind}"


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

        :raises ConfigurationError: there is none, or it cannot be one. No local variable of its frames holds the key.
        """
        try:
            return self._read()
        except ConfigurationError as error:
            refusal = without_frames(error)
        raise refusal

    def _read(self) -> str:
        if self.file is not None:
            return self._checked(self._read_file(self.file), self.where)
        if self.literal is not None:
            return self._checked(self.literal, self.where)
        key = os.environ.get(self.variable or "")
        if not key:
            raise ConfigurationError(f"{self.where}: the environment variable {self._variable()} is not set")
        return self._checked(key, f"{self.where}: the environment variable {self._variable()}")

    def _checked(self, text: str, where: str) -> str:
        return check_api_key(text, where=where)

    def describe(self) -> str:
        """Say where the key comes from and whether it is there, without showing it."""
        if self.literal is not None:
            return "written in the configuration file"
        if self.file is not None:
            return f"file {self.file}" if self.file.is_file() else "file (missing)"
        return f"environment {self._variable()} ({'set' if os.environ.get(self.variable or '') else 'not set'})"

    def _variable(self) -> str:
        # Some write the key itself where the name of the variable was asked for, and many keys would pass for one.
        name = self.variable or ""
        return name if name.isupper() and "_" in name and not looks_secret(name) else "that it names"

    def _read_file(self, file: Path) -> str:
        # The path is not shown: some write the key itself where the name of a file was asked for.
        try:
            text = file.read_text("utf-8-sig").rstrip("\r\n")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(
                f"{self.where}: the file cannot be read ({reason}); a relative path begins at the configuration file"
            ) from None
        except ValueError:
            raise ConfigurationError(f"{self.where}: the file is not text in UTF-8") from None
        return text


@frozen(kw_only=True)
class SecretSource(KeySource):
    """Where the secrets of webhooks are read: one, or several while they are rotated, each on a line of its own."""

    def read_all(self) -> tuple[str, ...]:
        """
        Return the secrets.

        :raises ConfigurationError: there is none, or one of them cannot be a secret.
        """
        return tuple(self.read().splitlines())

    def _checked(self, text: str, where: str) -> str:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise ConfigurationError(f"{where}: the secret is empty")
        return "\n".join(check_secret(line, where=where) for line in lines)
