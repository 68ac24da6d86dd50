"""This node's own account: it builds, tries out, signs and submits transactions.

Nothing is signed while seals are still coming in: a transaction bears the epoch that its author
knows, and one from long ago finds no seal any more.

Order of a batch: try out against the provisional state, sign, store (one synced write for all),
raise the signing mark, publish. A refused transaction takes no number.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio

from node.high_water import HighWater
from node.state_manager import StateManager
from protocol import kinds
from protocol.book import Refused
from protocol.errors import BlamedError, Rejected
from protocol.keys import Signer
from protocol.transactions import (
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from storage.errors import Full, StorageError

log = structlog.get_logger("author")

WAITING_MAX = 4_096
"""Callers in the queue; further ones wait for a place."""
BATCH_MAX = 256
CATCH_UP_S_MAX = 5.0
"""How long a batch waits for the seals that this node still lacks; then it is refused. So long the
first one of all also waits for somebody who could tell; then it is signed all the same.
"""
CATCH_UP_LOOK_S = 0.25
"""Between two looks at it; a seal that comes in ends the wait at once."""


@dataclass(slots=True)
class _Request:
    kind: str
    payload: Any
    subject: bytes | None
    refs: tuple[bytes, ...]
    done: trio.Event = field(default_factory=trio.Event)
    tx: SignedTransaction | None = None
    error: BlamedError | None = None


class Author:
    """The account that this node signs for.

    Args:
        state: where transactions go.
        signer: the account's key.
        mark: the signing high-water mark.
        publish: told of every transaction that is on disk.
        count_behind: how many seals this node lacks, None while no peer has said anything.
    """

    def __init__(
        self,
        state: StateManager,
        signer: Signer,
        mark: HighWater,
        publish: Callable[[list[SignedTransaction]], None],
        *,
        count_behind: Callable[[], int | None] = lambda: 0,
    ) -> None:
        self._state = state
        self._signer = signer
        self._mark = mark
        self._publish = publish
        self._count_behind = count_behind
        self._has_waited = False
        signed = mark.get(signer.address)
        # Whoever has signed before keeps his chain whole, and asks peers for what he has lost.
        state.door.signed_up_to[signer.address] = -1 if signed is None else signed
        try:
            # The power may have gone between the two: peers will be told of what is stored.
            self.resume()
        except Full as error:
            state.store.gate.shut(error)
        self._send, self._receive = trio.open_memory_channel[_Request](WAITING_MAX)

    @property
    def address(self) -> bytes:
        """The account's address."""
        return self._signer.address

    async def submit(
        self,
        kind: str,
        payload: Any,
        *,
        subject: bytes | None = None,
        refs: tuple[bytes, ...] = (),
    ) -> SignedTransaction:
        """Sign and store a transaction; return it once it is on disk.

        Args:
            kind: name of the kind.
            payload: its payload record.
            subject: the task; None for the kinds whose subject follows from the author.
            refs: ids that the fold will read because of this one, sorted.

        Raises:
            Rejected: the rules refuse it as things stand; nothing was stored or signed.
            SigningError: this machine must not sign now.
            StorageError: it is not known to be on disk, and may be found there later on.
        """
        request = _Request(kind, payload, subject, refs)
        await self._send.send(request)
        await request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.tx is not None
        return request.tx

    def submit_nowait(
        self,
        kind: str,
        payload: Any,
        *,
        subject: bytes | None = None,
        refs: tuple[bytes, ...] = (),
    ) -> SignedTransaction:
        """Do as `submit` does, before returning and in a batch of its own.

        Raises:
            Rejected, SigningError: as there.
        """
        request = _Request(kind, payload, subject, refs)
        self._serve([request])
        if request.error is not None:
            raise request.error
        assert request.tx is not None
        return request.tx

    async def run(self) -> None:
        """Serve requests, all that wait in one batch; never returns."""
        async for first in self._receive:
            batch = [first]
            while len(batch) < BATCH_MAX:
                try:
                    batch.append(self._receive.receive_nowait())
                except trio.WouldBlock:
                    break
            try:
                await self._wait_for_seals()
                self._serve(batch)
            finally:
                for request in batch:
                    if request.tx is None and request.error is None:
                        request.error = Rejected(
                            "not_signed", "the node is stopping", "another try"
                        )
                    request.done.set()

    def resume(self) -> None:
        """At a start and after a full disk: bring the mark up to what is stored, before it is told.

        Raises:
            Full: it is full again.
            SigningError: `mark_unwritable`.
        """
        last = self._state.next_link(self.address)[0] - 1
        mark = self._mark.get(self.address)
        if last > (-1 if mark is None else mark):
            self._raise_mark(last)

    def _raise_mark(self, seq: int) -> None:
        self._mark.raise_to(self.address, seq)
        self._state.door.signed_up_to[self.address] = seq

    def _is_behind(self) -> bool:
        """Tell whether what is signed now might find no seal; an epoch is left to travel in."""
        behind = self._count_behind()
        return behind is not None and behind > max(0, self._state.params.late_epochs - 1)

    async def _wait_for_seals(self) -> None:
        with trio.move_on_after(CATCH_UP_S_MAX), self._state.broadcast.listen() as listener:
            while self._is_behind() or (self._count_behind() is None and not self._has_waited):
                await listener.wait(CATCH_UP_LOOK_S)
        self._has_waited = True

    def _serve(self, batch: list[_Request]) -> None:
        signed: list[SignedTransaction] = []
        served: list[_Request] = []
        for request in batch:
            try:
                self._check_chain()
                tx = self._build(request)
                self._state.stage(tx)
            except BlamedError as error:
                request.error = error
            else:
                signed.append(tx)
                served.append(request)
        if not signed:
            return
        try:
            self._state.store_staged(signed)
            self._raise_mark(signed[-1].header.seq)
        except StorageError as error:
            for request in served:
                request.error = error
            if not isinstance(error, Full):
                raise
            self._state.store.gate.shut(error)
            return
        self._publish(signed)
        # Only now: whoever waits is told of nothing that a crash could take back.
        for request, tx in zip(served, signed, strict=True):
            request.tx = tx

    def _check_chain(self) -> None:
        """Refuse to sign on a full disk, far behind, or on a database older than our own chain."""
        self._state.store.gate.check()
        if self._is_behind():
            found = f"{self._count_behind()} epochs behind"
            raise Rejected("catching_up", found, "the seals that peers have; try again")
        reason = self._state.store.needs_repair
        if reason is not None:
            raise Rejected("store_in_repair", reason, "a database refilled from peers")
        mark = self._mark.get(self.address)
        next_seq = self._state.next_link(self.address)[0]
        if mark is None:
            # The mark may be what was lost: a link above a hole was signed somewhere.
            head = self._state.store.journal.author_head(self.address)
            mark = None if head is None else head[0]
        if mark is not None and next_seq <= mark:
            raise Rejected(
                "own_chain_behind", f"next seq {next_seq}", f"seq {mark} signed before, from a peer"
            )

    def _build(self, request: _Request) -> SignedTransaction:
        kind = kinds.BY_NAME[request.kind]
        seq, prev = self._state.next_link(self.address)
        subject = request.subject
        if subject is None:
            is_publication = request.kind == "publish_task"
            subject = (
                compute_task_id(self._state.network, self.address, seq)
                if is_publication
                else self.address
            )
        header = Header(
            version=VERSION,
            network=self._state.network,
            kind=kind.code,
            author=self.address,
            seq=seq,
            prev=prev,
            epoch=self._state.epoch + 1,
            anchor=self._state.seal_hash[:16],
            subject=subject,
            refs=request.refs,
        )
        kind.check(header, request.payload)
        tx = sign_transaction(header, request.payload, self._signer)
        # Read back strictly: what we sign must be what every peer accepts.
        tx = self._state.intake.read(tx.wire)
        ruling = self._state.open.try_out(tx)
        if ruling is not None:
            raise Refused(ruling.code, ruling.found, ruling.wanted, ruling.lost_to)
        return tx
