"""Signatures verified once: inline for a few, in chunks on a thread for many, remembered by bytes.

What passed is remembered by the hash of *all* bytes, never by id: a copy with another signature is
another thing, so a bad copy cannot poison a good one. What failed is not remembered; the peer that
sent it is.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import trio

from node.buggify import buggify
from protocol.errors import Rejected
from protocol.intake import Intake, check_signature
from protocol.transactions import SignedTransaction, is_signed_by_author

REMEMBERED_MAX = 8_192
REMEMBERED_BYTES_MAX = 8 << 20
"""Of signed bytes; opened they take several times as much."""
CHUNK = 64
"""Signatures a thread call verifies: enough to make the hand-over cheap."""
INLINE_MAX = 4


class Verifier:
    """From bytes to verified transactions.

    Args:
        intake: the stateless check of the network.
        is_threaded: verify many on a thread; a simulation verifies inline, to stay one run.
    """

    def __init__(self, intake: Intake, *, is_threaded: bool = True) -> None:
        self._intake = intake
        self._is_threaded = is_threaded
        self._passed: OrderedDict[bytes, SignedTransaction] = OrderedDict()
        self._passed_bytes = 0
        # Two chunks at once fill two cores; a third would only queue.
        self._limiter = trio.CapacityLimiter(2)

    def open_now(self, wire: bytes) -> SignedTransaction:
        """Return the verified transaction of `wire`, without waiting.

        Raises:
            Rejected: as `protocol.intake.Intake.open`.
        """
        key = hashlib.sha256(wire).digest()
        tx = self._passed.get(key)
        if tx is None:
            tx = self._intake.read(wire)
            check_signature(tx)
            self._remember(key, tx)
        return tx

    async def open_many(self, wires: Sequence[bytes]) -> list[SignedTransaction]:
        """Return the verified transactions of `wires`, in order.

        Raises:
            Rejected: for the first that is none; whoever sent it is to blame.
        """
        if len(wires) <= INLINE_MAX or not self._is_threaded:
            return [self.open_now(wire) for wire in wires]
        opened: list[SignedTransaction] = []
        for start in range(0, len(wires), CHUNK):
            chunk = wires[start : start + CHUNK]
            keys = [hashlib.sha256(wire).digest() for wire in chunk]
            found = [
                self._passed.get(key) or self._intake.read(wire)
                for key, wire in zip(keys, chunk, strict=True)
            ]
            fresh = [tx for key, tx in zip(keys, found, strict=True) if key not in self._passed]
            if fresh:
                bad = await trio.to_thread.run_sync(_find_bad, fresh, limiter=self._limiter)
                if bad is not None:
                    raise Rejected("bad_signature", bad.tx_id.hex()[:16], "the author's signature")
            for key, tx in zip(keys, found, strict=True):
                self._remember(key, tx)
            opened.extend(found)
        return opened

    def _remember(self, key: bytes, tx: SignedTransaction) -> None:
        if key in self._passed or buggify("signature_forgotten"):
            return
        self._passed[key] = tx
        self._passed_bytes += len(tx.body)
        while len(self._passed) > REMEMBERED_MAX or self._passed_bytes > REMEMBERED_BYTES_MAX:
            _, oldest = self._passed.popitem(last=False)
            self._passed_bytes -= len(oldest.body)


def _find_bad(transactions: Sequence[SignedTransaction]) -> SignedTransaction | None:
    return next((tx for tx in transactions if not is_signed_by_author(tx)), None)
