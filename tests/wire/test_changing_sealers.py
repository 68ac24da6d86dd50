"""Four real sealers and a peer: by vote the peer seals too, one stops, epochs get shorter."""

from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.checks import run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.founding import found_devnet
from devnet.layout import Devnet
from node.network import read_genesis
from protocol.charter import find_charter
from protocol.seals import Seal
from storage.replay import replay
from storage.store import Store

pytestmark = [pytest.mark.wire, pytest.mark.timeout(300)]

SEED = 29
NAMES = ("n1", "n2", "n3", "n4", "n5")
VOTERS = NAMES[:4]
AHEAD = 12
"""Epochs in which all votes are in, even on a slow machine."""
EPOCH_MS, SHORTER_MS = 500, 250
STEP_S = 60.0
LOOK_S = 0.1
EPOCHS = 4


def let_seal(devnet: Devnet, name: str) -> None:
    """Have a peer seal as soon as it is one of the sealers."""
    path = devnet.data_paths(name).config
    text = path.read_text(encoding="utf-8")
    assert "[sealer]\n" in text
    changed = text.replace("[sealer]\n", "[sealer]\nenabled = true\n", 1)
    path.write_text(changed, encoding="utf-8")


def find_address(devnet: Devnet, name: str) -> str:
    return next(peer.account for peer in devnet.roster.peers if peer.name == name)


async def read_epoch(cluster: ProcessCluster, name: str) -> int:
    return int((await cluster.remote(name).call("node_status"))["epoch"])


async def wait_for_epoch(cluster: ProcessCluster, epoch: int) -> None:
    with trio.fail_after(STEP_S):
        for name in NAMES:
            while await read_epoch(cluster, name) < epoch:
                await trio.sleep(LOOK_S)


async def adopt(cluster: ProcessCluster, **action: Any) -> int:
    """Have the first sealer propose something and all others vote; return from when it holds."""
    at = await read_epoch(cluster, VOTERS[0]) + AHEAD
    reply = await cluster.remote(VOTERS[0]).call("change_propose", **action, effective_at=at)
    change_id = reply["change_id"]
    for name in VOTERS[1:]:
        remote = cluster.remote(name)
        with trio.fail_after(STEP_S):
            while not any(
                one["change_id"] == change_id
                for one in (await remote.call("change_list", which="open"))["items"]
            ):
                await trio.sleep(LOOK_S)
        await remote.call("change_vote", change_id=change_id)
    await wait_for_epoch(cluster, at)
    shown = await cluster.remote("n5").call("change_get", change_id=change_id)
    assert (shown["status"], shown["counted"]) == ("adopted", 4)
    return at


def check_databases(devnet: Devnet) -> dict[int, set[str]]:
    """Verify all that each peer holds from the genesis on; return who signed each epoch."""
    genesis = read_genesis(devnet.genesis_path)
    by_address = {find_address(devnet, name): name for name in NAMES}
    signers: dict[int, set[str]] = {}
    roots: dict[int, set[bytes]] = {}
    for name in NAMES:
        store = Store.open(devnet.data_paths(name).database, genesis)
        try:
            audit = Store.in_memory(genesis)
            done = replay(store.journal, audit)
            assert (done.epoch, done.stopped) == (store.head.epoch, None)
            assert audit.head.state_root == store.head.state_root
            for epoch in range(1, store.head.epoch + 1):
                data = store.journal.seal(epoch)
                assert data is not None
                seal = Seal.from_bytes(data)
                roots.setdefault(epoch, set()).add(seal.content.state_root)
                names = {by_address[vote.sealer.hex()] for vote in seal.votes}
                signers.setdefault(epoch, set()).update(names)
            charter = find_charter(store.view, genesis, store.head.epoch + 1)
            assert charter.params.epoch_ms == SHORTER_MS
        finally:
            store.close()
    assert all(len(found) == 1 for found in roots.values())
    return signers


async def test_by_votes_a_fifth_seals_one_stops_and_epochs_get_shorter(tmp_path: Path) -> None:
    overrides = {"epoch_ms": EPOCH_MS}
    devnet = found_devnet(tmp_path / "net", len(NAMES), SEED, overrides, sealers=4)
    let_seal(devnet, "n5")
    cluster = ProcessCluster(devnet, guarded=True)
    try:
        await cluster.start()
        await wait_for_epoch(cluster, 2)
        come = await adopt(cluster, action="admit_sealer", address=find_address(devnet, "n5"))
        await wait_for_epoch(cluster, come + EPOCHS)
        gone = await adopt(cluster, action="dismiss_sealer", address=find_address(devnet, "n2"))
        await wait_for_epoch(cluster, gone + EPOCHS)
        # n2 is an ordinary peer now, and its vote would be refused: three of four are enough.
        short = await read_epoch(cluster, "n1") + AHEAD
        values = [str(SHORTER_MS)]
        action: dict[str, Any] = {"action": "set_parameter", "name": "epoch_ms", "values": values}
        for name in ("n1", "n3", "n5"):
            await cluster.remote(name).call("change_propose", **action, effective_at=short)
        await wait_for_epoch(cluster, short + EPOCHS)
        status = await cluster.remote("n2").call("node_status")
        assert status["epoch_ms"] == SHORTER_MS
        assert [one["name"] for one in status["parameters_changed"]] == ["epoch_ms"]
        verdicts = run_checks(await survey_devnet(cluster, STEP_S))
        assert [verdict for verdict in verdicts if not verdict.ok] == []
    finally:
        await cluster.stop()
        cluster.end_now()
    signers = check_databases(devnet)
    assert set().union(*(signers[epoch] for epoch in range(1, come))) == set(VOTERS)
    assert "n5" in set().union(*(signers[epoch] for epoch in range(come, gone)))
    after = set().union(*(signers[epoch] for epoch in range(gone, max(signers) + 1)))
    assert after == {"n1", "n3", "n4", "n5"}
    print(f"{max(signers)} epochs: n5 seals from {come}, n2 no more from {gone}")
