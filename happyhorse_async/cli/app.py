"""One run of `happyhorse`: arguments in, exit code out."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import CycloptsError

from ..errors import HappyHorseError
from .arguments import asks_for_details, asks_for_json
from .commands import make_app
from .exit_codes import ExitCode, exit_code
from .output import Output, StandardOutputError
from .usage import usage_sentence


def run(words: Sequence[str]) -> int:
    """Run the command that *words* name, which are normalized."""
    # A stream that the shell has closed is None.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        # A prompt or a provider's message may hold characters that the terminal's encoding lacks.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    output = Output(as_json=asks_for_json(words), verbose=asks_for_details(words))
    with output.listening():
        try:
            return _dispatch(words, output)
        except CycloptsError as error:
            output.failure("UsageError", usage_sentence(error, words))
            return ExitCode.BAD_INPUT
        except HappyHorseError as error:
            output.error(error)
            return exit_code(error, sent=output.sent)
        except KeyboardInterrupt:
            output.failure("Interrupted", "interrupted")
            return ExitCode.INTERRUPTED
        except BrokenPipeError:
            output.failure("BrokenPipeError", "the reader of the standard output has gone away")
            _drop_standard_output()
            return ExitCode.UNEXPECTED
        except StandardOutputError as error:
            output.failure("StandardOutputError", str(error))
            _drop_standard_output()
            return ExitCode.FAULT
        except Exception as error:
            output.failure(type(error).__name__, str(error) or "unexpected")
            raise


def _drop_standard_output() -> None:
    # What is left in its buffer would fail once more when the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: Sequence[str], output: Output) -> int:
    command, bound, _ = make_app(output).parse_args(list(words), exit_on_error=False, print_error=False)
    result = command(*bound.args, **bound.kwargs)
    if inspect.iscoroutine(result):
        from .signals import run_interruptibly  # noqa: PLC0415 - asyncio takes long to load, and `--help` needs none

        result = run_interruptibly(result)
    return ExitCode.OK if result is None else ExitCode(result)
