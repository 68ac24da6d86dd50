"""Four real sealers: one killed, one frozen, one cut off, one whose clock is a day ahead.

Seals go on while three agree, stop while two are left, and resume. Afterwards every database is
read: no epoch has two seals, and every seal has its quorum.
"""

import random
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import trio

from devnet.checks import run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.faults import heal, kill, partition, pause, restart, resume
from devnet.founding import found_devnet
from devnet.layout import Devnet
from node.network import read_genesis
from protocol import codec
from protocol.schema import to_plain
from protocol.seals import Seal, check_seal
from storage.store import Store
from tests.support.peers import some_terms

pytestmark = [pytest.mark.wire, pytest.mark.timeout(300)]

SEED = 23
NAMES = ("n1", "n2", "n3", "n4")
DAY_MS = 86_400_000
STEP_S = 40.0
LOOK_S = 0.05
EPOCHS = 4
"""How many must follow on each fault before it counts as survived."""
QUIET_S = 4.0
"""For so long nothing may be sealed while two of four are left."""
TRANSACTIONS = 24


def set_clock_ahead(devnet: Devnet, name: str) -> None:
    path = devnet.data_paths(name).config
    text = path.read_text(encoding="utf-8")
    changed = text.replace("# clock_offset_ms = 0", f"clock_offset_ms = {DAY_MS}")
    assert changed != text
    path.write_text(changed, encoding="utf-8")


async def read_epoch(cluster: ProcessCluster, name: str) -> int:
    return int((await cluster.remote(name).call("node_status"))["epoch"])


async def wait_for_epoch(cluster: ProcessCluster, epoch: int, *names: str) -> None:
    with trio.fail_after(STEP_S):
        for name in names:
            while await read_epoch(cluster, name) < epoch:
                await trio.sleep(LOOK_S)


async def see_progress(cluster: ProcessCluster, *names: str) -> int:
    """Wait until some epochs more are sealed on these; return the last."""
    epoch = max([await read_epoch(cluster, name) for name in names]) + EPOCHS
    await wait_for_epoch(cluster, epoch, *names)
    return epoch


async def see_standstill(cluster: ProcessCluster, *names: str) -> None:
    """Wait until these are equal, then see that nothing is sealed for a while."""
    # What three of them had decided before the fault may still become a seal.
    await trio.sleep(2 * LOOK_S)
    last = max([await read_epoch(cluster, name) for name in names])
    await wait_for_epoch(cluster, last, *names)
    await trio.sleep(QUIET_S)
    assert {await read_epoch(cluster, name) for name in names} == {last}


async def measure_finality(cluster: ProcessCluster) -> list[float]:
    """Submit transactions at random moments; return how long each took to be sealed everywhere."""
    rng = random.Random(SEED)
    took: list[float] = []

    async def submit(name: str, title: str) -> None:
        # A task whose input nobody has, so that no miner answers it.
        terms = replace(some_terms(title=title), data_hash=rng.randbytes(32), data_bytes=1_000)
        payload = "0x" + codec.encode(to_plain(terms)).hex()
        begun_s = trio.current_time()
        reply = await cluster.remote(name).call("dev_author", kind="publish_task", payload=payload)
        await see_sealed(str(reply["tx_id"]))
        took.append(trio.current_time() - begun_s)

    async def see_sealed(tx_id: str) -> None:
        async with trio.open_nursery() as nursery:
            for one in NAMES:
                nursery.start_soon(see_sealed_by, one, tx_id)

    async def see_sealed_by(name: str, tx_id: str) -> None:
        reply = await cluster.remote(name).call(
            "tx_wait", limit_s=STEP_S, tx_id=tx_id, timeout_ms=8_000
        )
        assert reply["done"], reply

    for place in range(TRANSACTIONS):
        await submit(NAMES[place % len(NAMES)], f"task {place}")
        await trio.sleep(rng.random())
    return took


def check_databases(devnet: Devnet) -> tuple[int, set[bytes]]:
    """Check the seals of every peer against each other and the genesis; return how many epochs."""
    genesis = read_genesis(devnet.genesis_path)
    hashes: dict[int, set[bytes]] = {}
    days: set[bytes] = set()
    roots: dict[int, set[bytes]] = {}
    for name in NAMES:
        store = Store.open(devnet.data_paths(name).database, genesis)
        try:
            prev = genesis.hash
            for epoch in range(1, store.head.epoch + 1):
                data = store.journal.seal(epoch)
                assert data is not None
                seal = Seal.from_bytes(data)
                prev = check_seal(
                    genesis.network, seal, prev, epoch, genesis.sealers, genesis.sealers
                )
                hashes.setdefault(epoch, set()).add(prev)
                days |= {vote.sealer for vote in seal.votes}
            roots.setdefault(store.head.epoch, set()).add(store.head.state_root)
        finally:
            store.close()
    assert all(len(found) == 1 for found in hashes.values())
    assert all(len(found) == 1 for found in roots.values())
    return max(hashes), days


async def test_seals_go_on_while_three_of_four_agree_and_never_fork(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 4, SEED, sealers=4)
    set_clock_ahead(devnet, "n4")
    cluster = ProcessCluster(devnet, guarded=True)
    try:
        await cluster.start()
        await wait_for_epoch(cluster, 3, *NAMES)
        took = await measure_finality(cluster)

        await kill(cluster, "n1")
        await see_progress(cluster, "n2", "n3", "n4")
        await restart(cluster, "n1")
        await see_progress(cluster, *NAMES)

        await pause(cluster, "n2")
        await see_progress(cluster, "n1", "n3", "n4")
        await resume(cluster, "n2")
        await see_progress(cluster, *NAMES)

        await partition(cluster, [("n3",), ("n1", "n2", "n4")])
        await see_progress(cluster, "n1", "n2", "n4")
        await heal(cluster)
        await see_progress(cluster, *NAMES)

        await kill(cluster, "n1")
        await pause(cluster, "n2")
        await see_standstill(cluster, "n3", "n4")
        await resume(cluster, "n2")
        await see_progress(cluster, "n2", "n3", "n4")
        await restart(cluster, "n1")
        await see_progress(cluster, *NAMES)

        await partition(cluster, [("n1", "n2"), ("n3", "n4")])
        await see_standstill(cluster, "n1", "n2")
        await see_standstill(cluster, "n3", "n4")
        await heal(cluster)
        await see_progress(cluster, *NAMES)
        verdicts = run_checks(await survey_devnet(cluster, STEP_S))
        assert [verdict for verdict in verdicts if not verdict.ok] == []
    finally:
        await cluster.stop()
        cluster.end_now()
    epochs, signers = check_databases(devnet)
    assert len(signers) == len(NAMES)
    print(
        f"{epochs} epochs, one seal each; from a transaction to its seal everywhere: "
        f"p50 {median(took):.3f} s, max {max(took):.3f} s of {len(took)}"
    )
