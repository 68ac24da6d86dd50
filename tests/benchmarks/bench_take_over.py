"""A new peer takes transactions over from another over libp2p, each verified, stored and folded."""

import random
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

import trio

from node.state_manager import StateManager
from node.sync.manager import SyncManager
from node.transport.libp2p_open import open_libp2p_transport
from node.verifier import Verifier
from tests.benchmarks.common import report
from tests.benchmarks.setting import (
    a_folder,
    a_rich_genesis,
    a_state,
    measure_put_rate,
    measure_verify_rate,
    sign_chain,
)
from tests.support.peers import CAST, a_signer

TRANSACTIONS = 20_000
POLL_S = 0.005


async def take_over(giver: StateManager, taker: StateManager) -> float:
    """Return the seconds from the dial to two equal peers."""
    async with AsyncExitStack() as stack:
        managers = [
            SyncManager(
                state,
                Verifier(state.intake),
                interval_s=0.2,
                gossip_delay_s=0.005,
                sessions_max=4,
                bootstrap=(),
                rng=random.Random(place),
            )
            for place, state in enumerate((giver, taker))
        ]
        transports = [
            await stack.enter_async_context(
                open_libp2p_transport(
                    seed=bytes([place + 1]) * 32,
                    listen="/ip4/127.0.0.1/tcp/0",
                    topic="bench",
                    validate=manager.gossip.validate,
                )
            )
            for place, manager in enumerate(managers)
        ]
        nursery = await stack.enter_async_context(trio.open_nursery())
        for manager, transport in zip(managers, transports, strict=True):
            nursery.start_soon(manager.run, transport)
        start = perf_counter()
        await transports[1].dial(transports[0].addresses()[0])
        while taker.status() != giver.status():
            await trio.sleep(POLL_S)
        took_s = perf_counter() - start
        nursery.cancel_scope.cancel()
    return took_s


async def run(count: int) -> None:
    genesis = a_rich_genesis()
    rates = {}
    with a_folder() as folder:
        for mode in ("open", "sealed"):
            took_s = await run_once(folder / mode, mode == "sealed", count)
            rates[mode] = count / took_s
        verify_rate, put_rate = measure_verify_rate(), measure_put_rate(folder / "limit", genesis)
    report(
        "take_over",
        rates["open"],
        "per_second",
        1 / (1 / verify_rate + 1 / put_rate),
        "one Ed25519 verification and three synced puts, on one core",
        transactions=count,
        sealed_per_second=rates["sealed"],
    )


async def run_once(folder: Path, is_sealed: bool, count: int) -> float:
    genesis = a_rich_genesis()
    folder.mkdir()
    with a_state(folder / "giver", genesis) as giver, a_state(folder / "taker", genesis) as taker:
        for name in CAST:
            giver.accept(sign_chain(genesis, a_signer(name), count // len(CAST)), None)
        if is_sealed:
            giver.seal(a_signer("alice"), 0)
        return await take_over(giver, taker)


if __name__ == "__main__":
    trio.run(run, int(sys.argv[1]) if len(sys.argv) > 1 else TRANSACTIONS)
