"""A node that cheats: a whole node that signs, now and then, what no honest one would.

    python -m devnet.liar --data-dir DIR --lies equivocate,flood --seed 7

It speaks the real protocol to real peers, but is no part of a node: nobody runs it by accident.
What the lies are, `devnet.sim.lies` says; here they are told, over the transport, at random.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog
import trio

from devnet.sim.lies import Liar, Lie
from devnet.sim.plan import LIES
from node.commands.common import Common
from node.commands.loading import load_for
from node.commands.run import run_data_dir
from node.peer import Peer
from node.transport.base import TransportError
from protocol.errors import Rejected
from protocol.messages import Transactions, encode_message
from protocol.transactions import SignedTransaction
from storage.errors import StorageError

log = structlog.get_logger("devnet")

PAUSES_S = (0.5, 1.0, 3.0)
"""Between two lies."""
HOARD = "hoard"
HOARD_S = 5.0
"""How long what is hoarded is held back: several epochs."""
CHOICE_BITS = 32


async def lie_on(peer: Peer, lies: Sequence[str], draws: random.Random) -> None:
    """Tell lies of the given kinds until the peer is to stop.

    Args:
        peer: that runs; it has a key.
        lies: of `devnet.sim.plan.LIES`.
        draws: which lie, and when.
    """
    assert peer.signer is not None
    liar = Liar(peer.state, peer.signer)
    async with trio.open_nursery() as nursery:
        while not await _is_stopping(peer, draws.choice(PAUSES_S)):
            kind = draws.choice(lies)
            try:
                lie = liar.make(kind, draws.getrandbits(CHOICE_BITS))
                peer.state.accept(lie.told, None)
            except (Rejected, StorageError) as error:
                # Not possible now, as things stand.
                log.debug("lie_failed", kind=kind, code=error.code)
                continue
            log.info("lie", kind=kind, told=len(lie.told), also=len(lie.also))
            nursery.start_soon(_tell, peer, lie, HOARD_S if kind == HOARD else 0.0)
        nursery.cancel_scope.cancel()


async def _tell(peer: Peer, lie: Lie, delay_s: float) -> None:
    await trio.sleep(delay_s)
    await _publish(peer, lie.told)
    await _publish(peer, lie.also)


async def _publish(peer: Peer, told: tuple[SignedTransaction, ...]) -> None:
    if not told:
        return
    try:
        await peer.transport.publish(encode_message(Transactions(tuple(tx.wire for tx in told))))
    except TransportError as error:
        log.debug("lie_unheard", code=error.code)


async def _is_stopping(peer: Peer, limit_s: float) -> bool:
    with trio.move_on_after(limit_s):
        await peer.stop.wait()
    return peer.stop.is_set()


def main() -> int:
    """Run the node of a data directory, and lie."""
    parser = argparse.ArgumentParser(prog="devnet.liar")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--lies", required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    lies = given.lies.split(",")
    unknown = sorted(set(lies) - set(LIES))
    if unknown:
        parser.error(f"{unknown[0]}: wanted {', '.join(LIES)}")
    common = Common(data_dir=given.data_dir)
    draws = random.Random(f"{given.seed}/{given.data_dir.name}")
    attend = partial(lie_on, lies=lies, draws=draws)
    return run_data_dir(load_for(common, None, None).config, common, attend=attend)


if __name__ == "__main__":
    sys.exit(main())
