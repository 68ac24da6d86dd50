"""A real node on a real disk that fills up: clear errors, reads, and everything acknowledged."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.exits import Exit
from node.rpc.client import RpcError
from node.rpc.errors import DISK_FULL
from protocol.genesis import Genesis
from protocol.hashing import compute_content_hash
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.transactions import SignedTransaction
from tests.support.builders import a_hash, an_address
from tests.support.processes import LightAccount, NodeProcess, a_quick_genesis
from tests.support.small_disk import MIB, SmallDisk, a_small_disk

pytestmark = pytest.mark.wire

DISK_MIB = 96
LARGER_MIB = 256
CONTENT = random.Random(1).randbytes(12_000)
TRANSACTIONS_MAX = 20_000
"""As many as never fit the disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with a_small_disk(tmp_path / "disk", DISK_MIB) as disk:
        yield disk


@pytest.fixture
def nodes() -> Iterator[list[NodeProcess]]:
    started: list[NodeProcess] = []
    yield started
    for one in started:
        one.kill()


class Writer(LightAccount):
    """Somebody who submits large transactions and keeps the ids of those that were taken.

    What was refused for want of room may have been written all the same, so it is sent again.
    """

    def __init__(self, name: str, through: NodeProcess, genesis: Genesis) -> None:
        super().__init__(name, through, genesis)
        self.taken: list[str] = []
        self._unsent: SignedTransaction | None = None

    def write(self) -> None:
        """Submit one more, or the one that was refused."""
        payload = RevealAnswer(
            a_hash("no answer"), compute_content_hash(CONTENT), a_hash("salt"), CONTENT
        )
        tx = self._unsent or self.sign("reveal_answer", payload, a_hash("no task"))
        self._unsent = tx
        self.send(tx)
        self._unsent = None
        self.taken.append(tx.tx_id.hex())

    def write_until_full(self) -> RpcError:
        """Submit until there is no room; return what the node says then."""
        for _ in range(TRANSACTIONS_MAX):
            try:
                self.write()
            except RpcError as error:
                return error
        raise AssertionError("the disk never got full")


def check_read_only(alice: NodeProcess, writer: Writer, error: RpcError) -> None:
    """Check that a node says that it is full, and answers all the same."""
    assert (error.number, error.code) == (DISK_FULL, "disk_full")
    assert "bytes free" in error.found
    status = alice.call("node_status")
    assert not status["ready"]
    assert "disk_full" in status["checks"]["disk"]["read_only"]
    assert alice.call("account_get", address=an_address("bob").hex())["balance"]
    for tx_id in writer.taken[-3:]:
        assert alice.call("tx_get", tx_id=tx_id)["tx_id"] == tx_id
    assert len(writer.taken) <= status["transactions"] <= len(writer.taken) + 1


async def check_service(alice: NodeProcess, writer: Writer) -> None:
    """Wait until a node takes transactions and seals again; check that none is lost."""
    await alice.wait(lambda: alice.call("node_status")["checks"]["disk"]["read_only"] is None)
    epoch = alice.call("node_status")["epoch"]
    writer.write()
    await alice.wait(lambda: alice.call("node_status")["epoch"] > epoch + 1)
    for tx_id in writer.taken:
        assert alice.call("tx_get", tx_id=tx_id)["tx_id"] == tx_id


async def check_restart(alice: NodeProcess, writer: Writer, *flags: str) -> None:
    """Start a node anew; check that nothing acknowledged is lost and its state is sound."""
    assert await alice.end() == Exit.OK
    alice.start(*flags)
    await alice.wait_up()
    for tx_id in writer.taken:
        assert alice.call("tx_get", tx_id=tx_id)["tx_id"] == tx_id
    assert alice.call("check_run")["ok"]


async def test_a_write_that_meets_a_full_disk_costs_nothing_acknowledged(
    disk: SmallDisk, nodes: list[NodeProcess]
) -> None:
    genesis = a_quick_genesis()
    alice = NodeProcess(disk.path / "alice", genesis, "alice")
    nodes.append(alice)
    flags = ("--sealer.enabled", "--store.disk-reserve-mib", "0")
    alice.start(*flags, "--store.disk-free-mib-min", "16")
    await alice.wait_up()
    writer = Writer("bob", alice, genesis)
    writer.write()
    disk.fill(leave_bytes=3 * MIB)
    error = writer.write_until_full()
    check_read_only(alice, writer, error)
    assert len(writer.taken) > 50
    disk.resize(LARGER_MIB)
    await check_service(alice, writer)
    await check_restart(alice, writer, *flags)


async def test_below_the_reserve_a_node_stops_before_a_write_fails(
    disk: SmallDisk, nodes: list[NodeProcess]
) -> None:
    genesis = a_quick_genesis()
    alice = NodeProcess(disk.path / "alice", genesis, "alice")
    nodes.append(alice)
    flags = ("--sealer.enabled", "--store.disk-reserve-mib", "16")
    alice.start(*flags, "--store.disk-free-mib-min", "16")
    await alice.wait_up()
    writer = Writer("bob", alice, genesis)
    writer.write()
    disk.fill(leave_bytes=15 * MIB)
    await alice.wait(lambda: bool(alice.call("node_status")["checks"]["disk"]["read_only"]))
    error = writer.write_until_full()
    check_read_only(alice, writer, error)
    assert disk.free > 14 * MIB
    epoch = alice.call("node_status")["epoch"]
    disk.empty()
    await check_service(alice, writer)
    assert alice.call("node_status")["epoch"] > epoch
    await check_restart(alice, writer, *flags)
