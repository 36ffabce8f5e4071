"""Sentences for arguments that cannot be understood."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from cyclopts import CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

_PROMPT_COMMANDS = ("generate", "submit", "plan", "demo")


def usage_sentence(error: CycloptsError, arguments: Sequence[str]) -> str:
    """Return what is wrong with *arguments* and where help is."""
    command = " ".join(("happyhorse", *(error.command_chain or ())))
    return f"{_problem(error, arguments)} (see {command} --help)"


def _problem(error: CycloptsError, arguments: Sequence[str]) -> str:
    name = error.command_chain[0] if error.command_chain else ""
    match error:
        case UnusedCliTokensError() if name in _PROMPT_COMMANDS:
            words = _words(arguments, error.unused_tokens or [])
            return f"put the prompt in quotes: happyhorse {name} {shlex.quote(' '.join(words))}"
        case UnusedCliTokensError():
            return f"too many arguments: {shlex.join(error.unused_tokens or [])}"
        case UnknownCommandError() if arguments and " " in arguments[0]:
            return f"the command is missing: happyhorse generate {shlex.quote(arguments[0])}"
        case UnknownOptionError() if "--" in arguments:
            return "everything after -- is text: put the options before it"
        case _:
            return str(error)


def _words(arguments: Sequence[str], unused: Sequence[str]) -> list[str]:
    """Return the words of a prompt that was not quoted: the one that was taken for it, and those that were left."""
    first = next((word for word in arguments[1:] if not word.startswith("-")), "")
    return [word for word in (first, *unused) if word]
