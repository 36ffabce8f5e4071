"""What the check of imports cannot see: names in the code, and what an import brings along."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import happyhorse_async
from happyhorse_async.registry import adapter_names

PACKAGE = Path(happyhorse_async.__file__).parent
PROVIDERS = adapter_names()

# Headers that may be shown in a repr, and the provider that the demo plays unless it is told another.
KNOWN = {
    ("cli/serve_commands.py", "dashscope"),
    ("cli/emulator_cmd.py", "dashscope"),
    ("emulator/faults/refusals.py", "dashscope"),
    ("pytest_plugin.py", "dashscope"),
}

# Each takes longer to load than all the rest, or belongs to tests.
HEAVY = {"aiohttp", "av", "PIL", "pytest", "_pytest", "happyhorse_adapters", "happyhorse_async.testing"}


def code_without_docstrings(file: Path) -> str:
    """Return the code of *file* in lower case, comments included; a docstring may have a provider for its example."""
    text = file.read_text("utf-8")
    lines = text.lower().splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines)


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![a-z]){name}(?![a-z])", text) is not None


def test_the_core_knows_no_provider_by_name() -> None:
    """No code outside of the adapters names a provider, but for what is listed here."""
    code = {file.relative_to(PACKAGE).as_posix(): code_without_docstrings(file) for file in PACKAGE.rglob("*.py")}
    found = {(file, name) for file, text in code.items() for name in PROVIDERS if _names(text, name)}

    assert KNOWN == found


def test_an_import_brings_nothing_heavy_along() -> None:
    """Not even naming the client loads an HTTP library, an adapter, an encoder or anything that is for tests."""
    program = "import sys, happyhorse_async; happyhorse_async.Client; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {".".join(name.split(".")[:depth]) for name in run.stdout.split() for depth in (1, 2)}

    assert "happyhorse_async.client" in loaded
    assert set() == loaded & HEAVY
