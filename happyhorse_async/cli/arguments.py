"""Normalizes the arguments: options before the command, and `help`."""

from __future__ import annotations

from collections.abc import Sequence

_FLAGS = ("--json", "--verbose", "-v", "--no-store")
_WITH_VALUE = ("--config", "--proxy")
_OWN_OPTIONS = ("--version", "--help", "-h", "--install-completion")


def normalized(arguments: Sequence[str]) -> list[str]:
    """
    Move options before the command behind it, and read `help COMMAND` as `COMMAND --help`.

    `-o -` becomes `--output=-`: by itself, a hyphen would be taken for another option.
    """
    rest = _joined(list(arguments))
    options: list[str] = []
    while rest:
        taken = _length_of_option(rest)
        if not taken:
            break
        options += rest[:taken]
        del rest[:taken]
    if rest[:1] == ["help"]:
        return [*rest[1:2], "--help"]
    if not rest or rest[0] in _OWN_OPTIONS:
        return rest
    # The only command with subcommands.
    words = 2 if rest[0] == "callback" else 1
    return [*rest[:words], *options, *rest[words:]]


def _joined(words: list[str]) -> list[str]:
    joined: list[str] = []
    for word in words:
        if word == "-" and joined[-1:] and joined[-1] in ("-o", "--output") and "--" not in joined:
            joined[-1] = "--output=-"
        else:
            joined.append(word)
    return joined


def _length_of_option(words: Sequence[str]) -> int:
    if words[0] in _FLAGS or words[0].startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
        return 1
    return 2 if words[0] in _WITH_VALUE and len(words) > 1 else 0


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether normalized arguments ask for the general help."""
    return not words or words[0] in ("--help", "-h")


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether the output is to be JSON, even if the arguments are wrong."""
    return "--json" in _options(arguments)


def asks_for_details(arguments: Sequence[str]) -> bool:
    """Return whether the log is to be shown."""
    return any(word in ("-v", "--verbose") for word in _options(arguments))


def _options(arguments: Sequence[str]) -> Sequence[str]:
    # Everything after a double dash is text.
    return arguments[: arguments.index("--")] if "--" in arguments else arguments
