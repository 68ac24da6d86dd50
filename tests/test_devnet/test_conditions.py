"""The language of conditions: what it can say, where it stumbles, and what is judged of it."""

from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from devnet.checks import CHECKS, Survey
from devnet.conditions import (
    DEPTH_MAX,
    FACTS,
    FIELDS,
    OPERATORS,
    QUANTITIES,
    SURVEYED,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    ConditionError,
    Equality,
    Fact,
    Not,
    list_leaves,
    parse_condition,
)
from devnet.facts import Facts, Finding, judge, look, sum_metric, wait_for
from devnet.founding import found_devnet
from node.rpc.client import RpcError
from tests.test_devnet.fakes import FakeCluster, FakeRemote, make_status

EPOCH = Comparison("epoch", ">=", 3.0)
THREE_ON_TWO = Comparison("epoch", ">=", 3.0, ("n1", "n2"))
READY = Fact("ready")


def write(condition: Condition) -> str:
    """Return the text of a tree, every inner part in parentheses."""
    match condition:
        case Not(inner):
            return f"not ({write(inner)})"
        case AllOf(parts):
            return " and ".join(f"({write(part)})" for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({write(part)})" for part in parts)
        case Comparison(quantity, operator, number, places):
            return f"{quantity} {operator} {number:.1f}{write_places(places)}"
        case Equality(field, places):
            return f"equal {field}{write_places(places)}"
        case Fact(name, places):
            return name + write_places(places)


def write_places(places: tuple[str, ...]) -> str:
    return f" on {', '.join(places)}" if places else ""


names = st.sampled_from(["n1", "a-1", "and_so", "judge12"])
places = st.one_of(
    st.just(()), st.just(("any",)), st.lists(names, min_size=1, max_size=3).map(tuple)
)
leaves = st.one_of(
    st.builds(
        Comparison,
        st.sampled_from([*QUANTITIES, "metric minesync_epoch"]),
        st.sampled_from(OPERATORS),
        st.integers(0, 10**6).map(float),
        places,
    ),
    st.builds(Equality, st.sampled_from(FIELDS), places),
    st.sampled_from([Fact(name) for name in FACTS]),
    st.builds(Fact, st.just("ready"), places),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
    ),
    max_leaves=8,
)


@given(trees)
def test_what_is_written_reads_back(tree: Condition) -> None:
    assert parse_condition(write(tree)) == tree


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_refused_at_a_column(text: str) -> None:
    refused = ""
    try:
        parse_condition(text)
    except ConditionError as error:
        refused = error.found
    assert not refused or " at column " in refused


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("epoch >= 3", EPOCH),
        ("epoch>=3", EPOCH),
        ("epoch >= 3 and ready", AllOf((EPOCH, READY))),
        ("ready or epoch >= 3 and ready", AnyOf((READY, AllOf((EPOCH, READY))))),
        ("(ready or epoch >= 3) and ready", AllOf((AnyOf((READY, EPOCH)), READY))),
        ("not ready and ready", AllOf((Not(READY), READY))),
        ("not (ready and ready)", Not(AllOf((READY, READY)))),
        ("epoch >= 3 on n1, n2 and ready", AllOf((THREE_ON_TWO, READY))),
        ("metric a_b < 1.5 on any", Comparison("metric a_b", "<", 1.5, ("any",))),
        ("tasks.completed == 2", Comparison("tasks.completed", "==", 2.0)),
        ("equal state_root on a-1", Equality("state_root", ("a-1",))),
    ],
)
def test_a_condition_means_what_it_says(text: str, tree: Condition) -> None:
    assert parse_condition(text) == tree


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the end at column 1"),
        ("epoc >= 3", "'epoc' at column 1 of `epoc >= 3`, wanted a quantity or a fact; did you"),
        ("epoch 3", "'3' at column 7"),
        ("epoch => 3", "'=' at column 7"),
        ("epoch >= three", "'three' at column 10"),
        ("epoch >= 3x", "'3' at column 10"),
        ("epoch >= 3 ready", "'ready' at column 12"),
        ("(ready", "the end at column 7"),
        ("ready)", "')' at column 6"),
        ("not", "the end at column 4"),
        ("equal colour", "'colour' at column 7"),
        ("ready on", "the end at column 9"),
        ("ready on n1,", "the end at column 13"),
        ("converged on n1", "'on' at column 11"),
        ("__import__('os')", "'__import__' at column 1"),
        ("not " * (DEPTH_MAX + 1) + "ready", "at most 32 levels"),
    ],
)
def test_a_condition_that_cannot_be_read_shows_the_column(text: str, line: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(text)
    assert line in str(caught.value)


def test_a_condition_has_a_bound() -> None:
    with pytest.raises(ConditionError, match="2000 characters"):
        parse_condition("x" * 2_000)


def test_the_leaves_are_listed_from_left_to_right() -> None:
    tree = parse_condition("epoch >= 3 and (not ready or epoch >= 3)")
    assert list(list_leaves(tree)) == [EPOCH, READY, EPOCH]


# ---------------------------------------------------------------------------------- judging

FOUND = Facts(
    meant=["n1", "n2"],
    figures={"epoch": {"n1": 3.0, "n2": 4.0, "liar": 0.0}},
    statuses={"n1": {"epoch": 3, "ready": True}, "n2": {"epoch": 4, "ready": False}},
    findings={"converged": Finding(True, "at 3"), "settled": Finding(False, "busy")},
)


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("epoch >= 3", True),
        ("epoch >= 4", False),
        ("epoch >= 4 on any", True),
        ("epoch > 4 on any", False),
        ("epoch == 4 on n2", True),
        ("epoch == 0 on liar", True),
        ("epoch != 3 on n2", True),
        ("epoch < 4 on n1", True),
        ("epoch <= 2 on n1", False),
        ("epoch >= 0 on n9", False),
        ("equal epoch", False),
        ("equal epoch on n1", True),
        ("equal epoch on n9", False),
        ("ready", False),
        ("ready on any", True),
        ("ready on n1", True),
        ("converged", True),
        ("settled", False),
        ("money", False),
        ("not settled", True),
        ("converged and epoch >= 3", True),
        ("converged and settled", False),
        ("settled or epoch >= 3", True),
        ("settled or money", False),
    ],
)
def test_a_condition_is_judged_of_what_was_gathered(text: str, ok: bool) -> None:
    finding = judge(parse_condition(text), FOUND)
    assert finding.ok is ok
    assert finding.detail


def test_nothing_holds_where_nobody_runs() -> None:
    for text in ("epoch >= 0", "equal epoch", "ready", "not ready and epoch >= 0"):
        assert not judge(parse_condition(text), Facts(meant=[])).ok


def test_a_finding_shows_the_figures_and_what_is_not_known() -> None:
    assert judge(parse_condition("epoch >= 9"), FOUND).detail == "epoch n1 3, n2 4"
    assert judge(parse_condition("epoch >= 9 on n9"), FOUND).detail == "epoch n9 ?"


def test_a_metric_is_summed_over_its_labels() -> None:
    page = '# HELP a x\na{k="1"} 2.0\na{k="2"} 3.0\nab 9\n'
    assert sum_metric(page, "a") == 5
    assert sum_metric(page, "ab") == 9
    assert sum_metric(page, "b") is None


# -------------------------------------------------------------------------------- gathering


class Scripted(FakeRemote):
    """A peer that also has metrics."""

    async def read_metrics(self, *, limit_s: float = 1.0) -> str:
        del limit_s
        return 'minesync_conflicts_open{code="x"} 2\nminesync_conflicts_open{code="y"} 1\n'


def make_cluster(root: Path, epoch: Any = lambda: 9) -> FakeCluster:
    tasks = [{"task_id": "a", "status": "completed"}, {"task_id": "b", "status": "expired"}]

    def make(name: str) -> Scripted:
        return Scripted(
            name,
            {
                "node_status": lambda _: make_status(epoch=epoch(), evidence=1, ready=True),
                "task_list": lambda _: {"items": tasks},
                "check_conflicts": lambda _: {"items": [{}, {}, {}]},
            },
        )

    devnet = found_devnet(root, 3, 7)
    return FakeCluster(devnet, [make(name) for name in devnet.names])


async def test_a_look_asks_for_what_the_condition_speaks_of_and_no_more(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path / "net")
    text = "epoch == 9 and tasks == 2 and tasks.completed == 1 and conflicts == 3 and evidence == 1"
    assert (await look(cluster, parse_condition(text))).ok
    assert (await look(cluster, parse_condition("metric minesync_conflicts_open == 3"))).ok
    assert not (await look(cluster, parse_condition("metric minesync_nothing == 0"))).ok
    remote = cluster.remotes["n1"]
    remote.calls.clear()
    assert (await look(cluster, parse_condition("ready and equal state_root"))).ok
    assert [method for method, _ in remote.calls] == ["node_status"]


async def test_who_is_just_starting_is_passed_over_unless_named(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path / "net")

    def refuse(code: str) -> Any:
        def answer(_params: dict[str, Any]) -> Any:
            raise RpcError(code)

        return answer

    cluster.remotes["n3"].answers["node_status"] = refuse("unreachable")
    assert (await look(cluster, parse_condition("epoch == 9 and tasks == 2"))).ok
    assert not (await look(cluster, parse_condition("epoch == 9 on n3"))).ok
    cluster.remotes["n2"].answers["task_list"] = refuse("internal")
    assert (await look(cluster, parse_condition("epoch == 9"))).ok
    assert not (await look(cluster, parse_condition("tasks == 2"))).ok


async def test_waiting_ends_when_it_holds_or_when_time_is_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    cluster = make_cluster(tmp_path / "net", lambda: int(trio.current_time()))
    assert (await wait_for(cluster, parse_condition("epoch >= 5"), 60)).ok
    assert 5 <= trio.current_time() < 6
    finding = await wait_for(cluster, parse_condition("epoch >= 50"), 10)
    assert finding == Finding(False, "epoch n1 14, n2 14, n3 14")


def test_what_is_asked_of_all_is_what_the_checks_find() -> None:
    assert {check(Survey([])).name for check in CHECKS} == set(SURVEYED)
