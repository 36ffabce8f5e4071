"""
How far a reader must travel: the functions and files that one `generate` enters, and the size of the classes.

    python tests/test_structure.py      prints the figures

The bounds are loose: they keep the structure from growing unnoticed. Tighten them when the code becomes simpler.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from attrs import define, field

import happyhorse_async as hh

# The goals are 170 functions in 30 files, and 14 attributes. One `generate` enters about 255 functions in 49 files. The
# traces and fields of the log take 15 functions more where another test has configured OpenTelemetry.
MOST_FUNCTIONS = 270
MOST_FILES = 50
MOST_ATTRIBUTES = 14

PACKAGE = Path(hh.__file__).parent
# The emulator plays the provider; it is not part of the path of a client.
_SERVER_SIDE = ("emulator", "emulation", "emulated")
_ANONYMOUS = ("<module>", "<listcomp>", "<genexpr>", "<lambda>", "<dictcomp>", "<setcomp>")


@define
class Trace:
    """The functions of this library that were entered."""

    functions: set[tuple[str, int]] = field(factory=set)
    files: set[str] = field(factory=set)
    changes: int = 0
    """How often the next function was in another file."""
    _last: dict[int, str] = field(factory=dict)

    def start(self) -> None:
        """Record calls in this thread and in new ones."""
        threading.setprofile(self._record)
        sys.setprofile(self._record)

    def stop(self) -> None:
        """Stop recording."""
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def _record(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name in _ANONYMOUS or not _is_client_side(Path(code.co_filename)):
            return
        self.functions.add((code.co_filename, code.co_firstlineno))
        self.files.add(code.co_filename)
        thread = threading.get_ident()
        self.changes += self._last.get(thread, code.co_filename) != code.co_filename
        self._last[thread] = code.co_filename


def _is_client_side(path: Path) -> bool:
    is_ours = "happyhorse_async" in path.parts or "happyhorse_adapters" in path.parts
    return is_ours and not set(_SERVER_SIDE) & set(path.parts)


async def trace_generate(base_url: str, folder: Path) -> Trace:
    """Trace one `generate` with an SQLite store, after one that loads what is loaded lazily."""
    trace = Trace()
    poll = hh.PollSchedule(interval=0.05, first_after=0.02, jitter=0)
    store = hh.SQLiteStore(folder / "jobs.sqlite")
    async with hh.Client("dashscope", api_key="any", base_url=base_url, store=store, poll=poll) as client:
        await client.generate(hh.TextToVideo("a kite", resolution="720P", duration=3))
        trace.start()
        try:
            await client.generate(hh.TextToVideo("a train", resolution="720P", duration=3))
        finally:
            trace.stop()
    return trace


def with_emulator(work: Callable[[str], Trace]) -> Trace:
    """Run *work* with the base URL of an emulator that runs in a thread of its own, which is not traced."""
    started, done = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with hh.Emulator(speed=600) as emulator:
            urls.append(emulator.url("dashscope"))
            started.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(30), "the emulator has not started"
        return work(urls[0])
    finally:
        done.set()
        thread.join()


def traced(folder: Path) -> Trace:
    return with_emulator(lambda base_url: asyncio.run(trace_generate(base_url, folder)))


def attributes_by_class() -> Iterator[tuple[int, str]]:
    """Yield how many instance attributes each class has: fields of attrs, and what `__init__` assigns to `self`."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield len(set(_attributes(node))), f"{file.relative_to(PACKAGE)}: {node.name}"


def _attributes(cls: ast.ClassDef) -> Iterator[str]:
    # Errors, plain figures and vocabularies may have as many fields as they need.
    is_record = any("frozen" in ast.unparse(decorator) for decorator in cls.decorator_list)
    is_attrs = any("define" in ast.unparse(decorator) for decorator in cls.decorator_list)
    for node in cls.body:
        if is_attrs and not is_record and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    yield inner.attr


@pytest.mark.slow
def test_one_generate_enters_a_limited_number_of_functions_and_files(tmp_path: Path) -> None:
    trace = traced(tmp_path)

    assert 100 < len(trace.functions) <= MOST_FUNCTIONS
    assert 20 < len(trace.files) <= MOST_FILES


def test_no_class_has_too_many_attributes() -> None:
    """Records (frozen attrs classes) are not counted: they hold data and no state."""
    too_large = [(count, name) for count, name in attributes_by_class() if count > MOST_ATTRIBUTES]

    assert [] == too_large


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        trace = traced(Path(folder))
    print(
        f"one generate: {len(trace.functions)} functions in {len(trace.files)} files, {trace.changes} changes of file"
    )
    for count, name in sorted(attributes_by_class(), reverse=True)[:10]:
        print(f"{count:3} attributes: {name}")


if __name__ == "__main__":
    main()
