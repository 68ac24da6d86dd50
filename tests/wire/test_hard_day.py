"""A hard day of five processes: load, a kill, a partition with conflicts on both sides, one state.

Left of the cut are n1, which ends the epochs, n2 and n4; right are n3 and n5. On each side people
do what cannot stand beside what the other side does.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.checks import run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.faults import heal, kill, partition, restart
from devnet.founding import found_devnet
from devnet.load import Acknowledged, Publication, Workload, publish_all
from devnet.observe import NetworkView, Observer
from node.network import read_genesis
from node.rpc.client import RpcError
from protocol import codec
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.params import NANO_PER_COIN
from protocol.schema import to_plain
from tests.support.peers import some_terms

pytestmark = [pytest.mark.wire, pytest.mark.timeout(540)]

SEED = 11
TASKS = 200
CUT_EPOCHS = 10
LONG_WINDOW = 60
LEFT, RIGHT = ("n1", "n2", "n4"), ("n3", "n5")
SETTLE_S = 150.0
CLOSED = {"completed", "expired", "cancelled"}
LOOK_S = 0.5


def show(payload: object) -> str:
    return "0x" + codec.encode(to_plain(payload)).hex()


async def submit(
    cluster: ProcessCluster, name: str, kind: str, payload: object, subject: str | None = None
) -> str:
    """Let a peer submit what its roles would not do by themselves; return the id."""
    remote = cluster.remote(name)
    reply = await remote.call("dev_author", kind=kind, payload=show(payload), subject=subject)
    return str(reply["tx_id"])


async def publish(cluster: ProcessCluster, name: str, title: str, places: int) -> str:
    """Publish a task whose input nobody has, so that no miner answers it; return its id, sealed."""
    terms = some_terms(title=title, window=LONG_WINDOW, places=places)
    terms = replace(terms, data_hash=title.encode().ljust(32, b"."), data_bytes=1_000)
    tx_id = await submit(cluster, name, "publish_task", terms)
    reply = await cluster.remote("n5").call("tx_wait", tx_id=tx_id, timeout_ms=8_000)
    assert reply["state"] == "applied"
    return str((await cluster.remote(name).call("tx_get", tx_id=tx_id))["subject"])


async def fork(cluster: ProcessCluster, name: str) -> tuple[str, str]:
    """Let a peer sign two transactions with one seq, for one side each; return their wires."""
    remote, kind = cluster.remote(name), "publish_task"
    payloads = [show(some_terms(title=f"what {name} says on the {side}")) for side in "lr"]
    one = await remote.call("dev_sign", kind=kind, payload=payloads[0])
    other = await remote.call("dev_sign", kind=kind, payload=payloads[1], seq=one["seq"])
    return str(one["wire"]), str(other["wire"])


def a_commitment(salt: int) -> SubmitAnswer:
    return SubmitAnswer(bytes([salt]) * 32, NANO_PER_COIN, 80, 0)


async def wait_for_epoch(cluster: ProcessCluster, name: str, epoch: int) -> None:
    with trio.fail_after(SETTLE_S):
        while (await cluster.remote(name).call("node_status"))["epoch"] < epoch:
            await trio.sleep(LOOK_S)


def are_closed(view: NetworkView, tasks: set[str]) -> bool:
    """Tell whether all these tasks have ended; a barred miner's rewards are never claimed."""
    status = {task.task_id: task.status for task in view.tasks}
    return all(status.get(task_id) in CLOSED for task_id in tasks)


async def read_epoch(cluster: ProcessCluster, name: str) -> int:
    return int((await cluster.remote(name).call("node_status"))["epoch"])


async def read_conflicts(cluster: ProcessCluster, name: str) -> list[tuple[Any, ...]]:
    """Return the sealed rulings of a peer."""
    return [
        (item["tx_id"], item["code"], item["lost_to"], item["epoch"])
        async for item in cluster.remote(name).iterate("check_conflicts")
        if not item["provisional"]
    ]


async def test_a_hard_day_ends_in_one_state(tmp_path: Path) -> None:
    cluster = ProcessCluster(found_devnet(tmp_path / "net", 5, SEED), guarded=True)
    names = cluster.devnet.names
    refused: list[str] = []
    try:
        await cluster.start()
        params = read_genesis(cluster.devnet.genesis_path).params
        workload = Workload.of_devnet(cluster.devnet, SEED, params)
        published: list[Acknowledged] = []

        def note(_: Publication, result: Acknowledged | RpcError | DevnetError) -> None:
            if not isinstance(result, Acknowledged):
                refused.append(str(result))

        async def load() -> None:
            for publication in workload.iterate(TASKS):
                published.extend(await publish_all(cluster, [publication], note))
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(load)
            # While the load runs: one peer dies and comes back.
            await trio.sleep(2)
            await kill(cluster, "n2")
            await trio.sleep(1)
            await restart(cluster, "n2")
        cancelled_right = await publish(cluster, "n3", "cancelled on the right", 5)
        cancelled_left = await publish(cluster, "n2", "cancelled on the left", 5)
        narrow = await publish(cluster, "n2", "one place", 1)
        await partition(cluster, [LEFT, RIGHT])
        begun = await read_epoch(cluster, "n1")

        # Publishers cancel while miners commit, in both directions; two take the last place.
        commit_left = await submit(
            cluster, "n4", "submit_answer", a_commitment(1), subject=cancelled_right
        )
        cancel_right = await submit(
            cluster, "n3", "cancel_task", CancelTask("late"), subject=cancelled_right
        )
        await submit(cluster, "n2", "cancel_task", CancelTask("soon"), subject=cancelled_left)
        commit_right = await submit(
            cluster, "n5", "submit_answer", a_commitment(2), subject=cancelled_left
        )
        place_left = await submit(cluster, "n4", "submit_answer", a_commitment(3), subject=narrow)
        place_right = await submit(cluster, "n5", "submit_answer", a_commitment(4), subject=narrow)
        # One key signs two transactions with one seq; each side sees one of them.
        left, right = await fork(cluster, "n5")
        await cluster.remote("n1").call("dev_inject", wire=left)
        await cluster.remote("n5").call("dev_inject", wire=right)

        await wait_for_epoch(cluster, "n1", begun + CUT_EPOCHS)
        assert await read_epoch(cluster, "n3") < begun + CUT_EPOCHS, "no seal crosses the cut"
        await heal(cluster)

        observer = Observer(cluster)
        tasks = {one.task_id for one in published}
        view = NetworkView(())
        with trio.fail_after(SETTLE_S):
            while not are_closed(view, tasks):
                await trio.sleep(LOOK_S)
                view = await observer.look()
        survey = await survey_devnet(cluster, SETTLE_S)
        verdicts = run_checks(survey)
        conflicts = {name: await read_conflicts(cluster, name) for name in names}
        evidence = {
            name: [
                (item["evidence_id"], item["author"], item["seq"])
                for item in (await cluster.remote(name).call("check_evidence"))["items"]
            ]
            for name in names
        }
        for verdict in verdicts:
            print(verdict)
        print("tasks", dict(Counter(task.status for task in view.tasks)), "refused", len(refused))
        print("rulings", dict(Counter(code for _, code, _, _ in conflicts["n1"])))
        print("evidence", evidence["n1"])
    finally:
        await cluster.stop()
        cluster.end_now()

    assert [verdict for verdict in verdicts if not verdict.ok] == []
    assert refused == []
    assert all(conflicts[name] == conflicts["n1"] for name in names)
    assert all(evidence[name] == evidence["n1"] for name in names)
    assert len(evidence["n1"]) == 1
    rulings = {tx_id: (code, lost_to) for tx_id, code, lost_to, _ in conflicts["n1"]}
    assert rulings[cancel_right] == ("wrong_phase", commit_left)
    assert rulings[commit_right][0] == "wrong_phase"
    assert rulings[place_right] == ("task_full", place_left)
