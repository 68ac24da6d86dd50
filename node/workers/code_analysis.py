"""What the example solver answers and the example scorer recomputes: figures about a Python source.

A pure function of the text: nothing is imported or run, and the same text gives the same figures on
every machine whose Python can parse it.

Cyclomatic complexity, after McCabe: 1 + the number of decisions. A decision is each of
    if, elif, the conditional expression     1       for, async for, while           1
    except, except*                          1       assert                          1
    and, or                                  1 for each operator
    a comprehension                          1 for each `for`, 1 for each `if`
    case                                     1 unless it always matches; 1 more for its guard
`else`, `finally`, `with` and `try` decide nothing. A function owns the decisions of its body with
its lambdas and classes, without its inner functions, which own theirs; decorators, defaults and
annotations belong to where the function is defined. The module owns what is outside of functions.
"""

import ast
import io
import json
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SOURCE_BYTES_MAX = 1 << 20
DEPTH_MAX = 1_000
"""Levels of the syntax tree. CPython's own limit is a few thousand and depends on its caller's
depth; below this one the outcome depends on the source alone."""
TOKENS_MAX = 400_000
"""A mebibyte of code that people write has 250,000; parsing this many takes some 400 MiB."""
F_STRING_CHARS_MAX = 1 << 16
"""Of one f-string: before 3.12 the parser's time grows with the square of its length."""
IMPORTS_MAX = 64
MODULE_CHARS_MAX = 40
NAME_CHARS_MAX = 100
"""With these three the text of an analysis stays below 12 KiB, in letters of four bytes too."""

_TOO_DEEP = f"too deep: more than {DEPTH_MAX} levels"
_SILENT_TOKENS = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)
_ONE_DECISION = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
)


class AnalysisError(ValueError):
    """The text has no analysis; the message says why."""


@dataclass(slots=True)
class _Unit:
    """A function, or the module itself."""

    name: str
    first_line: int
    lines: int
    complexity: int = 1


def analyse(source: str) -> dict[str, Any]:
    """Return the figures of a Python source, at most `SOURCE_BYTES_MAX` bytes of UTF-8.

    functions         how many, methods, inner and async ones included; lambdas are none
    classes           how many
    complexity        total: of all functions and the module; maximum: of one function, 0 without
                      any; most_complex: its qualified name, the first of several, "" without any
    imports           top-level modules named by absolute imports, unique, sorted by code point,
                      the first `IMPORTS_MAX` of them; imports_total: how many there are
    longest_function  lines from `def` to the end, 0 without any, and name, as above
    lines_of_code     lines that hold more than blanks and comments; every line of a string counts

    Names longer than `NAME_CHARS_MAX` characters (modules: `MODULE_CHARS_MAX`) are cut to that.

    Raises:
        AnalysisError: the source is too large, too deeply nested, or not Python.
    """
    text = _prepare(source)
    lines_of_code = _count_lines_of_code(text)
    tree = _parse(text)
    units, classes, modules = _survey(tree)
    functions = units[1:]
    complex_first = sorted(functions, key=lambda unit: (-unit.complexity, unit.first_line))
    long_first = sorted(functions, key=lambda unit: (-unit.lines, unit.first_line))
    return {
        "functions": len(functions),
        "classes": classes,
        "complexity": {
            "total": sum(unit.complexity for unit in units),
            "maximum": complex_first[0].complexity if functions else 0,
            "most_complex": complex_first[0].name[:NAME_CHARS_MAX] if functions else "",
        },
        "imports": [name[:MODULE_CHARS_MAX] for name in sorted(modules)[:IMPORTS_MAX]],
        "imports_total": len(modules),
        "longest_function": {
            "name": long_first[0].name[:NAME_CHARS_MAX] if functions else "",
            "lines": long_first[0].lines if functions else 0,
        },
        "lines_of_code": lines_of_code,
    }


def encode_canonical(value: object) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces. Equal values hash equally."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _prepare(source: str) -> str:
    """Check the size and make every line end in one `\\n`, as the parser does."""
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise AnalysisError("not Python: half of a surrogate pair") from error
    if size > SOURCE_BYTES_MAX:
        raise AnalysisError(f"too large: {size} bytes, at most {SOURCE_BYTES_MAX}")
    return source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _count_lines_of_code(text: str) -> int:
    """Count them, and stop before the parser at what would cost it too much."""
    lines: set[int] = set()
    for number, token in enumerate(_tokens(text), start=1):
        if number > TOKENS_MAX:
            raise AnalysisError(f"too large: more than {TOKENS_MAX} tokens")
        if token.type == tokenize.STRING and len(token.string) > F_STRING_CHARS_MAX:
            prefix = token.string[:2].partition(token.string[-1])[0]
            if "f" in prefix.lower():
                raise AnalysisError(f"too large: an f-string above {F_STRING_CHARS_MAX} characters")
        if token.type not in _SILENT_TOKENS:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
    except tokenize.TokenError as error:
        reason, (line, _) = error.args
        raise AnalysisError(f"not Python: line {line}: {reason}") from error
    except SyntaxError as error:
        raise AnalysisError(f"not Python: line {error.lineno}: {error.msg}") from error


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # An odd escape in somebody's string literal is no news.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (RecursionError, MemoryError) as error:
        raise AnalysisError(_TOO_DEEP) from error
    except SyntaxError as error:
        place = f"line {error.lineno}: " if error.lineno else ""
        raise AnalysisError(f"not Python: {place}{error.msg}") from error
    except ValueError as error:
        raise AnalysisError(f"not Python: {error}") from error


def _survey(tree: ast.Module) -> tuple[list[_Unit], int, set[str]]:
    """Walk the tree once; return the units, the module first, the classes and the modules named.

    By a stack of its own rather than by recursion, so that depth is a figure and no crash.
    """
    module = _Unit("", 0, 0)
    units = [module]
    classes = 0
    modules: set[str] = set()
    stack: list[tuple[ast.AST, _Unit, str, int]] = [(tree, module, "", 1)]
    while stack:
        found, owner, prefix, depth = stack.pop()
        if depth > DEPTH_MAX:
            raise AnalysisError(_TOO_DEEP)
        owner.complexity += _count_decisions(found)
        body: list[ast.stmt] = []
        body_owner, body_prefix = owner, prefix
        match found:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                lines = (found.end_lineno or found.lineno) - found.lineno + 1
                body_owner = _Unit(prefix + found.name, found.lineno, lines)
                body_prefix = f"{prefix}{found.name}.<locals>."
                body = found.body
                units.append(body_owner)
            case ast.ClassDef():
                body_prefix = f"{prefix}{found.name}."
                body = found.body
                classes += 1
            case ast.Import():
                modules.update(alias.name.partition(".")[0] for alias in found.names)
            case ast.ImportFrom(level=0, module=str(name)):
                modules.add(name.partition(".")[0])
        in_body = {id(one) for one in body}
        for one in ast.iter_child_nodes(found):
            if id(one) in in_body:
                stack.append((one, body_owner, body_prefix, depth + 1))
            else:
                stack.append((one, owner, prefix, depth + 1))
    return units, classes, modules


def _count_decisions(found: ast.AST) -> int:
    match found:
        case ast.BoolOp():
            return len(found.values) - 1
        case ast.comprehension():
            return 1 + len(found.ifs)
        case ast.match_case():
            return int(not _matches_always(found.pattern)) + int(found.guard is not None)
        case _:
            return int(isinstance(found, _ONE_DECISION))


def _matches_always(pattern: ast.pattern) -> bool:
    """Tell whether a pattern is `_` or a bare name, alone or as one side of `|` or `as`."""
    match pattern:
        case ast.MatchAs(pattern=None):
            return True
        case ast.MatchAs(pattern=inner) if inner is not None:
            return _matches_always(inner)
        case ast.MatchOr():
            return any(_matches_always(one) for one in pattern.patterns)
        case _:
            return False
