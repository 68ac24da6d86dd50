"""What a hostile peer can do to a node: be wrong, once or three times. Nothing else."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.sync.fetching import REPLY_TIMEOUT_S, TURN_S
from node.sync.peers import FAULTS_MAX, REST_MOST_S
from protocol.chains import build_evidence
from protocol.messages import (
    WANT_IDS_MAX,
    Bye,
    GetChain,
    GetIds,
    GetSeals,
    Ids,
    Items,
    Ranges,
    SealedIds,
    Seals,
    Status,
)
from protocol.ranges import INFINITY, Item, VectorView
from protocol.reconcile import ReconcileSession, Role
from protocol.reconcile_wire import Answer as Reply
from protocol.reconcile_wire import Mode
from protocol.seals import Seal, SealContent, compute_sealers_hash, compute_set_root, sign_seal
from protocol.transactions import sign_transaction
from storage.store import Store
from tests.support.chains import a_state, publish, publish_chain
from tests.support.peers import TestPeer, a_signer, some_terms, wait_until
from tests.support.scripted import (
    Answer,
    Village,
    a_status,
    a_village,
    an_honest_answer,
    have_nothing,
)

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
            return far if isinstance(request, Status) else have_nothing(request)

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
                case _:
                    return have_nothing(request)

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


@pytest.mark.parametrize("shown", ["nothing", "another seal", "an unsigned seal", "a true seal"])
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
        true = Seal.from_bytes(data)
        replies = {
            "nothing": Seals(()),
            "another seal": Seals((SealedIds(other.to_bytes(), b""),)),
            "an unsigned seal": Seals((SealedIds(replace(true, votes=()).to_bytes(), b""),)),
            "a true seal": Seals((SealedIds(data, b""),)),
        }

        def answer(request: object) -> object:
            match request:
                case Status():
                    return fork.status()
                case GetSeals():
                    return replies[shown]
                case _:
                    return have_nothing(request)

        liar = await village.add_liar("mallory", answer, fork.status)
        await village.connect("alice", "mallory")
        record = victim.sync.book.get("mallory")
        if shown == "a true seal":
            await wait_until(lambda: record.forked_at == fork.seal_hash)
            await trio.sleep(30)
            assert record.faults == 0, "the sealers did it"
            assert liar.asked["GetSeals"] == 1
        else:
            code = "seal_quorum" if shown == "an unsigned seal" else "other_history"
            await wait_until(lambda: record.last_fault_code == code)


# ------------------------------------------------------------------------- sessions without end


def slow_down(honest: Answer) -> Answer:
    """Answer truly, each time just before the other side gives up."""

    async def answer(request: object) -> object:
        await trio.sleep(REPLY_TIMEOUT_S - 1)
        reply = honest(request)
        return await reply if isinstance(reply, Awaitable) else reply

    return answer


async def test_peers_that_drip_hold_up_nobody_else(tmp_path: Path, autojump_clock: object) -> None:
    async with a_village(tmp_path) as village:
        giver = TestPeer(
            "giver", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )
        giver.state.accept(publish_chain(giver.state, BOB, 3_000), None)
        victim = await village.add("victim", sessions_max=1)
        for name in ("zara", "zeno"):
            answer = slow_down(an_honest_answer(giver))
            await village.add_liar(name, answer, giver.state.status)
            await village.connect("victim", name)
        await trio.sleep(1)
        await village.add_liar("zoe", an_honest_answer(giver), giver.state.status)
        await village.connect("victim", "zoe")
        # Each of the two has its turn before, and may be late once more in it.
        longest_s = 2 * (TURN_S + REPLY_TIMEOUT_S)
        await wait_until(lambda: victim.state.status() == giver.state.status(), longest_s)


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
                    return have_nothing(request)

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
                    return have_nothing(request)

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
        asked = len(liar.requests)
        await liar.transport.dial("/memory/victim/p2p/victim")
        await wait_until(lambda: not victim.transport.peers())
        assert len(liar.requests) == asked
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
                    return have_nothing(request)

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
                case GetChain() if request.author == BOB.address:
                    return Items(tuple(tx.wire for tx in reversed(other)), ())
                case _:
                    return have_nothing(request)

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
                case GetChain() if request.author == BOB.address:
                    return Items(tuple(tx.wire for tx in reversed(sent)), ())
                case _:
                    return have_nothing(request)

        await village.add_liar("mallory", answer, victim.state.status)
        await village.connect("victim", "mallory")
        await wait_until(lambda: victim.sync.book.get("mallory").faults > 0)
        assert victim.sync.book.get("mallory").last_fault_code == "unasked_item"
