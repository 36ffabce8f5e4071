"""Error messages for invalid arguments."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from cyclopts import CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

_PROMPT_COMMANDS = ("generate", "submit", "plan", "demo")


def usage_sentence(error: CycloptsError, arguments: Sequence[str]) -> str:
    """Return a sentence about the error in *arguments*, with the command that prints help."""
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
    """Return the words of an unquoted prompt: the one that was parsed as the prompt, and the remaining ones."""
    first = next((word for word in arguments[1:] if not word.startswith("-")), "")
    return [word for word in (first, *unused) if word]
