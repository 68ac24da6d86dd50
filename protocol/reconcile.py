"""Range-based set reconciliation, byte-compatible with Negentropy V1. No I/O: bytes in, bytes out.

Messages alternate; the client speaks first, and alone learns which ids it has and which it needs.
A range whose fingerprints are equal is skipped; one of few items is listed; any other is split
into 16. `protocol.reconcile_wire` has the bytes.

Rule 1: a message is parsed whole, and refused whole, before any work is done for it.
Rule 2: what does not fit into an answer is not lost: the answer ends with one fingerprint from
        there to infinity, and the peer asks again. The first range of a message always fits, so
        every round makes progress.
Rule 3: that last fingerprint covers exactly the range that the bounds say. (Some implementations
        leave out the range that did not fit; then a difference inside it can stay unseen.)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from protocol.errors import InvariantBroken, PeerFault
from protocol.ranges import (
    ID_BYTES,
    INFINITY,
    Bound,
    RangeView,
    compute_minimal_bound,
    encode_varint,
)
from protocol.reconcile_wire import VERSION, Answer, Mode, Range, parse_ranges

_VERSION_LOWEST, _VERSION_HIGHEST = 0x60, 0x6F
_BUCKETS = 16
_RESERVE_BYTES = 200
"""Kept free in a frame for what ends it; part of the protocol of byte-identical answers."""
_RESERVE_RANGES = 3
"""A skip, an id list after it, and the last fingerprint."""

FRAME_BYTES_MAX = 256 << 10
"""Of our messages. It lists 8,180 ids: an empty set learns 100,000 in 13 rounds."""
_FRAME_BYTES_MIN = 4_096


class Role(IntEnum):
    """Which side of a session this is."""

    CLIENT = 0
    SERVER = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may cost. The defaults hold between two of our own nodes.

    A message makes its receiver compute at most one fingerprint for each range received and one
    for each range sent: 2 x `ranges_max` and a few, some 50 ms at 20 us each.

    Attributes:
        message_bytes_max: of one message of the peer.
        ranges_max: in one message, received (a fault) or sent (the answer ends there).
        rounds_max: messages received. Splitting by 16 meets every difference among ten million
            items in three rounds; the other rounds are for answers that did not fit. A client
            ends at the bound with what it has learnt, and the next session goes on from there.
        have_max: ids in one `Step.have`; a client counts its own items in advance, since a peer
            can claim in three bytes to have nothing at all.
        ids_max: ids learnt by one session; a client ends once it has reached them.
    """

    message_bytes_max: int = FRAME_BYTES_MAX
    ranges_max: int = 1_024
    rounds_max: int = 16
    have_max: int = 32_768
    ids_max: int = 131_072

    def __post_init__(self) -> None:
        # An answer must hold one split of a range, with a skip before it and the reserve after.
        if self.ranges_max < 1 + _BUCKETS + _RESERVE_RANGES:
            raise InvariantBroken(f"{self.ranges_max} ranges do not hold one split")
        # Splitting ends at ranges of fewer items than two buckets, which one step must take.
        if self.have_max < 2 * _BUCKETS:
            raise InvariantBroken(f"a step of {self.have_max} ids does not hold one range")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Step:
    """What one message led to.

    Attributes:
        reply: the message to send back, or None.
        have: ids that we hold and the peer lacks; only a client learns any. No id comes twice.
        need: ids that the peer listed and our view lacks, likewise. Only a claim of the peer.
        done: no further message is expected.
        is_partial: the session ended at one of its limits, not because the sets are equal now.
    """

    reply: bytes | None
    have: tuple[bytes, ...] = ()
    need: tuple[bytes, ...] = ()
    done: bool = False
    is_partial: bool = False


class ReconcileSession:
    """One session over a view that does not change meanwhile."""

    def __init__(
        self,
        view: RangeView,
        role: Role,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare a session.

        Args:
            view: our set.
            role: the client begins with `start`, the server with `receive`.
            frame_bytes_max: of our messages, at least 4,096; 0 means no bound, which is for
                comparing bytes with implementations that have none.
            limits: of everything else.

        Raises:
            InvariantBroken: `frame_bytes_max` is below 4,096 and not 0.
        """
        if 0 < frame_bytes_max < _FRAME_BYTES_MIN:
            raise InvariantBroken(f"frames of {frame_bytes_max} bytes do not hold one split")
        self._view = view
        self._size = view.size()
        self._role = role
        self._frame_bytes_max = frame_bytes_max
        self._limits = limits
        self._rounds = 0
        self._is_over = False
        self._is_started = role is Role.SERVER
        self._have: set[bytes] = set()
        self._need: set[bytes] = set()

    def start(self) -> bytes:
        """Return the client's first message.

        Raises:
            InvariantBroken: called twice, or by a server.
        """
        if self._is_started:
            raise InvariantBroken("only a client starts a session, and only once")
        self._is_started = True
        answer = Answer()
        self._split(answer, 0, self._size, INFINITY)
        return answer.to_bytes()

    def receive(self, message: bytes) -> Step:
        """Take the peer's next message and return what to do about it.

        Raises:
            PeerFault: `session_over`, `rounds_too_many`, `message_too_long`, `message_empty`,
                `version_unknown`, `version_unsupported`, or as `parse_ranges`. The session is
                over then.
            InvariantBroken: a client that has not started.
        """
        limits = self._limits
        if not self._is_started:
            raise InvariantBroken("a client starts before it receives")
        if self._is_over:
            raise PeerFault("session_over", "a further message", "none")
        self._rounds += 1
        if self._rounds > limits.rounds_max:
            raise PeerFault("rounds_too_many", self._rounds, f"at most {limits.rounds_max}")
        if len(message) > limits.message_bytes_max:
            wanted = f"at most {limits.message_bytes_max}"
            raise PeerFault("message_too_long", f"{len(message)} bytes", wanted)
        # Until the message has turned out to be one: nothing follows a fault.
        self._is_over = True
        if not self._is_our_version(message):
            self._is_over = False
            return Step(bytes([VERSION]))
        ranges = parse_ranges(message, limits.ranges_max)
        if self._role is Role.SERVER:
            reply = self._answer(ranges, [], [])
            self._is_over = len(reply) == 1
            return Step(reply, done=self._is_over)
        have: list[bytes] = []
        need: list[bytes] = []
        reply = self._answer(ranges, have, need)
        is_equal = len(reply) == 1
        is_spent = (
            self._rounds == limits.rounds_max or len(self._have) + len(self._need) >= limits.ids_max
        )
        self._is_over = is_equal or is_spent
        return Step(
            reply=None if self._is_over else reply,
            have=tuple(have),
            need=tuple(need),
            done=self._is_over,
            is_partial=is_spent and not is_equal,
        )

    def _is_our_version(self, message: bytes) -> bool:
        if not message:
            raise PeerFault("message_empty", "0 bytes", "a version byte")
        version = message[0]
        if not _VERSION_LOWEST <= version <= _VERSION_HIGHEST:
            wanted = f"{_VERSION_LOWEST:02x}..{_VERSION_HIGHEST:02x}"
            raise PeerFault("version_unknown", f"{version:02x}", wanted)
        if version != VERSION and self._role is Role.CLIENT:
            raise PeerFault("version_unsupported", f"{version:02x}", f"{VERSION:02x}")
        return version == VERSION

    def _answer(self, ranges: list[Range], have: list[bytes], need: list[bytes]) -> bytes:
        """Return the message that answers `ranges`; a client's findings go to the two lists."""
        view = self._view
        answer = Answer()
        lower = 0
        for bound, mode, payload in ranges:
            upper = view.find_lower_bound(lower, self._size, bound)
            before = answer.mark()
            if mode is Mode.SKIP:
                answer.skip_to(bound)
            elif mode is Mode.FINGERPRINT:
                if payload == view.fingerprint(lower, upper):
                    answer.skip_to(bound)
                else:
                    self._split(answer, lower, upper, bound)
            elif self._role is Role.SERVER:
                upper = self._list_ids(answer, lower, upper, bound)
                if self._is_full(answer):
                    if not answer.is_complete:
                        self._put_tail(answer, upper)
                    break
            elif upper - lower > self._limits.have_max:
                # Too much to take in at once: let the peer say more precisely what it lacks.
                self._split(answer, lower, upper, bound)
            elif len(have) + upper - lower > self._limits.have_max:
                self._put_tail(answer, lower)
                break
            else:
                self._compare(lower, upper, payload, have, need)
                answer.skip_to(bound)
            if self._is_full(answer):
                answer.undo(before)
                self._put_tail(answer, lower)
                break
            lower = upper
        return answer.to_bytes()

    def _split(self, answer: Answer, lower: int, upper: int, bound: Bound) -> None:
        """Say what we hold in a range: its ids when they are few, else 16 fingerprints."""
        view = self._view
        count = upper - lower
        if count < 2 * _BUCKETS:
            self._put_ids(answer, lower, upper, bound)
            return
        bucket_items, larger_buckets = divmod(count, _BUCKETS)
        begin = lower
        for bucket in range(_BUCKETS):
            end = begin + bucket_items + (bucket < larger_buckets)
            inner = bound
            if end != upper:
                inner = compute_minimal_bound(view.item(end - 1), view.item(end))
            answer.put(inner, Mode.FINGERPRINT, view.fingerprint(begin, end))
            begin = end

    def _list_ids(self, answer: Answer, lower: int, upper: int, bound: Bound) -> int:
        """List our ids of a range as far as the frame has room; return the rank of the next."""
        if self._frame_bytes_max:
            room_bytes = self._frame_bytes_max - _RESERVE_BYTES - answer.size_bytes
            last = lower + room_bytes // ID_BYTES + 1
            if last < upper:
                upper = last
                bound = Bound(*self._view.item(upper))
        self._put_ids(answer, lower, upper, bound)
        return upper

    def _put_ids(self, answer: Answer, lower: int, upper: int, bound: Bound) -> None:
        ids = b"".join(item.id for item in self._view.iterate(lower, upper))
        answer.put(bound, Mode.ID_LIST, encode_varint(upper - lower) + ids)

    def _put_tail(self, answer: Answer, lower: int) -> None:
        """End an answer: everything from `lower` on is for a later round."""
        tail = self._view.fingerprint(lower, self._size)
        answer.put(INFINITY, Mode.FINGERPRINT, tail)

    def _is_full(self, answer: Answer) -> bool:
        if answer.ranges > self._limits.ranges_max - _RESERVE_RANGES:
            return True
        limit = self._frame_bytes_max
        return limit > 0 and answer.size_bytes > limit - _RESERVE_BYTES

    def _compare(
        self, lower: int, upper: int, payload: bytes, have: list[bytes], need: list[bytes]
    ) -> None:
        """Find the differences between our ids of a range and those the peer listed."""
        # A dictionary keeps their order; a peer may list an id twice or in two ranges.
        places = range(0, len(payload), ID_BYTES)
        theirs = dict.fromkeys(payload[place : place + ID_BYTES] for place in places)
        ours = [item.id for item in self._view.iterate(lower, upper)]
        _extend_with_new(have, self._have, (id_ for id_ in ours if id_ not in theirs))
        for id_ in ours:
            theirs.pop(id_, None)
        _extend_with_new(need, self._need, theirs)


def _extend_with_new(found: list[bytes], seen: set[bytes], ids: Iterable[bytes]) -> None:
    """Append the ids that this session has not reported before."""
    for id_ in ids:
        if id_ not in seen:
            seen.add(id_)
            found.append(id_)
