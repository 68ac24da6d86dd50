"""The documents say what is there: paths, modules, make targets, and not too much of it."""

import re
from pathlib import Path

import pytest

from tests.tidy.tree import FLOORS, ROOT

README_LINES_MAX = 70
FLOOR_READMES = tuple(f"{floor}/README.md" for floor in FLOORS)
DOCUMENTS = ("README.md", "ARCHITECTURE.md", *FLOOR_READMES)
PACKAGES = (*FLOORS, "tests")

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"\.?[\w*-][\w.*-]*(/[\w.*-]+)*/?")
FILE_ENDINGS = (".py", ".md", ".toml", ".txt", ".json")
MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+")
MAKE_CALL = re.compile(r"\bmake ([a-z]+)")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def read_document(name: str) -> str:
    path = ROOT / name
    assert path.is_file(), f"{name} is missing"
    return path.read_text(encoding="utf-8")


def read_spans(text: str) -> list[str]:
    """Return what stands between single backticks, fenced blocks left out."""
    return SPAN.findall(FENCE.sub("", text))


def is_path(span: str) -> bool:
    """Tell whether a span means a file or folder of ours; a protocol id or a type does not."""
    if PATH.fullmatch(span) is None:
        return False
    first = span.partition("/")[0]
    return span.endswith(FILE_ENDINGS) or ("/" in span and (ROOT / first).is_dir())


def find_path(span: str, document: str) -> bool:
    """Look from the root and from the document's folder; a bare file name may lie anywhere."""
    bases = (ROOT, (ROOT / document).parent)
    wanted = span.rstrip("/")
    if any(any(base.glob(wanted)) for base in bases):
        return True
    return "/" not in span and any(any((ROOT / package).rglob(span)) for package in PACKAGES)


def find_module(dotted: str) -> bool:
    """Follow a dotted name down folders and files; what is left must occur in the last file."""
    where, rest = ROOT, dotted.split(".")
    while rest and (where / rest[0]).is_dir():
        where, rest = where / rest[0], rest[1:]
    file = where / "__init__.py"
    if rest and (where / f"{rest[0]}.py").is_file():
        file, rest = where / f"{rest[0]}.py", rest[1:]
    return not rest or (file.is_file() and rest[0] in file.read_text(encoding="utf-8"))


def read_targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_there_and_has_a_title(name: str) -> None:
    assert read_document(name).startswith("# ")


def test_the_first_document_is_short() -> None:
    assert len(read_document("README.md").splitlines()) <= README_LINES_MAX


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_in_a_document_exists(name: str) -> None:
    spans = read_spans(read_document(name))
    assert [span for span in spans if is_path(span) and not find_path(span, name)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_module_in_a_document_exists(name: str) -> None:
    spans = [span.removesuffix("()") for span in read_spans(read_document(name))]
    modules = [span for span in spans if MODULE.fullmatch(span) and not span.endswith(FILE_ENDINGS)]
    assert [dotted for dotted in modules if not find_module(dotted)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_in_a_document_exists(name: str) -> None:
    text = read_document(name)
    code = "\n".join([*FENCE.findall(text), *read_spans(text)])
    assert set(MAKE_CALL.findall(code)) - read_targets() == set()


def test_the_architecture_speaks_of_every_floor() -> None:
    text = read_document("ARCHITECTURE.md")
    assert [floor for floor in FLOORS if f"{floor}/" not in text] == []


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("protocol/errors.py", True),
        ("protocol/", True),
        ("tests/*/__init__.py", True),
        ("errors.py", True),
        (".ci/run", True),
        ("/minesync/sync/1", False),
        ("minesync/tx/1", False),
        ("Rejected", False),
        ("make test", False),
    ],
)
def test_the_tidy_check_knows_a_path_when_it_sees_one(span: str, expected: bool) -> None:
    assert is_path(span) is expected
    assert not expected or find_path(span, "README.md")


def test_the_tidy_check_misses_what_is_missing() -> None:
    assert not find_path("protocol/no_such_file.py", "README.md")
    assert not find_path("no_such_file.py", "README.md")
    assert not find_module("protocol.no_such_module")
    assert not find_module("protocol.errors.NoSuchName")
    assert find_module("protocol.errors.Rejected")
    assert Path(ROOT / "pyproject.toml").is_file()
