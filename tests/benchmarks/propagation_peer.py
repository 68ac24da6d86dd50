"""One process of the propagation benchmark: a real state on RocksDB, real libp2p, told by lines.

Commands on stdin, one JSON object a line: {"dial": [address...]}, {"publish": count, "gap_s": s},
{"await": count}, {"stop": true}. It prints its address first, and for each publication and each
arrival the monotonic time, which all processes of one machine share.
"""

import json
import random
import sys
from pathlib import Path
from time import monotonic

import trio

from node.author import Author
from node.events import Listener, Stored
from node.high_water import HighWater
from node.sync.manager import SyncManager
from node.transport.libp2p_open import open_libp2p_transport
from node.verifier import Verifier
from tests.benchmarks.setting import a_folder, a_rich_genesis, a_state
from tests.support.peers import CAST, a_signer, some_terms

INTERVAL_S = 1.0
GOSSIP_DELAY_S = 0.002
CALLERS = 32


def say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Arrivals:
    """When each transaction became visible here."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    async def run(self, listener: Listener) -> None:
        while True:
            event = await listener.next()
            if isinstance(event, Stored):
                now = monotonic()
                for tx_id in event.tx_ids:
                    self.times[tx_id.hex()] = now


async def publish(author: Author, count: int, gap_s: float, label: str) -> dict[str, float]:
    """Publish; return the time of each call by transaction."""
    started: dict[str, float] = {}

    async def one(place: int) -> None:
        now = monotonic()
        tx = await author.submit("publish_task", some_terms(title=f"Task {label} {place}"))
        started[tx.tx_id.hex()] = now

    if gap_s:
        for place in range(count):
            await one(place)
            await trio.sleep(gap_s)
        return started

    async def call(caller: int) -> None:
        for place in range(caller, count, CALLERS):
            await one(place)

    async with trio.open_nursery() as nursery:
        for caller in range(CALLERS):
            nursery.start_soon(call, caller)
    return started


async def main(place: int, folder: Path) -> None:
    genesis = a_rich_genesis()
    with a_state(folder / "db", genesis) as state:
        sync = SyncManager(
            state,
            Verifier(state.intake),
            interval_s=INTERVAL_S,
            gossip_delay_s=GOSSIP_DELAY_S,
            sessions_max=4,
            bootstrap=(),
            rng=random.Random(place),
        )
        author = Author(
            state, a_signer(CAST[place]), HighWater(folder / "mark"), sync.gossip.tell_nowait
        )
        arrivals = Arrivals()
        async with (
            open_libp2p_transport(
                seed=bytes([place + 1]) * 32,
                listen="/ip4/127.0.0.1/tcp/0",
                topic="bench",
                validate=sync.gossip.validate,
            ) as transport,
            trio.open_nursery() as nursery,
        ):
            with state.broadcast.listen() as listener:
                nursery.start_soon(sync.run, transport)
                nursery.start_soon(author.run)
                nursery.start_soon(arrivals.run, listener)
                say({"address": transport.addresses()[0]})
                reader = trio.lowlevel.FdStream(0)
                pending = b""
                async for data in reader:
                    pending += data
                    *lines, pending = pending.split(b"\n")
                    for line in lines:
                        command = json.loads(line)
                        if "dial" in command:
                            for address in command["dial"]:
                                await transport.dial(address)
                            say({"dialled": len(transport.peers())})
                        elif "publish" in command:
                            arrivals.times.clear()
                            label = f"{place} {monotonic()}"
                            started = await publish(
                                author, command["publish"], command["gap_s"], label
                            )
                            say({"started": started})
                        elif "await" in command:
                            while len(arrivals.times) < command["await"]:
                                await trio.sleep(0.01)
                            say({"arrived": arrivals.times})
                            arrivals.times.clear()
                        else:
                            nursery.cancel_scope.cancel()
                            return


if __name__ == "__main__":
    with a_folder() as own_folder:
        trio.run(main, int(sys.argv[1]), own_folder)
