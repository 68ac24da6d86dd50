"""Two reconciliation sessions joined back to back, and sets for them to differ in."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.ranges import Item, VectorView
from protocol.reconcile import ReconcileSession


def make_id(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def make_view(items: Iterable[tuple[int, bytes]]) -> VectorView:
    return VectorView(Item(*item) for item in items)


@dataclass
class Talk:
    """What two sessions said to each other."""

    have: list[bytes] = field(default_factory=list)
    need: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    is_partial: bool = False

    @property
    def rounds(self) -> int:
        return (len(self.messages) + 1) // 2

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.messages))


def play(client: ReconcileSession, server: ReconcileSession) -> Talk:
    talk = Talk()
    message: bytes | None = client.start()
    while message is not None:
        answer = server.receive(message).reply
        assert answer is not None
        step = client.receive(answer)
        talk.messages += [message, answer]
        talk.have += step.have
        talk.need += step.need
        assert step.done == (step.reply is None)
        talk.is_partial = step.is_partial
        message = step.reply
    assert len(set(talk.have)) == len(talk.have)
    assert len(set(talk.need)) == len(talk.need)
    return talk
