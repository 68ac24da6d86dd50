"""The shape of the code, tested like its behaviour: what each floor may contain, and may not."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.tidy.tree import (
    FLOORS,
    MADE_BY_TOOLS,
    ROOT,
    Source,
    read_calls,
    read_dotted,
    read_imports,
    read_sources,
)

FILE_LINES_MAX = 400

# Files that may catch whatever comes, each with the reason. A handler that ends in a bare `raise`
# catches nothing and needs no entry.
BULKHEADS: dict[str, str] = {
    "devnet/functions.py": "one task of somebody's function: what it raises refuses the task",
    "devnet/sim/run.py": "one simulated run: whatever breaks in it is what was looked for",
    "node/rpc/bulkhead.py": "one request: a mistake in answering it ends it alone",
    "node/transport/contexts.py": "carries an error past nurseries and raises it again",
    "node/transport/libp2p_guards.py": "whatever an attack raises, a guard is broken",
    "node/transport/libp2p_host.py": "one stream: a peer's bytes end his stream, never the node",
    "node/transport/libp2p_pubsub.py": "one peer's gossip: beneath are protobuf and key parsing",
    "node/transport/libp2p_streams.py": "one stream, before its protocol is agreed",
    "node/transport/libp2p_swarm.py": "one connection, before anybody has proved who he is",
    "node/transport/libp2p_yamux.py": "one connection's frames",
    "node/transport/memory.py": "one stream, as with libp2p",
    "storage/rocks.py": "rocksdict raises plain Exception; each is translated, its cause kept",
}

# Files whose work is to speak to a person or through a pipe.
PRINTERS = ("node/cli*", "node/cli/*", "node/workers/*", "devnet/*")

# What the ground floor may use beside the standard library.
GROUND_LIBRARIES = frozenset({"blake3", "cbor2", "nacl"})

# Exact functions on integers; everything else in `math` makes floats.
EXACT_MATH = frozenset({"math.comb", "math.factorial", "math.gcd", "math.isqrt", "math.lcm"})

WALL_CLOCK_READS = frozenset(
    {
        "time.time",
        "time.time_ns",
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "date.today",
        "datetime.date.today",
    }
)


# Each with one letter in brackets, so that this line is not found itself.
LEFT_FOR_LATER = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b")


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def is_set(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Set | ast.SetComp) or (
        isinstance(expression, ast.Call) and read_dotted(expression.func) in {"set", "frozenset"}
    )


def read_caught(handler: ast.ExceptHandler) -> list[str]:
    """Return the names of the classes that a handler catches; none for a bare one."""
    if handler.type is None:
        return []
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [read_dotted(one).rpartition(".")[2] for one in caught]


def find_broad_catches(source: Source) -> Iterator[str]:
    """Yield each place that swallows exceptions it cannot know."""
    for found in source.nodes():
        if isinstance(found, ast.ExceptHandler):
            caught = read_caught(found)
            broad = not caught or not {"Exception", "BaseException"}.isdisjoint(caught)
            last = found.body[-1]
            passes_on = isinstance(last, ast.Raise) and last.exc is None
            if broad and not passes_on:
                yield source.place(found)
    for call, name in read_calls(source):
        suppressed = {read_dotted(one) for one in call.args} if name.endswith("suppress") else set()
        if not {"Exception", "BaseException"}.isdisjoint(suppressed):
            yield source.place(call)


def test_the_four_packages_load_from_this_tree() -> None:
    for floor in FLOORS:
        where = importlib.import_module(floor).__file__
        assert where is not None, f"{floor} is a folder without __init__.py"
        assert Path(where).resolve() == ROOT / floor / "__init__.py", f"{floor} is a stranger"


def test_no_other_distribution_installs_a_package_of_our_names() -> None:
    owners = packages_distributions()
    strangers = {floor: owners.get(floor, []) for floor in (*FLOORS, "tests")}
    assert all(set(names) <= {"minesync"} for names in strangers.values()), strangers


def test_no_test_folder_shadows_a_package() -> None:
    folders = [path for path in (ROOT / "tests").rglob("*") if path.is_dir()]
    assert [path for path in folders if path.name in FLOORS] == []


def test_every_folder_of_source_is_a_package() -> None:
    folders = {Path(source.path).parent for source in read_sources(*FLOORS, "tests")}
    assert [
        str(path) for path in sorted(folders) if not (ROOT / path / "__init__.py").exists()
    ] == []


def test_the_root_holds_no_other_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("[!.]*/__init__.py")} - MADE_BY_TOOLS
    assert packages == {*FLOORS, "tests"}
    assert [path.name for path in ROOT.glob("*.py")] == []


def test_no_source_file_is_empty_or_longer_than_the_limit() -> None:
    lengths = {source.path: len(source.text.splitlines()) for source in read_sources(*FLOORS)}
    assert {path: n for path, n in lengths.items() if not 1 <= n <= FILE_LINES_MAX} == {}


def test_every_file_opens_with_one_sentence_about_what_it_owns() -> None:
    without = []
    for source in read_sources(*FLOORS, "tests"):
        docstring = ast.get_docstring(source.tree)
        if not docstring or not docstring.splitlines()[0].strip():
            without.append(source.path)
    assert without == []


def test_imports_are_absolute() -> None:
    relative = [
        source.place(found)
        for source in read_sources(*FLOORS, "tests")
        for found in source.nodes()
        if isinstance(found, ast.ImportFrom) and found.level > 0
    ]
    assert relative == []


def test_the_ground_floor_uses_three_libraries_and_no_more() -> None:
    allowed = GROUND_LIBRARIES | {"protocol"} | sys.stdlib_module_names
    foreign = [
        f"{source.place(found)} {name}"
        for source in read_sources("protocol")
        for found, name in read_imports(source)
        if name.partition(".")[0] not in allowed
    ]
    assert foreign == []


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("rocksdict", ("storage/rocks.py", "tests/benchmarks/contenders.py")),
        ("libp2p", ("node/transport/libp2p*.py", "tests/wire/*.py")),
        ("multiaddr", ("node/transport/libp2p*.py", "tests/wire/*.py")),
    ],
)
def test_a_library_of_many_pitfalls_has_one_home(library: str, homes: tuple[str, ...]) -> None:
    outside = [
        source.place(found)
        for source in read_sources(*FLOORS, "tests")
        for found, name in read_imports(source)
        if name.partition(".")[0] == library and not matches(source.path, homes)
    ]
    assert outside == []


def test_nothing_awaits_below_the_node() -> None:
    waits = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    found_in = [
        source.place(found)
        for source in read_sources("protocol", "storage")
        for found in source.nodes()
        if isinstance(found, waits)
    ]
    assert found_in == []


def test_the_ground_floor_computes_with_integers_only() -> None:
    broken = []
    for source in read_sources("protocol"):
        for found in source.nodes():
            is_float = isinstance(found, ast.Constant) and isinstance(found.value, float | complex)
            divides = isinstance(found, ast.BinOp | ast.AugAssign) and isinstance(found.op, ast.Div)
            if is_float or divides:
                broken.append(source.place(found))
        for call, name in read_calls(source):
            if name in {"float", "complex"} or (
                name.startswith("math.") and name not in EXACT_MATH
            ):
                broken.append(source.place(call))
    assert broken == []


def test_the_ground_floor_depends_on_no_order_that_python_picks() -> None:
    broken = []
    for source in read_sources("protocol"):
        broken += [source.place(call) for call, name in read_calls(source) if name == "hash"]
        for found in source.nodes():
            if isinstance(found, ast.For | ast.comprehension) and is_set(found.iter):
                broken.append(source.place(found.iter))
    assert broken == []


def test_wall_time_is_read_in_one_file() -> None:
    reads = [
        f"{source.place(call)} {name}"
        for source in read_sources("protocol", "storage", "node")
        for call, name in read_calls(source)
        if name in WALL_CLOCK_READS and source.path != "node/clock.py"
    ]
    assert reads == []


def test_randomness_has_a_seed_or_a_purpose() -> None:
    # random.Random(seed) repeats, os.urandom and secrets make keys; the module's own generator
    # does neither.
    unseeded = [
        f"{source.place(call)} {name}"
        for source in read_sources(*FLOORS, "tests")
        for call, name in read_calls(source)
        if (name.startswith("random.") and name not in {"random.Random", "random.SystemRandom"})
        or (name == "random.Random" and not call.args)
    ]
    assert unseeded == []


def test_only_bulkheads_catch_everything() -> None:
    places = [
        place
        for source in read_sources(*FLOORS)
        if source.path not in BULKHEADS
        for place in find_broad_catches(source)
    ]
    assert places == []


def test_every_bulkhead_on_the_list_is_one() -> None:
    real = {source.path for source in read_sources(*FLOORS) if any(find_broad_catches(source))}
    assert sorted(BULKHEADS.keys() - real) == []
    assert all(BULKHEADS.values())


def is_raised_again(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler only lets the error through, past a broader one below it."""
    return len(handler.body) == 1 and ast.dump(handler.body[0]) == ast.dump(ast.Raise())


def test_nobody_catches_a_broken_invariant() -> None:
    caught = [
        source.place(found)
        for source in read_sources(*FLOORS)
        for found in source.nodes()
        if isinstance(found, ast.ExceptHandler)
        and not {"InvariantBroken", "AssertionError"}.isdisjoint(read_caught(found))
        and not is_raised_again(found)
    ]
    assert caught == []


def test_no_module_keeps_a_global_that_changes() -> None:
    changed = [
        source.place(found)
        for source in read_sources(*FLOORS)
        for found in source.nodes()
        if isinstance(found, ast.Global)
    ]
    assert changed == []


def test_only_the_command_line_and_its_kin_print() -> None:
    prints = [
        source.place(call)
        for source in read_sources(*FLOORS)
        for call, name in read_calls(source)
        if name == "print" and not matches(source.path, PRINTERS)
    ]
    assert prints == []


def test_no_variable_takes_the_name_of_a_package() -> None:
    taken = []
    for source in read_sources(*FLOORS, "tests"):
        # A field of a class hides nothing.
        fields = {
            id(target)
            for found in source.nodes()
            if isinstance(found, ast.ClassDef)
            for statement in found.body
            for target in ast.walk(statement)
            if isinstance(statement, ast.AnnAssign | ast.Assign)
        }
        for found in source.nodes():
            bound = (
                found.arg
                if isinstance(found, ast.arg)
                else found.id
                if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store)
                else ""
            )
            if bound in {"protocol", "storage", "node"} and id(found) not in fields:
                taken.append(f"{source.place(found)} {bound}")
    assert taken == []


def test_nothing_is_left_for_later() -> None:
    folders = (ROOT, *(ROOT / floor for floor in FLOORS))
    texts = {source.path: source.text for source in read_sources(*FLOORS, "tests")}
    texts |= {str(path): path.read_text() for folder in folders for path in folder.glob("*.md")}
    left = [
        f"{path}:{number}"
        for path, text in sorted(texts.items())
        for number, line in enumerate(text.splitlines(), start=1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert left == []


def test_no_code_sleeps_in_real_time() -> None:
    # Blocking the loop stalls every task of a peer, and a test waits for a condition instead.
    sleeps = [
        source.place(call)
        for source in read_sources(*FLOORS, "tests")
        for call, name in read_calls(source)
        if name == "time.sleep"
    ]
    assert sleeps == []


def test_no_test_takes_the_nursery_fixture() -> None:
    # It is cancelled when the test function returns, so a test that forgot to wait would pass.
    takers = [
        source.place(found)
        for source in read_sources("tests")
        for found in source.nodes()
        if isinstance(found, ast.AsyncFunctionDef | ast.FunctionDef)
        and found.name.startswith("test_")
        and any(one.arg == "nursery" for one in found.args.args)
    ]
    assert takers == []


def test_every_file_of_a_kind_is_registered_under_its_name() -> None:
    # Imported here: a rule that does not load must fail one test, not hide all the others.
    from protocol import kinds

    files = {path.stem for path in (ROOT / "protocol" / "kinds").glob("*.py")} - {"__init__"}
    registered = [kind.name for kind in kinds.ALL]
    assert sorted(registered) == sorted(files)
    assert len({kind.code for kind in kinds.ALL}) == len(kinds.ALL)


def test_the_command_line_answers_without_loading_the_network() -> None:
    # libp2p alone takes a second to import; `minesync --help` and every RPC call would wait for it.
    script = "import sys, node.cli; print(*sorted({'libp2p', 'rocksdict'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr
