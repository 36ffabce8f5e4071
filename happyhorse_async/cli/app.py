"""One run of `happyhorse`: arguments in, exit code out."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import CycloptsError

from ..errors import HappyHorseError
from .commands import make_app
from .exit_codes import ExitCode, exit_code
from .output import Output
from .signals import run_interruptibly


def run(arguments: Sequence[str]) -> int:
    """Run the command that *arguments* name."""
    for stream in (sys.stdout, sys.stderr):
        # A prompt or a provider's message may hold what the terminal's encoding has no character for.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    output = Output(as_json="--json" in arguments)
    with output.listening():
        try:
            return _dispatch(arguments, output)
        except CycloptsError as error:
            output.failure("UsageError", f"{error} (see happyhorse --help)")
            return ExitCode.BAD_INPUT
        except HappyHorseError as error:
            output.error(error)
            return exit_code(error, sent=output.sent)
        except (asyncio.CancelledError, KeyboardInterrupt):
            output.failure("Interrupted", "interrupted")
            return ExitCode.INTERRUPTED
        except BrokenPipeError:
            output.failure("BrokenPipeError", "nobody reads the standard output any more")
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.UNEXPECTED
        except Exception as error:
            output.failure(type(error).__name__, str(error) or "unexpected")
            raise


def _dispatch(arguments: Sequence[str], output: Output) -> int:
    command, bound, _ = make_app(output).parse_args(list(arguments), exit_on_error=False, print_error=False)
    result = command(*bound.args, **bound.kwargs)
    if inspect.iscoroutine(result):
        result = run_interruptibly(result)
    return ExitCode.OK if result is None else ExitCode(result)
