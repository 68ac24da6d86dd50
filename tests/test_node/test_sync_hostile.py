"""What a hostile peer can do to a node: be wrong, once or three times. Nothing else."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.sync.budget import AUDIT_UNITS, UNITS_MAX, UNITS_PER_S
from node.sync.fetching import REPLY_TIMEOUT_S, TURN_S
from node.sync.peers import FAULTS_MAX, REST_MOST_S
from node.sync.server import AUDITS_MAX
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import TransportError
from protocol.chains import build_evidence
from protocol.messages import (
    SCOPE_ALL,
    SCOPE_OPEN,
    WANT_IDS_MAX,
    Blob,
    Bye,
    GetIds,
    GetSeals,
    Ids,
    Items,
    Ranges,
    SealedIds,
    Seals,
    Status,
    Taken,
    Want,
)
from protocol.ranges import INFINITY, Item, VectorView
from protocol.reconcile import ReconcileSession, Role
from protocol.reconcile_wire import Answer as Reply
from protocol.reconcile_wire import Mode
from protocol.seals import Seal, SealContent, compute_sealers_hash, compute_set_root, sign_seal
from protocol.transactions import sign_transaction
from tests.support.chains import a_state, publish, publish_chain
from tests.support.peers import TestPeer, a_signer, some_terms, wait_until
from tests.support.scripted import Liar, Village, a_status, a_village, an_honest_answer

BOB = a_signer("bob")
SEED = 7
NOISE = random.Random(SEED)


def some_ids(count: int) -> list[bytes]:
    return [NOISE.randbytes(32) for _ in range(count)]


def a_seal_over(
    village: Village, ids: list[bytes], *, epoch: int = 1, prev: bytes | None = None
) -> Seal:
    """Return a seal that the sealer signed, over whatever."""
    genesis = village.genesis
    content = SealContent(
        epoch=epoch,
        prev=genesis.hash if prev is None else prev,
        set_root=compute_set_root(ids),
        count=len(ids),
        state_root=bytes(32),
        sealers_next=compute_sealers_hash(genesis.sealers),
        time_ms=0,
    )
    return Seal(content, (sign_seal(genesis.network, content, a_signer("alice")),))


def is_served(taker: TestPeer, giver: TestPeer) -> Callable[[], bool]:
    return lambda: taker.state.status() == giver.state.status()


# ------------------------------------------------------------------------- lies about a status


async def test_a_peer_that_claims_to_be_far_ahead_is_asked_once_an_interval(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        far = replace(a_status(village.genesis), epoch=1_000_000)

        def answer(request: object) -> object:
            return far if isinstance(request, Status) else Seals(())

        liar = await village.add_liar("mallory", answer, lambda: far)
        await village.add("victim", interval_s=1.0)
        await village.connect("victim", "mallory")
        await trio.sleep(60)
        assert liar.asked["GetSeals"] <= 60 / 0.7


async def test_a_peer_that_always_differs_is_reconciled_with_less_and_less_often(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        empty = a_status(village.genesis)

        def answer(request: object) -> object:
            match request:
                case Status():
                    return replace(empty, open_count=1, open_fingerprint=NOISE.randbytes(16))
                case Ranges():
                    session = ReconcileSession(VectorView(()), Role.SERVER)
                    return replace(request, message=session.receive(request.message).reply or b"")
                case _:
                    return Taken(10**6)

        liar = await village.add_liar("zara", answer)
        victim = await village.add("victim", interval_s=0.2)
        victim.state.accept(publish_chain(victim.state, BOB, 100), None)
        await village.connect("victim", "zara")
        await trio.sleep(600)
        most = 10 + 600 / REST_MOST_S
        assert 2 <= liar.asked["Items"] <= most, "pushes cost us most"
        assert liar.asked["Ranges"] <= 2 * most
        assert liar.asked["Status"] > 1_000, "he is still listened to"


async def test_another_root_under_the_same_seal_is_a_lie(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        wrong = replace(a_status(village.genesis), state_root=bytes(32))
        await village.add_liar("mallory", lambda request: wrong, lambda: wrong)
        victim = await village.add("victim")
        await village.connect("victim", "mallory")
        await wait_until(lambda: victim.sync.book.get("mallory").faults > 0)
        assert victim.sync.book.get("mallory").last_fault_code == "other_root"


@pytest.mark.parametrize("shown", ["nothing", "an unsigned seal", "a true seal"])
async def test_another_history_blames_whoever_cannot_show_its_seal(
    tmp_path: Path, autojump_clock: object, shown: str
) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("alice")
        victim.seal()
        other = a_seal_over(village, [])
        fork = a_state(village.genesis)
        fork.seal(a_signer("alice"), 12_345)
        data = fork.store.journal.seal(1)
        assert data is not None
        replies = {
            "nothing": Seals(()),
            "an unsigned seal": Seals((SealedIds(replace(other, votes=()).to_bytes(), b""),)),
            "a true seal": Seals((SealedIds(data, b""),)),
        }

        def answer(request: object) -> object:
            return fork.status() if isinstance(request, Status) else replies[shown]

        liar = await village.add_liar("mallory", answer, fork.status)
        await village.connect("alice", "mallory")
        record = victim.sync.book.get("mallory")
        if shown == "a true seal":
            await wait_until(lambda: record.forked_at == fork.seal_hash)
            await trio.sleep(30)
            assert record.faults == 0, "the sealers did it"
            assert liar.asked["GetSeals"] == 1
        else:
            await wait_until(lambda: record.last_fault_code == "other_history")


# ------------------------------------------------------------------------- sessions without end


async def serve_slowly(liar: Liar, honest: Callable[[object], Awaitable[object]]) -> None:
    """Answer truly, each time just before the other side gives up."""

    async def answer(request: object) -> object:
        await trio.sleep(REPLY_TIMEOUT_S - 1)
        return await honest(request)

    liar.answer = answer


async def test_peers_that_drip_hold_up_nobody_else(tmp_path: Path, autojump_clock: object) -> None:
    async with a_village(tmp_path) as village:
        giver = await village.add("yves")
        giver.state.accept(publish_chain(giver.state, BOB, 3_000), None)
        victim = await village.add("victim", sessions_max=1)
        for name in ("zara", "zeno"):
            liar = await village.add_liar(name, lambda request: None, giver.state.status)
            await serve_slowly(liar, an_honest_answer(giver))
            await village.connect("victim", name)
        await trio.sleep(1)
        await village.connect("victim", "yves")
        # Each has its turn before ours, and may be late once more in it.
        await wait_until(is_served(victim, giver), timeout_s=3 * (TURN_S + REPLY_TIMEOUT_S))


async def test_a_peer_that_splits_for_ever_ends_a_session_not_the_node(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:

        def answer(request: object) -> object:
            match request:
                case Status():
                    noise = NOISE.randbytes(16)
                    return replace(a_status(village.genesis), open_count=9, open_fingerprint=noise)
                case Ranges():
                    reply = Reply()
                    reply.put(INFINITY, Mode.FINGERPRINT, NOISE.randbytes(16))
                    return replace(request, message=reply.to_bytes())
                case _:
                    return Taken(0)

        liar = await village.add_liar("zara", answer)
        victim = await village.add("victim")
        victim.state.accept(publish_chain(victim.state, BOB, 50), None)
        await village.connect("victim", "zara")
        await trio.sleep(60)
        assert liar.asked["Ranges"] <= 16 * 10


async def test_ids_that_nobody_has_are_asked_for_once_a_session(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        view = VectorView(Item(1, item) for item in some_ids(5_000))

        def answer(request: object) -> object:
            match request:
                case Status():
                    noise = NOISE.randbytes(16)
                    return replace(a_status(village.genesis), open_count=9, open_fingerprint=noise)
                case Ranges():
                    session = ReconcileSession(view, Role.SERVER)
                    return replace(request, message=session.receive(request.message).reply or b"")
                case _:
                    return Items((), ())

        liar = await village.add_liar("zara", answer)
        await village.add("victim")
        await village.connect("victim", "zara")
        await trio.sleep(60)
        sessions = sum(isinstance(one, Ranges) and one.is_first for one in liar.requests)
        assert liar.asked["Want"] <= sessions * (5_000 // WANT_IDS_MAX + 1)
        assert sessions <= 10


async def test_a_farewell_in_a_session_is_no_fault(tmp_path: Path, autojump_clock: object) -> None:
    async with a_village(tmp_path) as village:
        other = replace(a_status(village.genesis), open_count=1)

        def answer(request: object) -> object:
            return other if isinstance(request, Status) else Bye("node_stopping", "till then")

        await village.add_liar("zara", answer, lambda: other)
        victim = await village.add("victim")
        await village.connect("victim", "zara")
        await wait_until(lambda: victim.sync.book.get("zara").failures > 0)
        assert victim.sync.book.get("zara").faults == 0


# ------------------------------------------------------------------------------- lies in replies


async def test_whoever_sends_what_was_not_asked_for_is_banned_and_stays_so(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        giver = a_state(village.genesis)
        view = VectorView([Item(1, some_ids(1)[0])])

        def answer(request: object) -> object:
            match request:
                case Status():
                    return replace(giver.status(), open_count=1)
                case Ranges():
                    session = ReconcileSession(view, Role.SERVER)
                    return replace(request, message=session.receive(request.message).reply or b"")
                case _:
                    return Items((publish(giver, BOB).wire,), ())

        liar = await village.add_liar("zara", answer)
        victim = await village.add("victim")
        await village.connect("victim", "zara")
        record = victim.sync.book.get("zara")
        await wait_until(lambda: record.faults >= FAULTS_MAX, timeout_s=120)
        assert record.last_fault_code == "unasked_item"
        await wait_until(lambda: not victim.transport.peers())
        await liar.transport.dial("/memory/victim/p2p/victim")
        await wait_until(lambda: not victim.transport.peers())
        assert victim.state.open.count == 0


async def test_a_seal_whose_ids_come_short_blames_the_peer_and_is_had_from_another(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        giver = await village.add("yves")
        giver.state.accept(publish_chain(giver.state, BOB, 10), None)
        sealed = giver.state.seal(a_signer("alice"), 0)

        def answer(request: object) -> object:
            match request:
                case Status():
                    return giver.state.status()
                case GetSeals():
                    return Seals((replace(sealed, ids=None),))
                case GetIds():
                    assert sealed.ids is not None
                    return Ids(request.epoch, request.offset, sealed.ids[:32])
                case _:
                    return Items((), ())

        await village.add_liar("mallory", answer, giver.state.status)
        victim = await village.add("victim")
        await village.connect("victim", "mallory")
        await wait_until(lambda: victim.sync.book.get("mallory").faults > 0)
        assert victim.sync.book.get("mallory").last_fault_code == "ids_short"
        await village.connect("victim", "yves")
        await wait_until(is_served(victim, giver))


async def test_a_seal_over_evidence_against_a_stranger_is_asked_for_once_a_turn(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        stranger = a_signer("stranger")
        state = a_state(village.genesis)
        tx = publish(state, stranger)
        fork = sign_transaction(tx.header, some_terms(title="Fork"), stranger)
        proof = build_evidence(tx, fork)
        sealed = a_seal_over(village, [proof.evidence_id])
        ahead = replace(state.status(), epoch=1)

        def answer(request: object) -> object:
            match request:
                case Status():
                    return ahead
                case GetSeals():
                    return Seals((SealedIds(sealed.to_bytes(), proof.evidence_id),))
                case _:
                    return Items((), (proof.to_bytes(),))

        liar = await village.add_liar("mallory", answer, lambda: ahead)
        victim = await village.add("victim", interval_s=1.0)
        await village.connect("victim", "mallory")
        await trio.sleep(30)
        assert victim.state.epoch == 0
        assert liar.asked["Want"] <= liar.asked["GetSeals"] <= 60


async def test_links_that_are_not_named_from_above_are_not_stored(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("victim")
        run = publish_chain(victim.state, BOB, 6)
        top = publish_chain(victim.state, BOB, 1, after=run[-1])[0]
        victim.state.accept([top], None)
        other = [sign_transaction(tx.header, some_terms(title="Another chain"), BOB) for tx in run]

        def answer(request: object) -> object:
            match request:
                case Status():
                    return victim.state.status()
                case Want():
                    return Items((), ())
                case _:
                    return Items(tuple(tx.wire for tx in reversed(other)), ())

        liar = await village.add_liar("mallory", answer, victim.state.status)
        await village.connect("victim", "mallory")
        await wait_until(lambda: liar.asked["Want"] > 2)
        assert victim.state.store.totals.stored == 1


@pytest.mark.parametrize("lie", ["another's", "a hole", "out of bounds"])
async def test_a_chain_that_is_none_blames_the_peer(
    tmp_path: Path, autojump_clock: object, lie: str
) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("victim")
        run = publish_chain(victim.state, BOB, 6)
        top = publish_chain(victim.state, BOB, 1, after=run[-1])[0]
        victim.state.accept([top], None)
        sent = {
            "another's": publish_chain(victim.state, a_signer("carol"), 6),
            "a hole": [*run[:2], *run[3:]],
            "out of bounds": [*run, top],
        }[lie]

        def answer(request: object) -> object:
            match request:
                case Status():
                    return victim.state.status()
                case Want():
                    return Items((), ())
                case _:
                    return Items(tuple(tx.wire for tx in reversed(sent)), ())

        await village.add_liar("mallory", answer, victim.state.status)
        await village.connect("victim", "mallory")
        await wait_until(lambda: victim.sync.book.get("mallory").faults > 0)
        assert victim.sync.book.get("mallory").last_fault_code == "unasked_item"


# ------------------------------------------------------------------------------- as a client


async def a_victim_with(village: Village, items: int) -> TestPeer:
    victim = await village.add("victim")
    victim.state.accept(publish_chain(victim.state, BOB, items), None)
    return victim


async def flood(messages: MessageStream, request: object, seconds: float) -> int:
    """Ask as fast as replies come; return how many came."""
    replies = 0
    with trio.move_on_after(seconds):
        while True:
            await messages.ask_any(request, 600)
            replies += 1
    return replies


async def test_one_peer_gets_his_share_of_sessions_and_waits_for_more(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        victim = await a_victim_with(village, 50)
        liar = await village.add_liar("mallory", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        first = ReconcileSession(VectorView(()), Role.CLIENT).start()
        seconds = 20.0
        async with liar.talk_to("victim") as messages:
            request = Ranges(SCOPE_ALL, 0, True, first)
            audits = await flood(messages, request, seconds)
        assert 2 <= audits <= (UNITS_MAX + seconds * UNITS_PER_S) / AUDIT_UNITS + 1
        async with liar.talk_to("victim") as messages, trio.open_nursery() as nursery:
            # The bucket is the peer's, not the stream's; an honest peer has his own.
            nursery.start_soon(flood, messages, Ranges(SCOPE_OPEN, 0, True, first), 10)
            honest = await village.add("honest")
            await village.connect("honest", "victim")
            await wait_until(is_served(honest, victim), timeout_s=5)
            nursery.cancel_scope.cancel()


async def test_few_audits_run_at_the_same_time(tmp_path: Path, autojump_clock: object) -> None:
    async with a_village(tmp_path) as village:
        await a_victim_with(village, 3)
        first = ReconcileSession(VectorView(()), Role.CLIENT).start()
        got: list[object] = []
        async with trio.open_nursery() as nursery:
            for place in range(AUDITS_MAX + 1):
                liar = await village.add_liar(f"mallory {place}", lambda request: None)
                await liar.transport.dial("/memory/victim/p2p/victim")
                done = trio.Event()
                nursery.start_soon(_audit, liar, first, got, done)
                await done.wait()
            assert [type(one) for one in got] == [Ranges] * AUDITS_MAX + [Status]
            nursery.cancel_scope.cancel()
        # Whoever left made room.
        liar = await village.add_liar("late", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        async with liar.talk_to("victim") as messages:
            reply = await messages.ask_any(Ranges(SCOPE_ALL, 0, True, first), 60)
        assert isinstance(reply, Ranges)


async def _audit(liar: Liar, first: bytes, got: list[object], done: trio.Event) -> None:
    async with liar.talk_to("victim") as messages:
        got.append(await messages.ask_any(Ranges(SCOPE_ALL, 0, True, first), 60))
        done.set()
        await trio.sleep_forever()


async def test_a_message_that_never_ends_is_not_waited_for(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        await village.add("victim")
        liar = await village.add_liar("mallory", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        stream = await liar.transport.open_stream(liar.transport.peers()[0], "/minesync/sync/1")
        await stream.send_all((500_000).to_bytes(4, "big"))
        started_s = trio.current_time()
        with pytest.raises(TransportError):
            while True:
                await trio.sleep(1)
                await stream.send_all(b"\0")
                if await _is_closed(stream.receive_some):
                    raise TransportError("stream_closed")
        assert trio.current_time() - started_s < 30


async def _is_closed(receive: Callable[[int], Awaitable[bytes]]) -> bool:
    with trio.move_on_after(0.1):
        return await receive(1) == b""
    return False


@pytest.mark.parametrize("size", [600_000, 1 << 20])
async def test_a_request_longer_than_any_request_ends_the_stream(
    tmp_path: Path, autojump_clock: object, size: int
) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("victim")
        liar = await village.add_liar("mallory", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        async with liar.talk_to("victim") as messages:
            with pytest.raises(PeerLeft, match="frame_too_long"):
                await messages.ask_any(Blob(bytes(32), 0, 0, b""), 60)
                await messages._stream.send_all(size.to_bytes(4, "big"))
                await messages.receive(60)
        assert victim.sync.book.get("mallory").faults == 1


async def test_what_a_peer_pushes_is_verified_and_goes_through_the_door(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("victim")
        liar = await village.add_liar("mallory", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        good = publish(victim.state, BOB)
        stranger = publish(victim.state, a_signer("stranger"))
        forged = replace(good, signature=bytes(64))
        async with liar.talk_to("victim") as messages:
            reply = await messages.ask(Items((good.wire, stranger.wire), ()), Taken, 60)
            assert reply.count == 1
            with pytest.raises(PeerLeft, match="bad_signature"):
                await messages.ask(Items((forged.wire,), ()), Taken, 60)
        assert victim.state.store.totals.stored == 1
        assert victim.sync.book.get("mallory").faults == 1


async def test_absurd_places_in_requests_get_empty_replies(
    tmp_path: Path, autojump_clock: object
) -> None:
    from protocol.messages import GetBlob, GetChain

    async with a_village(tmp_path) as village:
        victim = await a_victim_with(village, 3)
        victim.state.store.put_blob(*a_blob())
        liar = await village.add_liar("mallory", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        huge = (1 << 64) - 1
        async with liar.talk_to("victim") as messages:
            for request in (
                GetIds(1, huge),
                GetIds((1 << 31) - 1, 0),
                GetSeals((1 << 31) - 1),
                GetChain(bytes(32), 0, huge),
                GetChain(BOB.address, huge, 0),
                GetBlob(a_blob()[0], huge),
                Want(b""),
            ):
                reply = await messages.ask_any(request, 60)
                sizes = [len(getattr(reply, name, b"")) for name in ("ids", "data", "seals")]
                assert sum(sizes) == 0
            whole = await messages.ask_any(GetChain(BOB.address, 0, huge), 60)
            assert len(whole.transactions) == 3


def a_blob() -> tuple[bytes, bytes]:
    from protocol.hashing import compute_content_hash

    data = b"some input" * 20_000
    return compute_content_hash(data), data
