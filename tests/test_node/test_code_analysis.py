"""The figures of Python sources: counted by hand, taken from whole modules, and never a crash."""

import ast
import json
import sysconfig
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.workers.code_analysis import (
    DEPTH_MAX,
    F_STRING_CHARS_MAX,
    IMPORTS_MAX,
    SOURCE_BYTES_MAX,
    TOKENS_MAX,
    AnalysisError,
    analyse,
    encode_canonical,
)
from node.workers.messages import OUTPUT_BYTES_MAX

LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def compute_complexity(body: str) -> int:
    """Return the complexity of a function of this body."""
    lines = "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
    figures = analyse(f"async def f(a, b, c):\n{lines}\n")
    maximum = figures["complexity"]["maximum"]
    assert isinstance(maximum, int)
    return maximum


def test_a_small_module_is_counted_as_by_hand() -> None:
    source = '''\
"""A module."""
import os.path, json
from collections.abc import Mapping as M
from . import sibling
from .cousin import x

# A comment.
class Shelf:
    """Two lines,
    both are text."""

    def put(self, book):
        if book and book.pages:
            self.books.append(book)

    async def read(self):
        for book in self.books:
            while book.is_open:
                yield book.page
        else:
            return

def main(flag=True if os else False):
    def helper():
        return [x for x in range(3) if x]
    return helper


if __name__ == "__main__":
    main()
'''
    assert analyse(source) == {
        "functions": 4,
        "classes": 1,
        # Shelf.put 3, Shelf.read 3, main 1, helper 3, the module 1 + default of main + last if.
        "complexity": {"total": 13, "maximum": 3, "most_complex": "Shelf.put"},
        "imports": ["collections", "json", "os"],
        "imports_total": 3,
        "longest_function": {"name": "Shelf.read", "lines": 6},
        # 30 lines less 6 blank ones and a comment.
        "lines_of_code": 23,
    }


def test_an_empty_module_has_a_complexity_of_one() -> None:
    assert analyse("") == {
        "functions": 0,
        "classes": 0,
        "complexity": {"total": 1, "maximum": 0, "most_complex": ""},
        "imports": [],
        "imports_total": 0,
        "longest_function": {"name": "", "lines": 0},
        "lines_of_code": 0,
    }


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("pass", 1),
        ("if a: pass", 2),
        ("if a: pass\nelif b: pass\nelse: pass", 3),
        ("return a if b else c", 2),
        ("for x in a: pass\nelse: pass", 2),
        ("async for x in a: pass", 2),
        ("while a: pass\nelse: pass", 2),
        ("try: pass\nexcept A: pass\nexcept B: pass\nelse: pass\nfinally: pass", 3),
        ("try: pass\nexcept* A: pass", 2),
        ("with a: pass", 1),
        ("async with a: pass", 1),
        ("assert a", 2),
        ("assert a and b", 3),
        ("return a and b and c", 3),
        ("return a and b or c", 3),
        ("return not a", 1),
        ("return a < b < c", 1),
        ("return [x for x in a]", 2),
        ("return {x for x in a for y in b if x if y}", 5),
        ("return {x: y for x, y in a}", 2),
        ("return (x async for x in a)", 2),
        ("return lambda x: x if a else b", 2),
        ("match a:\n  case 1: pass\n  case 2: pass\n  case _: pass", 3),
        ("match a:\n  case 1 if b: pass\n  case x: pass", 3),
        ("match a:\n  case x if b: pass", 2),
        ("match a:\n  case 1 | 2: pass\n  case 3 | _: pass", 2),
        ("match a:\n  case [x, y] as z: pass", 2),
        ("class A:\n  x = 1 if a else 2", 2),
        ("def g(x=1 if a else 2): pass", 2),
        ("@(a or b)\ndef g() -> (a or b): pass", 3),
        ("if (x := a): pass", 2),
        ("del a\nraise b\n", 1),
    ],
)
def test_each_decision_counts_as_the_rule_says(body: str, complexity: int) -> None:
    assert compute_complexity(body) == complexity


def test_the_decisions_of_an_inner_function_are_its_own() -> None:
    source = """\
def outer(a):
    if a:
        pass
    def inner(b):
        if b and a:
            pass
        class Deep:
            def method(self):
                return self or a or b
    return inner
"""
    figures = analyse(source)
    assert figures["functions"] == 3
    assert figures["complexity"] == {
        "total": 1 + 2 + 3 + 3,
        "maximum": 3,
        "most_complex": "outer.<locals>.inner",
    }


def test_of_equals_the_first_in_the_text_is_named() -> None:
    source = "class A:\n  def last(self): pass\ndef a(): pass\ndef b():\n  def c(): pass\n"
    figures = analyse(source)
    assert figures["complexity"]["most_complex"] == "A.last"
    assert figures["longest_function"] == {"name": "b", "lines": 2}


def test_a_decorator_is_no_line_of_its_function() -> None:
    assert analyse("@one\n@two\ndef f():\n    pass\n")["longest_function"]["lines"] == 2


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("# only a comment\n\n   \n", 0),
        ("x = 1  # and a comment", 1),
        ("x = (\n    1,\n\n    # why\n    2,\n)\n", 4),
        ('x = """\n\n# text\n"""\n', 4),
        ("x = 1 + \\\n    2\n", 2),
        ("if x:\n    # c\n    pass\n# c", 2),
        ("a = 1; b = 2", 1),
        ("\x0cx = 1\n", 1),
    ],
)
def test_lines_of_code_are_those_with_more_than_blanks_and_comments(
    source: str, lines: int
) -> None:
    assert analyse(source)["lines_of_code"] == lines


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_how_lines_end_makes_no_difference(ending: str) -> None:
    source = 'def f():\n    if x:\n        return """a\nb"""\n\n\ny = 1\n'
    assert analyse(source.replace("\n", ending)) == analyse(source)


def test_a_byte_order_mark_makes_no_difference() -> None:
    assert analyse("\ufeffx = 1") == analyse("x = 1")


def test_many_imports_are_cut_in_their_order_and_counted_in_full() -> None:
    names = [f"m{number:03}" for number in range(IMPORTS_MAX + 10)]
    figures = analyse("import " + ", ".join(reversed(names)))
    assert figures["imports"] == names[:IMPORTS_MAX]
    assert figures["imports_total"] == IMPORTS_MAX + 10


def test_the_largest_analysis_fits_in_an_answer() -> None:
    letter = "\N{CUNEIFORM SIGN A}"
    assert letter.isidentifier()
    assert len(letter.encode()) == 4
    imports = "\n".join(f"import {letter * 90}{number}" for number in range(100))
    source = f"{imports}\ndef {letter * 500}():\n    pass\n"
    assert len(encode_canonical(analyse(source)).encode()) <= OUTPUT_BYTES_MAX


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(:", "not Python: line 2: EOF"),
        ("def f(:)", "not Python: line 1"),
        ("print 'old'", "not Python: line 1"),
        ("x = '''never ends", "not Python"),
        ("if x:\npass", "not Python: line 2"),
        ("if x:\n    y\n  z", "not Python"),
        ("a\0b", "not Python"),
        ("\ud800", "not Python: half of a surrogate"),
        ("x = " + "9" * 10_000, "not Python"),
        ("(" * 5_000 + ")" * 5_000, "not Python"),
        ("x" * (SOURCE_BYTES_MAX + 1), "too large"),
        ("\N{ROCKET}" * (SOURCE_BYTES_MAX // 4 + 1), "too large"),
        ("a;" * (TOKENS_MAX // 2 + 1), "too large"),
        ("f'" + "{a}" * (F_STRING_CHARS_MAX // 3 + 1) + "'", "too large"),
        ("x = " + "not " * 100_000 + "y", "too deep"),
        ("x = " + "-" * 200_000 + "1", "too deep"),
        ("x = y" + ".z" * 100_000, "too deep"),
        ("x = y" + "()" * 100_000, "too deep"),
        ("x = 1" + " + 1" * 90_000, "too deep"),
        ("x = " + "lambda: " * 50_000 + "1", "too deep"),
        ("if a: pass\n" + "elif a: pass\n" * 20_000, "too deep"),
    ],
    ids=lambda value: value[:20],
)
def test_what_has_no_analysis_is_a_clear_error(source: str, reason: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        analyse(source)
    assert str(caught.value).startswith(reason)
    assert len(str(caught.value)) < 300


def test_a_long_chain_of_elif_is_still_analysed() -> None:
    links = DEPTH_MAX - 10
    figures = analyse("if a: pass\n" + "elif a: pass\n" * links)
    assert figures["complexity"]["total"] == links + 2


def test_depth_is_judged_by_the_source_and_not_by_the_stack_of_the_caller() -> None:
    def call_deep(levels: int, source: str) -> str:
        if levels:
            return call_deep(levels - 1, source)
        try:
            return encode_canonical(analyse(source))
        except AnalysisError as error:
            return str(error)

    for source in ("x = y" + ".z" * (DEPTH_MAX - 5), "x = y" + ".z" * DEPTH_MAX):
        assert call_deep(0, source) == call_deep(300, source)


@pytest.mark.parametrize("path", LIBRARY[:: max(1, len(LIBRARY) // 60)], ids=lambda path: path.stem)
def test_whole_modules_of_the_standard_library_are_analysed(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    figures = analyse(source)
    kinds = [type(found) for found in ast.walk(tree)]
    assert figures["functions"] == kinds.count(ast.FunctionDef) + kinds.count(ast.AsyncFunctionDef)
    assert figures["classes"] == kinds.count(ast.ClassDef)
    assert figures["complexity"]["total"] >= figures["functions"] + 1
    assert figures["lines_of_code"] <= len(source.splitlines())
    assert len(encode_canonical(figures).encode()) <= OUTPUT_BYTES_MAX


def test_the_canonical_text_has_sorted_keys_and_no_spaces() -> None:
    text = encode_canonical(analyse("import b, a\ndef ä(): pass"))
    assert text == (
        '{"classes":0,"complexity":{"maximum":1,"most_complex":"ä","total":2},"functions":1,'
        '"imports":["a","b"],"imports_total":2,"lines_of_code":2,'
        '"longest_function":{"lines":1,"name":"ä"}}'
    )
    assert encode_canonical(json.loads(text)) == text


# Small sources: a list of statements, each of which is so many lines, decisions and functions.
simple = st.sampled_from(
    [
        ("x = 1", 0, 0),
        ("x = a if b else c", 1, 0),
        ("x = a and b", 1, 0),
        ("assert x", 1, 0),
        ("x = [y for y in z if y]", 2, 0),
        ("import os", 0, 0),
    ]
)
Piece = tuple[str, int, int]


def indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def nest(inner: st.SearchStrategy[Piece]) -> st.SearchStrategy[Piece]:
    bodies = st.lists(inner, min_size=1, max_size=3)
    heads = st.sampled_from(
        [
            ("if a:", 1, 0),
            ("for x in a:", 1, 0),
            ("while a or b:", 2, 0),
            ("with a:", 0, 0),
            ("class A:", 0, 0),
            ("def f():", 0, 1),
            ("async def g(x):", 0, 1),
        ]
    )
    return st.builds(
        lambda head, body: (
            "\n".join([head[0], *(indent(one[0]) for one in body)]),
            head[1] + sum(one[1] for one in body),
            head[2] + sum(one[2] for one in body),
        ),
        heads,
        bodies,
    )


pieces = st.recursive(simple, nest, max_leaves=12)


@given(st.lists(pieces, max_size=5))
def test_every_decision_belongs_to_exactly_one_function_or_to_the_module(
    program: list[Piece],
) -> None:
    source = "\n".join(one[0] for one in program)
    figures = analyse(source)
    functions = sum(one[2] for one in program)
    assert figures["functions"] == functions
    assert figures["complexity"]["total"] == 1 + functions + sum(one[1] for one in program)
    assert figures["lines_of_code"] == len(source.splitlines())


@given(st.lists(pieces, min_size=1, max_size=3))
def test_comments_and_blank_lines_change_no_figure_but_the_length_of_functions(
    program: list[Piece],
) -> None:
    source = "\n".join(one[0] for one in program)
    spaced = "\n# note\n\n".join(source.splitlines())
    plain, commented = analyse(source), analyse(spaced)
    del plain["longest_function"], commented["longest_function"]
    assert plain == commented


@given(st.text(max_size=60))
def test_any_text_has_figures_or_a_clear_error(source: str) -> None:
    with suppress(AnalysisError):
        assert analyse(source)["complexity"]["total"] >= 1
