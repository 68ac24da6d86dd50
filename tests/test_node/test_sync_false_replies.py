"""Replies that are not what was asked for: noticed, blamed, and without effect."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.sync.peers import FAULTS_MAX
from protocol.chains import build_evidence
from protocol.messages import (
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
from protocol.ranges import Item, VectorView
from protocol.reconcile import ReconcileSession, Role
from protocol.transactions import sign_transaction
from tests.support.chains import a_state, publish, publish_chain
from tests.support.peers import TestPeer, a_signer, some_terms, wait_until
from tests.support.scripted import (
    a_seal_over,
    a_village,
    have_nothing,
)

BOB = a_signer("bob")
SEED = 7
NOISE = random.Random(SEED)


def some_ids(count: int) -> list[bytes]:
    return [NOISE.randbytes(32) for _ in range(count)]


def is_served(taker: TestPeer, giver: TestPeer) -> Callable[[], bool]:
    return lambda: taker.state.status() == giver.state.status()


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


async def test_the_ids_of_a_seal_are_not_fetched_again_while_items_lack(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village:
        giver = a_state(village.genesis)
        giver.accept(publish_chain(giver, BOB, 10), None)
        sealed = giver.seal(a_signer("alice"), 0)

        def answer(request: object) -> object:
            match request:
                case Status():
                    return giver.status()
                case GetSeals():
                    return Seals((replace(sealed, ids=None),))
                case GetIds():
                    return Ids(request.epoch, request.offset, sealed.ids or b"")
                case _:
                    return have_nothing(request)

        liar = await village.add_liar("mallory", answer, giver.status)
        await village.add("victim", interval_s=1.0)
        await village.connect("victim", "mallory")
        await trio.sleep(30)
        assert liar.asked["GetSeals"] > 10
        assert liar.asked["GetIds"] == 1


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
        await wait_until(lambda: liar.asked["Want"] > 1, timeout_s=120)
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
