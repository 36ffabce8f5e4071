"""
The general help of `happyhorse`.

It is printed without the libraries of the commands, which take ten times as long to load.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping

from .exit_codes import EXIT_CODES

SUMMARY = "Make HappyHorse videos with any of several providers."

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Make videos": {
        "generate": "Submit a request, wait for the video and download it.",
        "batch": "Make the videos of a JSONL file. Run again, it continues and pays nothing twice.",
        "submit": "Submit a request without waiting for the video.",
        "plan": "Show what would be sent, to whom and for how much. Sends nothing.",
        "studio": "Make and watch videos on a web page on this machine.",
    },
    "Continue with a task or job": {
        "status": "Show the current status of a task.",
        "wait": "Wait for a task, and download its video if --output is given.",
        "download": "Download the video of a task that has succeeded.",
        "resume": "Wait for the tasks of earlier runs, and download their videos.",
        "cancel": "Cancel a task at the provider.",
        "resolve": "Resolve a job whose submit has an unknown outcome.",
    },
    "Run": {
        "worker": "Send, poll and save the jobs that other processes have recorded, until stopped.",
    },
    "Show": {
        "list": "List the account's tasks, or the jobs in the journal.",
        "costs": "Show the costs of the jobs in the journal.",
        "providers": "Show what the installed providers support; --check tests the configured accounts.",
        "config": "Show the effective configuration, the journal, and the source of each secret.",
    },
    "Try out and develop, without a key": {
        "demo": "Make a test video with an emulator on this machine: no key, no network, no money.",
        "emulator": "Emulate all providers until Ctrl-C.",
        "callback": "Try out your own webhook endpoint: callback send URL.",
    },
    "Other": {
        "--install-completion": "Install completion for this shell: bash, zsh or fish.",
        "--version": "Print the version.",
        "--help, -h": "Print this help. happyhorse COMMAND --help has the options of a command.",
    },
}
"""The commands in groups, each with its summary."""
GENERAL = {
    "--config FILE": "The configuration file.",
    "--proxy URL": "An HTTP proxy, or env for the proxies of the environment.",
    "--no-store": "Keep no journal.",
    "--json": "Print one JSON object per line.",
    "--verbose, -v": "Show the log.",
}
"""Options that may be written before the command or after it."""


def help_lines() -> Iterator[str]:
    """Yield the help, as wide as the terminal."""
    width = min(shutil.get_terminal_size().columns, 100)
    yield "Usage: happyhorse COMMAND [OPTIONS]"
    yield ""
    yield SUMMARY
    indent = 2 + max(len(name) for names in (*GROUPS.values(), GENERAL) for name in names) + 2
    for title, members in {**GROUPS, "Options of most commands": GENERAL}.items():
        yield ""
        yield f"{title}:"
        for name, summary in members.items():
            yield from textwrap.wrap(
                summary, width, initial_indent=f"  {name}".ljust(indent), subsequent_indent=" " * indent
            )
    yield ""
    yield from textwrap.wrap(EXIT_CODES, width)
