"""Configuration files for the tests, and a secret that no output may show."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

SECRET = "sk-never-to-be-seen"


def write(text: str, path: str = "happyhorse.toml") -> Path:
    """Write a configuration file."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))
    return file
