"""
Write `docs/images/cli.svg`: what some commands print on a terminal, in a picture.

Run `python docs/write_screens.py` after the output of a command of `COMMANDS` has changed; `tests/docs/test_screens.py`
holds the picture against a run. The commands are really run, in a pseudo-terminal and an empty folder.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "images" / "cli.svg"
COMMANDS = (
    'happyhorse plan "A cardboard train at night" --resolution 720P --duration 5',
    "happyhorse demo",
)  # fmt: skip
_COLUMNS, _ROWS = 104, 50
# Of a bar, each picture of it replaces the one before, and the result its last one, which is kept here.
_BAR_ENDS = "\x1b[?25h\r\x1b[1A\x1b[2K"
_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A terminal</title>
<desc>@desc@</desc>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def run(command: str, folder: str) -> str:
    """Return what *command* writes to a terminal, with its control sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": folder,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "HAPPYHORSE_PROVIDER": "dashscope",
        "DASHSCOPE_API_KEY": "any",
    }
    shell = ["/bin/sh", "-c", command]
    with subprocess.Popen(  # noqa: S603 - a command of the list above
        shell, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    ) as process:
        os.close(theirs)
        written = b"".join(_read(ours))
    os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{command}: {written.decode()}")
    return written.decode()


def _read(terminal: int) -> Iterable[bytes]:
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says so that the other side is closed.
            return
        if not piece:
            return
        yield piece


def screen(written: str) -> str:
    """Return what stays on the screen, with the colours."""
    lines = written.replace(_BAR_ENDS, "").replace("\r\n", "\n").split("\n")
    last = (re.split(r"\r(?:\x1b\[2K)?", line)[-1] for line in lines)
    return re.sub(r"\x1b\[\?25[lh]", "", "\n".join(last)).rstrip()


def session() -> Text:
    """Run the commands, and return the whole session."""
    parts: list[Text] = []
    with TemporaryDirectory() as folder:
        for command in COMMANDS:
            parts += [Text(f"$ {command}", style="bold green"), Text.from_ansi(screen(run(command, folder))), Text()]
    return Text("\n").join(parts[:-1])


def write() -> None:
    """Write the picture."""
    text = session()
    console = Console(record=True, width=_COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text)
    picture = console.export_svg(title="happyhorse", code_format=_FORMAT, unique_id="cli")
    PICTURE.write_text(picture.replace("@desc@", escape(text.plain)), "utf-8")


if __name__ == "__main__":
    write()
