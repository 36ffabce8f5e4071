"""What the tests of the configuration share: a directory in which there is none."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, with nothing of ours in the environment."""
    for name in ("CONFIG", "PROVIDER"):
        monkeypatch.delenv(f"HAPPYHORSE_{name}", raising=False)
    for name in ("DASHSCOPE", "HIAPI", "IMINI", "NEXUSFLOW"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
