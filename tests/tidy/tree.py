"""The source tree as data: which files there are, what they say, what they import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("protocol", "storage", "node", "devnet")
# Folders of the root that make keeps to itself.
MADE_BY_TOOLS = frozenset({"build", "dist", "htmlcov"})


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root with slashes, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    def place(self, found: ast.AST) -> str:
        return f"{self.path}:{getattr(found, 'lineno', 1)}"


@cache
def read_sources(*folders: str) -> tuple[Source, ...]:
    """Return every Python file below the folders, sorted by path."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    sources = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        sources.append(Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return tuple(sources)


def read_imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Yield each imported module by its full dotted name, those inside functions too."""
    for found in source.nodes():
        if isinstance(found, ast.Import):
            for alias in found.names:
                yield found, alias.name
        elif isinstance(found, ast.ImportFrom) and found.level == 0:
            yield found, found.module or ""


def read_dotted(expression: ast.expr) -> str:
    """Return `a.b.c` for a chain of names, and nothing for any other expression."""
    if isinstance(expression, ast.Name):
        return expression.id
    if isinstance(expression, ast.Attribute):
        inner = read_dotted(expression.value)
        return f"{inner}.{expression.attr}" if inner else ""
    return ""


def read_calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call whose function is a plain or dotted name, with that name."""
    for found in source.nodes():
        if isinstance(found, ast.Call) and (name := read_dotted(found.func)):
            yield found, name
