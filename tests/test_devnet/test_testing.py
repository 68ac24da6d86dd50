"""The pytest plugin: tests of whole networks, run by a pytest within this one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Loaded before a pytest within this one: it forgets what was loaded in it for the first time.
import devnet.testing.run  # noqa: F401
from devnet.bundles.bundle import read_bundle
from devnet.errors import DevnetError
from devnet.functions import find_function, judge, reply, solve_or_echo, write_command
from devnet.testing.cast import make_cast
from node.workers.messages import SOLVER
from tests.support.ten_lines import FAULTY, plant_bug, read_first_test, read_ten_lines

pytest_plugins = ("pytester",)


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_inner=text)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:timeout", *options)


@pytest.mark.parametrize("read", [read_first_test, read_ten_lines])
def test_the_tests_of_the_readmes_pass_in_virtual_time(
    pytester: pytest.Pytester, read: Callable[[], str]
) -> None:
    run(pytester, read()).assert_outcomes(passed=1)


def test_a_failure_shows_the_network_and_how_to_repeat_it(pytester: pytest.Pytester) -> None:
    options = ("--devnet-seed=7", "--devnet-bundle=out")
    result = run(pytester, plant_bug(read_ten_lines()), *options)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *assert Decimal('4') == 99",
            "*- devnet -*",
            "seed 7, sim, *",
            "manifest:",
            "  seed = 7",
            "  [[]node.v4[]]",
            "time line, in seconds:",
            "       0.0  start v1",
            "* partition m1 n1 v1 v2 v3 | n2 v4",
            "* heal",
            "nodes:",
            "  peer * state root *",
            "  n2 * observer *",
            "  tasks: 1 completed*",
            "bundle: *.tar.gz",
            "again: pytest *::test_my_miner_survives_a_partition --devnet=sim --devnet-seed=7",
        ]
    )
    (made,) = (pytester.path / "out").iterdir()
    bundle = read_bundle(made)
    assert bundle.summary.again.startswith("pytest ")
    assert {note.state for note in bundle.summary.peers.values()} == {"up"}
    assert [len(by_root) for by_root in bundle.outcome.roots.values()].count(1) >= 3


ROOTS = """
import pytest

@pytest.mark.devnet(nodes=3, seed=5)
async def test_root(devnet):
    await devnet.holds("epoch >= 3")
    status = await devnet["n2"].call("node_status")
    print("ROOT", status["seal_hash"], status["transactions"])
"""


def read_root(pytester: pytest.Pytester, *options: str) -> str:
    result = run(pytester, ROOTS, "-s", *options)
    result.assert_outcomes(passed=1)
    return next(line for line in result.outlines if "ROOT" in line)


def test_one_seed_is_one_run(pytester: pytest.Pytester) -> None:
    first = read_root(pytester)
    assert read_root(pytester) == first
    assert read_root(pytester, "--devnet-seed=5") == first
    assert read_root(pytester, "--devnet-seed=6") != first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("node=3", "unknown argument node, wanted nodes, *did you mean nodes*"),
        ("'three'", "'three'; arguments have names"),
        ("nodes='3'", "found nodes='3', wanted int"),
        ("nodes=-1", "found nodes=-1, wanted 0 or more"),
        ("nodes=3, validators=3, miners=1", "*3 validators and 1 miners*"),
        ("nodes=129", "bad_count*"),
        ("sealers=6", "bad_sealers*"),
        ("params={'epoch': 1}", "unknown_param: found epoch*"),
        ("manifest='three', nodes=3", "found manifest with nodes, wanted the manifest alone"),
        ("manifest='three', seed=1 << 53", "bad_seed*"),
        ("manifest='thre'", "no_manifest*did you mean three*"),
        ("manifest='nets/none.toml'", "no_manifest*nets/none.toml*"),
    ],
)
def test_a_mark_that_cannot_be_meant_is_refused(
    pytester: pytest.Pytester, arguments: str, message: str
) -> None:
    text = f"import pytest\n@pytest.mark.devnet({arguments})\nasync def test_it(devnet): pass\n"
    result = run(pytester, text)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*mark devnet: *{message}*"])


def test_a_test_that_cannot_wait_is_told_so(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(devnet): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_it takes a devnet, so it has to be async"])


def test_an_unknown_provider_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, "", "--devnet=docker")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--devnet*'docker'*"])


FIXTURES = """
import pytest
import trio

pytestmark = pytest.mark.devnet(manifest="nets/two.toml")

@pytest.fixture
async def killed(devnet):
    await devnet.kill("b")
    return devnet["b"]

async def test_fixtures(devnet, node, rpc, killed, devnet_factory):
    assert (node.name, killed.name) == ("a", "b")
    assert (await rpc("a", "node_status"))["epoch"] == (await node.call("node_status"))["epoch"]
    await devnet.start_node(killed)
    await devnet.play()
    other = await devnet_factory(nodes=3)
    assert other.devnet.roster.network != devnet.devnet.roster.network
    await other.pause("n3")
    await other.holds("epoch >= 2 on n1, n2")
    await other.resume("n3")
    await other.converged()
    # Half a minute passes in no time.
    await trio.sleep(30)
    await devnet.holds("epoch >= 30", within=1)

async def test_without_a_network():
    pytest.skip("nothing to see")

async def test_that_cannot_hold(devnet):
    await devnet.holds("epoch >= 1000 or peers == 5 on b", within=3)
"""
TWO = """
[node.a]
[node.b]
[[event]]
do = "restart"
target = ["b"]
at = "1s"
[[check]]
expr = "peers == 1 and epoch >= 2"
"""


def test_the_fixtures_reach_one_network_and_many(pytester: pytest.Pytester) -> None:
    pytester.mkdir("nets").joinpath("two.toml").write_text(TWO)
    result = run(pytester, FIXTURES)
    result.assert_outcomes(passed=1, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["E *AssertionError: not epoch >= 1000*in 3 s: *peers b 1"])


def test_a_scripted_peer_lies_in_virtual_time(pytester: pytest.Pytester) -> None:
    run(pytester, FAULTY).assert_outcomes(passed=1)


def test_tests_of_others_are_left_alone(pytester: pytest.Pytester) -> None:
    text = """
        import pytest

        @pytest.fixture
        def devnet():
            return 3

        @pytest.fixture
        def node(devnet):
            return devnet + 1

        def test_own_fixtures(node, devnet, request):
            assert (node, devnet) == (4, 3)
            assert "devnet_run" not in request.fixturenames
    """
    run(pytester, text, "--strict-markers").assert_outcomes(passed=1)


def test_the_plugin_brings_nothing_along() -> None:
    heavy = "{'trio', 'structlog', 'libp2p', 'rocksdict', 'node', 'protocol'}"
    script = f"import sys, devnet.testing.plugin; print(*sorted({heavy} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_a_function_is_found_again_by_its_command_line() -> None:
    line = write_command(SOLVER, solve_or_echo)
    assert find_function(line) is solve_or_echo
    assert find_function(f"{sys.executable} -P -m node.workers.solver") is None
    assert reply(solve_or_echo, {"type": "task", "kind": "general_task", "input": "a"}) == {
        "type": "answer",
        "output": "a",
    }
    assert judge({"kind": "general_task", "input": "a"}, ["a", "b"])[1][0] == 0


def test_a_function_that_no_program_could_find_is_refused() -> None:
    def inner(task: object) -> str:
        return str(task)

    for function in (inner, lambda task: "", len):
        with pytest.raises(DevnetError, match="bad_worker"):
            write_command(SOLVER, function)


def test_a_network_without_roles_has_the_usual_ones(tmp_path: Path) -> None:
    manifest = make_cast({"nodes": 5}, "sim", 1, tmp_path)
    assert [one.role for one in manifest.node.values()] == ["validator"] * 3 + ["miner"] * 2
