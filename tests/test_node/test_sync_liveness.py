"""What must happen in the end: nobody is forgotten, nobody waits for somebody who waits for him."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from node.sync.manager import AUDIT_S, _Inbox
from node.sync.peers import RETRY_MOST_S, SyncReason
from node.transport.base import GossipMessage, PeerName
from protocol.chains import build_evidence
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.messages import Announcement, Ranges, Status, encode_message, pack_ids
from protocol.transactions import SignedTransaction, sign_transaction
from storage.store import Store
from tests.support.chains import publish, publish_chain
from tests.support.peers import TestPeer, a_genesis, a_signer, some_terms, wait_until
from tests.support.scripted import Village, a_village, an_honest_answer

BOB = a_signer("bob")
SELDOM_S = 50.0
"""Between two comparisons, where something else must be faster."""


def a_strict_genesis(late_epochs: int = 1) -> Genesis:
    genesis = a_genesis()
    return replace(genesis, params=replace(genesis.params, late_epochs=late_epochs))


def is_equal(*peers: TestPeer) -> bool:
    return len({peer.state.status() for peer in peers}) == 1


def deafen(village: Village, *names: str) -> None:
    """Lose all gossip on the way to these peers."""

    def lose(message: GossipMessage) -> None:
        """Nothing arrives."""

    for name in names:
        village.peers[name].transport.arrive = lose  # type: ignore[method-assign]


def leave_dead_run(sealer: TestPeer, length: int) -> SignedTransaction:
    """Seal a transaction of Bob's that rests on links which died unsealed."""
    run = publish_chain(sealer.state, BOB, length)
    for _ in range(3):
        sealer.seal()
    top = publish_chain(sealer.state, BOB, 1, after=run[-1])[0]
    sealer.state.accept([*run, top], None)
    sealer.seal()
    return top


async def test_a_newcomer_catches_up_over_many_links_that_died(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path, a_strict_genesis()) as village:
        alice = await village.add("alice")
        top = leave_dead_run(alice, 700)
        newcomer = await village.add("newcomer")
        await village.connect("newcomer", "alice")
        await wait_until(lambda: is_equal(alice, newcomer))
        assert newcomer.state.store.journal.sealed_epoch(top.tx_id) == 4
        assert newcomer.sync.book.get("alice").faults == 0


async def test_links_that_died_are_fetched_for_an_open_transaction_too(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path, a_strict_genesis(3)) as village:
        alice, carol = await village.add("alice"), await village.add("carol")
        run = publish_chain(alice.state, BOB, 40)
        for _ in range(5):
            alice.seal()
        await village.connect("carol", "alice")
        await wait_until(lambda: is_equal(alice, carol))
        top = publish_chain(alice.state, BOB, 1, after=run[-1])[0]
        alice.state.accept([*run, top], None)
        carol.state.accept([top], "gossip")
        await wait_until(lambda: top.tx_id in carol.state.open.effective)


async def test_a_database_of_yesterday_learns_its_own_dead_links_before_it_signs(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path, a_strict_genesis()) as village:
        alice, bob = await village.add("alice"), await village.add("bob", interval_s=SELDOM_S)
        await village.connect("bob", "alice")
        for place in range(3):
            await bob.author.submit("publish_task", some_terms(title=f"Task {place}"))
        await wait_until(lambda: is_equal(alice, bob))
        # All that Bob signed dies, as on the wrong side of a cut, and then his disk does.
        for _ in range(4):
            alice.state.open.effective.clear()
            alice.seal()
        assert alice.state.open.count == 0
        village.network.part(PeerName("bob"), PeerName("alice"))
        signed = bob.state.door.signed_up_to[BOB.address]
        assert signed == 2
        restored = TestPeer(
            "restored", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )
        restored.state.door.signed_up_to[BOB.address] = signed
        async with restored.run():
            await restored.transport.dial("/memory/alice/p2p/alice")
            await wait_until(lambda: restored.state.next_link(BOB.address)[0] == 3)


async def test_what_a_peer_pushes_is_announced_onward(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        # "anna" leads towards "bert", so she pushes; "carl" hears of it from "bert" alone.
        anna = await village.add("anna")
        bert, carl = [await village.add(name, interval_s=SELDOM_S) for name in ("bert", "carl")]
        await village.connect("anna", "bert", "carl")
        await wait_until(lambda: carl.sync.book.get("bert").equal)
        tx = publish(anna.state, BOB)
        fork = sign_transaction(tx.header, some_terms(title="Fork"), BOB)
        carols = publish(anna.state, a_signer("carol"))
        anna.state.accept([carols], None)
        anna.state.accept_evidence(build_evidence(tx, fork).to_bytes())
        await wait_until(lambda: is_equal(anna, bert, carl), timeout_s=SELDOM_S / 4)


async def test_a_seal_learnt_by_asking_is_told_onward(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        alice, _ = await village.add("alice"), await village.add("bert")
        carl = await village.add("carl", interval_s=SELDOM_S)
        await village.connect("alice", "bert", "carl")
        await wait_until(lambda: carl.sync.book.get("bert").equal)
        deafen(village, "bert")
        alice.seal()
        await wait_until(lambda: carl.state.epoch == 1, timeout_s=SELDOM_S / 4)


async def test_ids_whose_author_is_not_connected_are_asked_of_whoever_told(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        alice, bert = [await village.add(n, interval_s=SELDOM_S) for n in ("alice", "bert")]
        await village.connect("alice", "bert")
        await wait_until(lambda: bert.sync.book.get("alice").equal)
        tx = publish(alice.state, BOB)
        alice.state.accept([tx], None)
        notice = encode_message(Announcement("somebody far away", pack_ids([tx.tx_id])))
        await alice.transport.publish(notice)
        await wait_until(lambda: bert.state.knows(tx.tx_id), timeout_s=SELDOM_S / 4)


async def test_a_conversation_outlives_a_long_interval(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        alice, bert = [await village.add(n, interval_s=86_400.0) for n in ("alice", "bert")]
        await village.connect("alice", "bert")
        await wait_until(lambda: bert.sync.book.get("alice").equal)
        deafen(village, "bert")
        alice.state.accept([publish(alice.state, BOB)], None)
        await wait_until(lambda: is_equal(alice, bert), timeout_s=300)
        assert bert.sync.book.get("alice").failures == 0


async def test_news_end_a_long_back_off(tmp_path: Path, autojump_clock: object) -> None:
    async with a_village(tmp_path) as village:
        bert = await village.add("bert")
        # Hangs up on every hello, so that Bert waits longer and longer; then comes to his senses.
        honest = TestPeer(
            "alice", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )
        liar = await village.add_liar("alice", an_honest_answer(honest), honest.state.status)
        is_mad = True
        serve = liar.serve

        async def hang_up(stream: object) -> None:
            if not is_mad:
                await serve(stream)  # type: ignore[arg-type]

        liar.serve = hang_up  # type: ignore[method-assign]
        liar.transport.serve("/minesync/sync/1", hang_up)
        await village.connect("bert", "alice")
        await wait_until(lambda: bert.sync.book.get("alice").failures > 8, timeout_s=600)
        is_mad = False
        sealed = honest.state.seal(a_signer("alice"), 0)
        honest.sync.gossip.tell_seal_nowait(sealed)
        (notice,) = honest.sync.gossip._notices
        # A seal of a later epoch than the next, so that hearing it is not enough.
        later = honest.state.seal(a_signer("alice"), 0)
        honest.sync.gossip.tell_seal_nowait(later)
        notice = honest.sync.gossip._notices[-1]
        await liar.transport.publish(notice)
        await wait_until(lambda: bert.state.epoch == 2, timeout_s=RETRY_MOST_S / 4)


async def test_a_back_off_that_is_over_already_is_not_waited_for() -> None:
    inbox = _Inbox()
    await inbox.wait_for_nudge(-0.5)
    inbox.put(SyncReason.ANNOUNCED, (bytes(32),))
    await inbox.wait_for_nudge(60)
    assert inbox.take() == [bytes(32)], "the nudge is spent, what it was about is not"


async def test_a_session_that_ends_at_its_limits_goes_on_at_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        giver = TestPeer(
            "giver", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )
        giver.state.accept(publish_chain(giver.state, BOB, 2_500), None)
        # Frames so small that the rounds of one session do not carry all.
        answer = an_honest_answer(giver, frame_bytes_max=4_096)
        taker = await village.add("taker", interval_s=SELDOM_S)
        liar = await village.add_liar("zara", answer, giver.state.status)
        await village.connect("taker", "zara")
        await wait_until(lambda: is_equal(giver, taker), timeout_s=SELDOM_S / 4)
        assert sum(isinstance(one, Ranges) and one.is_first for one in liar.requests) > 1


async def test_an_audit_finds_what_every_status_hides(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        giver = TestPeer(
            "giver", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )
        giver.state.accept([publish(giver.state, BOB)], None)
        taker = await village.add("taker", interval_s=SELDOM_S)
        honest = an_honest_answer(giver)

        def answer(request: object) -> object:
            return taker.state.status() if isinstance(request, Status) else honest(request)

        liar = await village.add_liar("zara", answer, taker.state.status)
        await village.connect("taker", "zara")
        with trio.fail_after(2 * AUDIT_S):
            while not is_equal(giver, taker):
                await trio.sleep(SELDOM_S)
        assert liar.asked["Ranges"] <= 3


async def test_whoever_does_not_lead_starts_if_the_leader_does_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        giver = TestPeer(
            "giver", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )
        giver.state.accept([publish(giver.state, BOB)], None)
        # "aaron" leads towards "taker" by his name, and never opens a stream.
        await village.add_liar("aaron", an_honest_answer(giver), giver.state.status)
        taker = await village.add("taker")
        await village.connect("taker", "aaron")
        await wait_until(lambda: is_equal(giver, taker), timeout_s=10)


async def test_a_transaction_from_too_far_ahead_comes_back_when_its_time_has_come(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        alice, bert, carl = [await village.add(name) for name in ("alice", "bert", "carl")]
        for _ in range(6):
            alice.seal()
        tx = publish(alice.state, BOB)
        alice.state.accept([tx], None)
        await village.connect("bert", "carl")
        for peer in (bert, carl):
            refused = peer.state.accept([tx], "gossip").refused
            assert refused == ((tx.tx_id, "too_far_ahead"),)
        await village.connect("alice", "bert")
        await wait_until(lambda: is_equal(alice, bert, carl))
        assert carl.state.knows(tx.tx_id)


async def test_an_account_whose_mark_was_lost_does_not_sign_below_what_it_signed(
    tmp_path: Path,
) -> None:
    async with a_village(tmp_path) as village:
        bob = await village.add("bob")
        chain = publish_chain(bob.state, BOB, 3)
        bob.state.accept(chain[1:], "somebody")
        with pytest.raises(Rejected, match="own_chain_behind"):
            await bob.author.submit("publish_task", some_terms())
        bob.state.accept(chain[:1], "somebody")
        tx = await bob.author.submit("publish_task", some_terms())
        assert tx.header.seq == 3


async def test_an_author_is_told_of_success_only_once_it_is_on_disk(tmp_path: Path) -> None:
    class FullDisk(Exception):
        pass

    async with a_village(tmp_path) as village:
        bob = TestPeer(
            "bob", village.genesis, Store.in_memory(village.genesis), village.network, tmp_path
        )

        def fail(*arguments: object, **options: object) -> None:
            raise FullDisk

        bob.state.store.put_transactions = fail  # type: ignore[method-assign]
        outcome: list[object] = []

        async def submit() -> None:
            try:
                outcome.append(await bob.author.submit("publish_task", some_terms()))
            except Rejected as error:
                outcome.append(error.code)

        with pytest.RaisesGroup(FullDisk):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(submit)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(bob.author.run)
        assert outcome in ([], ["not_signed"])
