"""What a hostile peer can do to a node: be wrong, once or three times. Nothing else."""

import random
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from devnet.testing.faulty_peer import Answer
from node.sync.fetching import LINK_REST_S, REPLY_TIMEOUT_S, TURN_S
from node.sync.manager import PACE_S
from node.sync.peers import REST_MOST_S, SyncReason
from protocol.messages import (
    WANT_IDS_MAX,
    Bye,
    GetSeals,
    Ranges,
    SealedIds,
    Seals,
    Status,
)
from protocol.ranges import INFINITY, Item, VectorView
from protocol.reconcile import ReconcileSession, Role
from protocol.reconcile_wire import Answer as Reply
from protocol.reconcile_wire import Mode
from protocol.seals import Seal
from storage.store import Store
from tests.support.chains import a_state, publish, publish_chain
from tests.support.peers import TestPeer, a_signer, wait_until
from tests.support.scripted import (
    a_seal_over,
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


async def test_links_that_nobody_has_are_asked_for_now_and_then(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("victim")

        def answer(request: object) -> object:
            return victim.state.status() if isinstance(request, Status) else have_nothing(request)

        for name in ("bob", "carol", "dave"):
            made_up = NOISE.randbytes(32)
            tx = publish(victim.state, a_signer(name), seq=9, prev=made_up)
            victim.state.accept([tx], None)
        liar = await village.add_liar("zara", answer, victim.state.status)
        await village.connect("victim", "zara")
        await trio.sleep(300)
        rounds = 300 / LINK_REST_S + 1
        assert 3 * (rounds - 2) <= liar.asked["GetChain"] <= 3 * rounds + 1
        assert liar.asked["Status"] > 1_000


async def test_however_often_we_are_nudged_we_compare_at_our_own_pace(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        status = a_status(village.genesis)

        def answer(request: object) -> object:
            return status if isinstance(request, Status) else have_nothing(request)

        liar = await village.add_liar("mallory", answer)
        victim = await village.add("victim", interval_s=30.0)
        await village.connect("victim", "mallory")
        for _ in range(1_000):
            victim.sync.nudge("mallory", SyncReason.SEAL_AHEAD)
            await trio.sleep(0.01)
        assert 10 <= liar.asked["Status"] <= 10 / PACE_S + 2


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
