"""The stream of tasks: real files, the same for the same seed, each one the rules accept."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from devnet.errors import DevnetError
from devnet.founding import found_devnet
from devnet.genesis import make_params
from devnet.load import (
    SOURCE_BYTES_MAX,
    Acknowledged,
    Publication,
    Workload,
    find_sources,
    publish_all,
    read_acknowledged,
)
from node.rpc.client import RpcError
from node.rpc.terms import read_terms
from protocol.hashing import compute_content_hash
from protocol.params import MINIMAL
from tests.test_devnet.fakes import FakeCluster, FakeRemote

PARAMS = make_params()


def list_tasks(seed: int, count: int = 12) -> list[Publication]:
    return list(Workload(seed, ["n4", "n5"], 1, PARAMS).iterate(count))


def test_one_seed_is_one_stream_and_another_is_another() -> None:
    assert list_tasks(7) == list_tasks(7)
    assert list_tasks(7) != list_tasks(8)


def test_publishers_take_turns() -> None:
    assert [task.publisher for task in list_tasks(7, 4)] == ["n4", "n5", "n4", "n5"]


def test_every_input_is_a_python_file_of_a_size_that_travels() -> None:
    for task in list_tasks(7):
        assert len(task.data) <= SOURCE_BYTES_MAX
        ast.parse(task.data)


def test_there_is_enough_to_choose_from() -> None:
    sources = find_sources()
    assert len(sources) > 100
    assert list(sources) == sorted(sources)


def test_the_terms_are_those_that_a_node_reads() -> None:
    for task in list_tasks(7):
        data_hash = compute_content_hash(task.data)
        terms = read_terms(task.terms, PARAMS, data_hash, len(task.data))
        assert PARAMS.reward_min[0] <= terms.reward < PARAMS.reward_max[0]
        assert terms.submission_epochs >= PARAMS.submission_epochs_min
        assert terms.required_reviewers >= MINIMAL.reviewers_min
        assert terms.max_participants == 1


@pytest.mark.parametrize(("publishers", "places"), [([], 1), (["n4"], 0)])
def test_a_task_that_nobody_could_answer_is_refused(publishers: list[str], places: int) -> None:
    with pytest.raises(DevnetError, match="no_publisher"):
        Workload(7, publishers, places, PARAMS)


def test_miners_publish_for_all_other_miners(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 6, 7)
    tasks = list(Workload.of_devnet(devnet, 7, PARAMS).iterate(3))
    assert [task.publisher for task in tasks] == ["n4", "n5", "n6"]
    assert {task.terms["max_participants"] for task in tasks} == {2}
    with pytest.raises(DevnetError, match="no_publisher"):
        Workload.of_devnet(found_devnet(tmp_path / "small", 4, 7), 7, PARAMS)


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_count_out_of_bounds_is_refused(count: int) -> None:
    with pytest.raises(DevnetError, match="bad_count"):
        list_tasks(7, count)


def acknowledge(params: dict[str, Any]) -> dict[str, str]:
    name = params["terms"]["title"]
    return {"task_id": f"task {name}", "tx_id": f"tx {name}"}


def refuse(_params: dict[str, Any]) -> None:
    raise RpcError("unfunded", "0 nano", "more")


async def test_what_is_acknowledged_is_written_down_and_a_refusal_stops_nothing(
    tmp_path: Path,
) -> None:
    devnet = found_devnet(tmp_path / "net", 5, 7)
    remotes = [
        FakeRemote("n4", {"task_publish": acknowledge}),
        FakeRemote("n5", {"task_publish": refuse}),
    ]
    cluster = FakeCluster(devnet, remotes)
    heard: list[Acknowledged | RpcError | DevnetError] = []
    tasks: Sequence[Publication] = list_tasks(7, 4)
    done = await publish_all(cluster, tasks, lambda _task, result: heard.append(result))
    assert [one.publisher for one in done] == ["n4", "n4"]
    assert [isinstance(one, Acknowledged) for one in heard] == [True, False, True, False]
    assert read_acknowledged(devnet) == done


def test_a_line_cut_by_a_kill_is_no_acknowledgement(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 1, 7)
    assert read_acknowledged(devnet) == []
    whole = '{"publisher": "n4", "source": "ast.py", "task_id": "a", "tx_id": "b"}\n'
    devnet.published_path.write_text(whole + whole[:20])
    assert read_acknowledged(devnet) == [Acknowledged("n4", "ast.py", "a", "b")]
