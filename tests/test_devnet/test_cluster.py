"""Peers asked together, faults told to whom they concern, and no peer left by a broken command."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.checks import run_checks, survey_devnet
from devnet.errors import DevnetError
from devnet.faults import FAULTS, heal, partition
from devnet.follow import LogReader
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.load import Acknowledged
from devnet.observe import ALARM, SILENT, Observer
from devnet.provider import DOWN, UP, find_lacks
from devnet.session import run_guarded
from node.rpc.client import RpcError
from tests.test_devnet.fakes import FakeCluster, FakeRemote, make_status


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return found_devnet(tmp_path / "net", 3, 7)


def fail(code: str) -> Any:
    def answer(_params: dict[str, Any]) -> Any:
        raise RpcError(code)

    return answer


def make_task(task_id: str, status: str, *states: str) -> dict[str, Any]:
    entries = [
        {
            "entry_id": f"{task_id}-{place}",
            "recipient": "account",
            "amount": "5",
            "state": state,
            "provisional": False,
            "claim_tx": f"claim-{task_id}-{place}" if state == "claimed" else None,
        }
        for place, state in enumerate(states)
    ]
    rewards = [{"entries": entries}]
    return {"task_id": task_id, "status": status, "provisional": False, "rewards": rewards}


def make_peer(name: str, *tasks: dict[str, Any], **changes: Any) -> FakeRemote:
    by_id = {task["task_id"]: task for task in tasks}
    ledger = {"supply": "10", "balances": "6", "escrowed": "1", "staked": "1", "treasury": "1"}

    def list_tasks(params: dict[str, Any]) -> Any:
        return {"items": [task for task in tasks if params.get("status") in (None, task["status"])]}

    return FakeRemote(
        name,
        {
            "node_status": lambda _: make_status(**changes),
            "task_list": list_tasks,
            "task_get": lambda params: by_id[params["task_id"]],
            "check_run": lambda _: {"ok": True, "broken": []},
            "ledger_get": lambda _: {**ledger, "burned": "1", "as_of": {"epoch": 9}},
            "tx_get": lambda _: {},
            "dev_partition": lambda _: {},
            "dev_heal": lambda _: {},
        },
    )


async def test_a_look_shows_who_is_up_silent_alarmed_and_down(devnet: Devnet) -> None:
    cluster = FakeCluster(devnet, [make_peer("n1", alarm="two roots"), make_peer("n2")])
    cluster.remotes["n2"].answers["node_status"] = fail("unreachable")
    views = await Observer(cluster).look_at_peers()
    assert [(view.name, view.state) for view in views] == [
        ("n1", ALARM),
        ("n2", SILENT),
        ("n3", DOWN),
    ]
    assert views[0].alarm == "two roots"


async def test_tasks_come_from_the_first_peer_that_can_tell(devnet: Devnet) -> None:
    first, second = make_peer("n1"), make_peer("n2", make_task("t", "published"))
    first.answers["task_list"] = fail("unreachable")
    view = await Observer(FakeCluster(devnet, [first, second])).look()
    assert [view.state for view in view.peers] == [UP, UP, DOWN]
    assert view.count_tasks() == {"published": 1}


async def test_what_is_paid_is_asked_for_once(devnet: Devnet) -> None:
    owed = make_task("b", "completed", "claimed", "claimable")
    peer = make_peer("n1", make_task("a", "completed", "claimed"), owed, make_task("c", "expired"))
    observer = Observer(FakeCluster(devnet, [peer]))
    for _ in range(3):
        view = await observer.look()
    assert view.count_tasks() == {"completed": 2, "expired": 1}
    assert [entry.state for entry in view.list_entries()] == ["claimed", "claimed", "claimable"]
    assert peer.count("task_get") == 1 + 3


async def test_a_survey_of_equal_peers_passes_every_check(devnet: Devnet) -> None:
    peers = [make_peer(name, make_task("a", "completed", "claimed")) for name in devnet.names]
    survey = await survey_devnet(FakeCluster(devnet, peers), converge_s=1)
    assert [verdict for verdict in run_checks(survey) if not verdict.ok] == []


async def test_a_survey_finds_other_roots_lost_transactions_and_silence(devnet: Devnet) -> None:
    task = make_task("a", "completed", "claimed")
    peers = [make_peer("n1", task), make_peer("n2", task, root="cd"), make_peer("n3", task)]
    peers[1].answers["tx_get"] = fail("no_such_transaction")
    peers[2].answers["check_run"] = fail("unreachable")
    facts = Acknowledged("n1", "ast.py", "task", "tx")
    line = '{"publisher": "n1", "source": "ast.py", "task_id": "task", "tx_id": "tx"}\n'
    devnet.published_path.write_text(line)
    survey = await survey_devnet(FakeCluster(devnet, peers), converge_s=1)
    failed = {verdict.name for verdict in run_checks(survey) if not verdict.ok}
    assert failed == {"answers", "converged", "nothing_lost"}
    assert survey.lost["n2"] == [facts.tx_id]


async def test_each_peer_cuts_off_the_others_and_keeps_its_group(devnet: Devnet) -> None:
    peers = [make_peer(name) for name in devnet.names]
    ids = {peer.name: peer.peer_id for peer in devnet.roster.peers}
    await partition(FakeCluster(devnet, peers), [["n1", "n2"], ["n3"]])
    assert peers[0].calls == [
        ("dev_partition", {"peers": [ids["n3"]]}),
        ("dev_heal", {"peers": [ids["n1"], ids["n2"]]}),
    ]
    assert peers[2].calls[0] == ("dev_partition", {"peers": [ids["n1"], ids["n2"]]})
    await heal(FakeCluster(devnet, peers))
    assert [peer.calls[-1] for peer in peers] == [("dev_heal", {})] * 3


async def test_a_peer_that_is_just_starting_is_cut_off_by_the_others(devnet: Devnet) -> None:
    peers = [make_peer(name) for name in devnet.names]
    peers[1].answers["dev_partition"] = peers[1].answers["dev_heal"] = fail("unreachable")
    await partition(FakeCluster(devnet, peers), [["n1", "n3"], ["n2"]])
    assert [peer.count("dev_partition") for peer in peers] == [1, 1, 1]
    await heal(FakeCluster(devnet, peers))
    peers[2].answers["dev_heal"] = fail("forbidden")
    with pytest.raises(RpcError, match="forbidden"):
        await heal(FakeCluster(devnet, peers))


async def test_faults_that_nobody_could_hear_of_are_refused(devnet: Devnet) -> None:
    cluster = FakeCluster(devnet, [])
    with pytest.raises(DevnetError, match="nobody_told"):
        await partition(cluster, [["n1"], ["n2", "n3"]])
    with pytest.raises(DevnetError, match="nobody_told"):
        await heal(cluster)
    for fault in FAULTS:
        with pytest.raises(DevnetError, match="unknown_peer"):
            await fault.apply_to(cluster, "n9")


async def test_peers_stay_when_the_work_says_so(devnet: Devnet) -> None:
    cluster = FakeCluster(devnet, [])

    async def work() -> bool:
        return True

    await run_guarded(cluster, work)
    assert (cluster.stops, cluster.is_ended) == (0, False)


async def test_peers_are_ended_when_the_work_is_done_or_fails(devnet: Devnet) -> None:
    async def finish() -> bool:
        return False

    async def break_down() -> bool:
        raise DevnetError("broken")

    cluster = FakeCluster(devnet, [])
    await run_guarded(cluster, finish)
    assert (cluster.stops, cluster.is_ended) == (1, True)
    cluster = FakeCluster(devnet, [])
    with pytest.raises(ExceptionGroup) as caught:
        await run_guarded(cluster, break_down)
    assert caught.group_contains(DevnetError, match="broken")
    assert (cluster.stops, cluster.is_ended) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_peers_are_ended_by_a_signal_to_the_command(
    devnet: Devnet, number: signal.Signals
) -> None:
    async def wait() -> bool:
        os.kill(os.getpid(), number)
        await trio.sleep_forever()
        return True

    cluster = FakeCluster(devnet, [])
    with pytest.raises(DevnetError, match="stopped_by_signal"):
        await run_guarded(cluster, wait)
    assert (cluster.stops, cluster.is_ended) == (1, True)


@pytest.mark.parametrize(
    ("is_alone", "meets", "changes", "lacks"),
    [
        (False, True, {}, []),
        (False, True, {"peers": 0}, ["peers"]),
        (False, False, {"peers": 0}, []),
        (True, True, {"peers": 0, "checks": {"peers": {"ok": False}}}, []),
        (False, True, {"checks": {"peers": {"ok": True}, "db": {"ok": False}}}, ["db"]),
    ],
)
def test_a_peer_is_ready_with_company_if_there_is_any(
    is_alone: bool, meets: bool, changes: dict[str, Any], lacks: list[str]
) -> None:
    assert find_lacks(make_status(**changes), is_alone=is_alone, meets=meets) == lacks


def test_a_log_is_followed_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    reader = LogReader(path)
    assert reader.read_lines() == []
    with path.open("a") as file:
        file.write("one\ntw")
    assert reader.read_lines() == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert reader.read_lines() == ["two"]
    assert LogReader(tmp_path / "none").read_lines() == []
