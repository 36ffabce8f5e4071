"""What the package offers by name, and that each name is explained."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import types
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise

import attrs
import pytest

import happyhorse_async as hh

CLASSES = [name for name in hh.__all__ if inspect.isclass(getattr(hh, name))]
OTHERS = [name for name in hh.__all__ if not inspect.isclass(getattr(hh, name))]

# Imported when they are needed: by a client, by one that is opened, by the emulator and by the command line.
HEAVY = ("aiohttp", "asyncio", "av", "cattrs", "cyclopts", "email", "happyhorse_async.emulator", "PIL", "rich")


def body_of(thing: type | types.ModuleType) -> list[ast.stmt]:
    """Return the statements of a class or module."""
    tree = ast.parse(inspect.getsource(thing))
    (only,) = tree.body if inspect.isclass(thing) else [tree]
    assert isinstance(only, ast.ClassDef | ast.Module)
    return only.body


def explained(body: list[ast.stmt]) -> set[str]:
    """Return the names in *body* that are assigned and followed by a text."""
    found: set[str] = set()
    for statement, after in pairwise(body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _is_text(after):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def ours(cls: type) -> list[type]:
    """Return *cls* and those of its bases that are this library's."""
    return [base for base in cls.__mro__ if base.__module__.startswith("happyhorse_async")]


def public_members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the methods and properties that a class of ours defines under a public name."""
    for base in ours(cls):
        for name, member in vars(base).items():
            if not name.startswith("_") and isinstance(
                member, types.FunctionType | property | classmethod | staticmethod
            ):
                yield f"{base.__name__}.{name}", member


def test_all_is_sorted() -> None:
    """The list of names is in order and has none twice."""

    assert sorted(set(hh.__all__)) == hh.__all__


def test_all_is_all() -> None:
    """Every name that the package holds is on the list, and every name on the list is there."""
    listed = {name for name in hh.__all__ if getattr(hh, name)}
    held = {
        name
        for name, value in vars(hh).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and name not in ("Any", "TYPE_CHECKING", "annotations")
    }

    assert held == listed


def test_all_errors_are_offered() -> None:
    """No error can be raised that a caller could not catch by a public name."""

    assert set(hh.errors.__all__) <= set(hh.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_explained(name: str) -> None:
    """Every public class says in a text of its own what it is."""
    body = body_of(getattr(hh, name))

    assert _is_text(body[0])


@pytest.mark.parametrize("name", OTHERS)
def test_every_alias_is_explained(name: str) -> None:
    """Every public name that is no class has a text beside it, in the module that defines it."""
    modules = [module for key, module in sys.modules.items() if key.startswith("happyhorse_async.")]

    assert any(name in explained(body_of(module)) for module in modules if hasattr(module, name))


@pytest.mark.parametrize("name", CLASSES)
def test_every_attribute_is_explained(name: str) -> None:
    """Every public attribute of a value, and every word of an enumeration, has a text beside it."""
    cls = getattr(hh, name)
    texts = {text for base in ours(cls) for text in explained(body_of(base))}
    fields = [field.name for field in attrs.fields(cls)] if attrs.has(cls) else []
    words = [word.name for word in cls] if issubclass(cls, Enum) else []

    assert [] == [field for field in [*fields, *words] if not field.startswith("_") and field not in texts]


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_is_explained(name: str) -> None:
    """Every public method and property has a text, its own or that of the method it replaces."""

    assert [] == [member for member, value in public_members(getattr(hh, name)) if not inspect.getdoc(value)]


def test_importing_is_light() -> None:
    """Importing the package loads nothing that only a client, the emulator or the command line needs."""
    code = f"import sys, happyhorse_async; print([name for name in {HEAVY!r} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ("[]\n", "") == (output.stdout, output.stderr)


def test_importing_knows_no_provider() -> None:
    """Importing the package loads no adapter: the core knows none by name."""
    code = (
        "import sys, happyhorse_async; print([name for name in sys.modules if name.startswith('happyhorse_adapters')])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == output.stdout
