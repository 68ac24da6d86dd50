"""What the benchmarks share: a network whose cast is rich, and the limits of this machine."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import structlog

from node.events import Broadcast
from node.state_manager import StateManager
from protocol.genesis import Genesis
from protocol.keys import Signer, is_valid_signature
from protocol.transactions import (
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from storage.engine import Batch
from storage.rocks import RocksEngine
from storage.store import Store
from tests.support.peers import a_genesis, some_terms

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

RICH = 10**15
LIMIT_SIGNATURES = 2_000
LIMIT_PUTS = 20_000
WIRE_BYTES = 420


def a_rich_genesis(epoch_ms: int = 1_000) -> Genesis:
    """Return a network whose cast can publish for as long as a benchmark lasts."""
    genesis = a_genesis()
    rich = tuple(replace(entry, balance=RICH) for entry in genesis.allocations)
    return replace(genesis, allocations=rich, params=replace(genesis.params, epoch_ms=epoch_ms))


@contextmanager
def a_folder() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="minesync-bench-") as folder:
        yield Path(folder)


@contextmanager
def a_state(folder: Path, genesis: Genesis) -> Iterator[StateManager]:
    """Open a state on RocksDB."""
    store = Store.open(folder, genesis)
    try:
        yield StateManager(genesis, store, Broadcast())
    finally:
        store.close()


def sign_chain(
    genesis: Genesis,
    signer: Signer,
    count: int,
    *,
    first: int = 0,
    prev: bytes | None = None,
    epoch: int = 1,
    seal_hash: bytes | None = None,
) -> list[SignedTransaction]:
    """Return `count` publications of one author.

    Args:
        first: the seq of the first one.
        prev: the id before it.
        epoch: the epoch that they name.
        seal_hash: the hash of the seal before that epoch; the genesis' own by default.
    """
    anchor = (seal_hash or genesis.hash)[:16]
    chain: list[SignedTransaction] = []
    for seq in range(first, first + count):
        subject = compute_task_id(genesis.network, signer.address, seq)
        header = Header(
            VERSION,
            genesis.network,
            0,
            signer.address,
            seq,
            prev,
            epoch,
            anchor,
            subject,
            (),
        )
        chain.append(sign_transaction(header, some_terms(title=f"Task {seq}"), signer))
        prev = chain[-1].tx_id
    return chain


def measure_verify_rate() -> float:
    """Return Ed25519 verifications a second on one core."""
    signer = Signer(bytes(32))
    messages = [number.to_bytes(32, "big") for number in range(LIMIT_SIGNATURES)]
    signatures = [signer.sign(message) for message in messages]
    start = perf_counter()
    for message, signature in zip(messages, signatures, strict=True):
        is_valid_signature(signer.address, message, signature)
    return LIMIT_SIGNATURES / (perf_counter() - start)


def measure_sign_rate() -> float:
    """Return Ed25519 signatures a second on one core."""
    signer = Signer(bytes(32))
    start = perf_counter()
    for number in range(LIMIT_SIGNATURES):
        signer.sign(number.to_bytes(32, "big"))
    return LIMIT_SIGNATURES / (perf_counter() - start)


def measure_put_rate(folder: Path, genesis: Genesis) -> float:
    """Return synced puts a second in batches of 256, three rows for each transaction."""
    engine = RocksEngine(folder, network=genesis.network)
    value = os.urandom(WIRE_BYTES)
    start = perf_counter()
    batch = Batch()
    for number in range(LIMIT_PUTS):
        key = number.to_bytes(32, "big")
        batch.put("transactions", key, value)
        batch.put("author_chains", key, key)
        batch.put("open_set", key, b"")
        if number % 256 == 255:
            engine.write(batch, sync=True)
            batch = Batch()
    engine.write(batch, sync=True)
    rate = LIMIT_PUTS / (perf_counter() - start)
    engine.close()
    return rate
