"""Defences taken away, one at a time: what shows that a check would notice their loss."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import pytest

from protocol.fold import Change
from storage.commit import CacheUpdate, stage_changes
from storage.engine import Batch
from storage.indexes import INDEX_TABLE


def remove_check(patch: pytest.MonkeyPatch, function: Callable[..., Any], *marks: str) -> None:
    """Take an `if` out of a function of the product for each mark: the innermost that contains it.

    What the function is elsewhere known by, and all the rest of it, stays as it is.
    """
    assert isinstance(function, FunctionType)
    tree: ast.AST = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for mark in marks:
        checks = [
            found
            for found in ast.walk(tree)
            if isinstance(found, ast.If) and mark in ast.unparse(found)
        ]
        assert checks, f"{function.__qualname__} has no check with {mark!r}"
        innermost = min(checks, key=lambda check: len(ast.unparse(check)))
        tree = _Without(innermost).visit(tree)
    assert isinstance(tree, ast.Module)
    namespace = dict(function.__globals__)
    code = compile(tree, inspect.getfile(function), "exec")
    exec(code, namespace)
    patch.setattr(function, "__code__", namespace[function.__name__].__code__)


class _Without(ast.NodeTransformer):
    """Puts `pass` where one statement stood."""

    def __init__(self, statement: ast.If) -> None:
        self._statement = statement

    def visit_If(self, found: ast.If) -> ast.stmt:
        if found is self._statement:
            return ast.copy_location(ast.Pass(), found)
        self.generic_visit(found)
        return found


def stage_without_deletes(batch: Batch, changes: Iterable[Change]) -> tuple[list[CacheUpdate], int]:
    """Stage changes, but forget to delete the index keys that a row no longer asks for."""
    staged = Batch()
    told = stage_changes(staged, changes)
    for table, key, value in staged.operations:
        if value is not None:
            batch.put(table, key, value)
        elif table != INDEX_TABLE:
            batch.delete(table, key)
    return told


def split(batch: Batch) -> tuple[Batch, Batch]:
    """Return the first and the second half of a batch."""
    halves = Batch(), Batch()
    middle = len(batch) // 2
    halves[0].operations, halves[1].operations = (
        batch.operations[:middle],
        batch.operations[middle:],
    )
    return halves


def join_by_colons(*parts: int | bytes | str) -> bytes:
    """Return a key as the founding document made it: text, joined by ':'."""
    pieces = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"".join(piece + b":" for piece in pieces)


def read_after_colons(key: bytes) -> tuple[bytes]:
    """Return the primary key (32 bytes) at the end of a key joined by ':'."""
    return (key[-33:-1],)
