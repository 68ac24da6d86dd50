"""Four sealers: seals while three agree, none while two do, and one history whatever happens."""

import random
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.clock import SystemClock
from node.diary_file import DiaryFile
from node.rpc.sealing_view import show_sealing
from node.transport.memory import MemoryTransport
from protocol.agreement_effects import Diary
from protocol.ballots import (
    Ballot,
    Proposal,
    SealVote,
    Step,
    check_double_ballot,
    choose_proposer,
    sign_ballot,
)
from protocol.lthash import LtHash
from protocol.messages import (
    BallotNotice,
    ProposalNotice,
    SealVoteNotice,
    encode_message,
    pack_ids,
)
from protocol.plan import complete, compute_plan_hash
from protocol.seals import sign_seal
from protocol.secret_box import SecretBox
from protocol.tables import ACCOUNTS
from protocol.transactions import sign_transaction
from storage.memory import MemoryEngine
from storage.replay import replay
from storage.store import Store
from tests.support.chains import a_header
from tests.support.council import EPOCH_S, SEALERS, Council, a_council
from tests.support.peers import a_signer, some_terms

DAY_MS = 86_400_000


async def publish(council: Council, name: str, title: str = "A task") -> bytes:
    tx = await council.seats[name].peer.author.submit("publish_task", some_terms(title=title))
    return tx.tx_id


def is_sealed(council: Council, name: str, tx_id: bytes) -> bool:
    return council.seats[name].peer.state.store.journal.sealed_epoch(tx_id) is not None


async def test_four_sealers_end_epoch_after_epoch_together(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        tx_id = await publish(council, "bob")
        begun_s = trio.current_time()
        await council.wait_for(6)
        assert trio.current_time() - begun_s < 7 * EPOCH_S
        assert council.check_one_history() >= 6
        assert all(is_sealed(council, name, tx_id) for name in SEALERS)
        assert len(council.read_seal("alice", 5).votes) >= 3
        secrets = [council.read_seal("alice", epoch).content.secret for epoch in range(1, 7)]
        assert secrets[0] is None, "nobody could deal before the first"
        assert len(set(secrets)) == 6
        shown = show_sealing(council.seats["carol"].peer.state, 0)
        assert shown["quorum"] == 3
        assert sum(item["signed_last"] for item in shown["items"]) >= 3


async def test_seals_go_on_without_one_stop_without_two_and_resume(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(2)
        await council.kill("dave")
        # Every fourth epoch is the turn of the one that is gone.
        await council.wait_for(10)
        await council.kill("carol")
        await trio.sleep(2 * EPOCH_S)
        stopped_at = max(council.epochs().values())
        tx_id = await publish(council, "alice")
        await trio.sleep(60 * EPOCH_S)
        assert set(council.epochs().values()) == {stopped_at}
        assert tx_id in council.seats["bob"].peer.state.open.effective, "shown as provisional"
        await council.start("carol")
        await council.wait_for(stopped_at + 5)
        await council.start("dave")
        await council.wait_for(stopped_at + 10)
        assert council.check_one_history() >= stopped_at + 10
        assert is_sealed(council, "dave", tx_id)


async def test_a_sealer_that_opens_nothing_and_one_that_deals_nothing_delay_nobody(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, dealt, opened = a_signer("dave"), SecretBox.deal, SecretBox.open
    monkeypatch.setattr(
        SecretBox,
        "deal",
        lambda self, signer: None if signer.address == silent.address else dealt(self, signer),
    )
    monkeypatch.setattr(
        SecretBox,
        "open",
        lambda self, signer: None if signer.address == silent.address else opened(self, signer),
    )
    async with a_council(tmp_path) as council:
        await council.start()
        begun_s = trio.current_time()
        await council.wait_for(6)
        assert trio.current_time() - begun_s < 7 * EPOCH_S
        council.check_one_history()
        assert council.read_seal("alice", 6).content.secret is not None


async def test_who_only_has_the_journal_comes_to_the_same_state_with_the_secrets_of_its_seals(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path, watchers=("erin",)) as council:
        await council.start()
        for place in range(4):
            await publish(council, "bob", f"Task {place}")
            await council.wait_for(place + 2)
        store = council.seats["erin"].peer.state.store
        again = Store(MemoryEngine(), council.genesis)
        assert replay(store.journal, again).stopped is None
        assert again.head.epoch == store.head.epoch >= 5
        assert again.head.state_root == store.head.state_root


async def test_deals_that_all_have_forgotten_come_again_from_their_dealers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(3)
        names = sorted(council.running)
        await council.kill(*names)
        for name in names:
            seat = council.seats[name]
            # What is left is as of the last seal: the diary of its epoch, without what was dealt.
            diary = DiaryFile(None)
            epoch = Store(seat.engine, council.genesis).head.epoch
            diary.write(Diary(epoch + 1, 0), {})
            seat.diary = diary
            await council.start(name)
        await council.wait_for(6)
        council.check_one_history()


async def test_a_cut_in_halves_stops_both_and_neither_forks(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(3)
        council.cut(("alice", "bob"), ("carol", "dave"))
        await trio.sleep(2 * EPOCH_S)
        before = council.epochs()
        here, there = await publish(council, "alice"), await publish(council, "dave")
        await trio.sleep(30 * EPOCH_S)
        assert council.epochs() == before
        await council.heal()
        await council.wait_for(max(before.values()) + 5)
        council.check_one_history()
        assert all(is_sealed(council, name, tx) for name in SEALERS for tx in (here, there))


async def test_a_clock_that_is_a_day_ahead_moves_only_what_is_shown(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        council.seats["carol"].clock = SystemClock(DAY_MS)
        await council.start()
        begun_s = trio.current_time()
        await council.wait_for(9)
        assert trio.current_time() - begun_s < 10 * EPOCH_S
        council.check_one_history()
        times = [council.read_seal("alice", epoch).content.time_ms for epoch in range(1, 9)]
        now_ms = council.seats["alice"].clock.now_ms()
        assert sum(time_ms > now_ms + DAY_MS // 2 for time_ms in times) == 2, "his turns"


async def test_without_any_gossip_seals_still_come(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        council.loss = 1.0
        await council.start()
        tx_id = await publish(council, "dave")
        await council.wait_for(5, patience_s=120)
        council.check_one_history()
        assert all(is_sealed(council, name, tx_id) for name in SEALERS)


async def test_sealers_that_know_each_other_through_a_watcher_only_agree_without_gossip(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path, watchers=("erin",)) as council:
        council.loss = 1.0
        for place, name in enumerate(SEALERS):
            council.cut((name,), SEALERS[place + 1 :])
        await council.start("erin", *SEALERS)
        tx_id = await publish(council, "erin")
        await council.wait_for(4, patience_s=120)
        assert council.seats["alice"].peer.transport.peers() == ("erin",)
        council.check_one_history()
        assert is_sealed(council, "dave", tx_id)


async def test_ids_that_are_too_many_for_gossip_are_asked_for(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync.gossip.GOSSIP_SEAL_IDS_MAX", 2)
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(1)
        published = [await publish(council, "bob", f"Task {n}") for n in range(9)]
        begun_s = trio.current_time()
        await council.wait_for(4)
        assert trio.current_time() - begun_s < 4 * EPOCH_S, "no round was lost over it"
        council.check_one_history()
        assert all(is_sealed(council, name, tx_id) for name in SEALERS for tx_id in published)


async def test_an_author_who_tells_each_sealer_something_else_does_not_stop_them(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    author = a_signer("erin")
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(2)
        for name in SEALERS:
            state = council.seats[name].peer.state
            header = a_header(state, author, seq=0, prev=None)
            tx = sign_transaction(header, some_terms(title=f"to {name}"), author)
            state.accept([tx], None)
            council.seats[name].peer.sync.gossip.tell_nowait([tx])
        await council.wait_for(8)
        council.check_one_history()
        for name in SEALERS:
            state = council.seats[name].peer.state
            account = state.store.view.get(ACCOUNTS, author.address)
            assert account is not None
            assert account.barred_from == 0
            assert state.open.count == 0


async def test_who_finds_another_root_over_an_equal_set_stops_and_the_others_go_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(2)
        state = council.seats["bob"].peer.state
        # What a flipped bit in memory does: rows that hash to something else.
        wrong = LtHash.from_bytes(state.store.head.rows_hash.to_bytes())
        wrong.add_row("tasks", b"key", b"row")
        state.store.head.rows_hash = wrong
        others = ("alice", "carol", "dave")
        await council.wait_for(max(council.epochs().values()) + 6, *others)
        assert state.alarm is not None
        stopped_at = state.epoch
        await trio.sleep(5 * EPOCH_S)
        assert state.epoch == stopped_at, "folding stopped"
        council.running.discard("bob")
        assert council.check_one_history() > stopped_at + 5


@pytest.mark.parametrize("count", [1, 2, 3, 7])
async def test_any_number_of_sealers_agrees(
    count: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    names = tuple(f"sealer {place}" for place in range(count))
    async with a_council(tmp_path, names) as council:
        await council.start()
        await council.wait_for(4)
        assert council.check_one_history() >= 4


async def lead_a_hard_life(council: Council, rng: random.Random, steps: int) -> None:
    """Kill, restart, cut, heal and publish at random; often all at once lose their power."""
    for step in range(steps):
        await trio.sleep(rng.random())
        what = rng.randrange(9)
        down = sorted(set(SEALERS) - council.running)
        if what == 0 and len(down) < 2:
            await council.kill(rng.choice(sorted(council.running)))
        elif what <= 2 and down:
            await council.start(rng.choice(down))
        elif what == 3:
            names = rng.sample(SEALERS, 4)
            cut = rng.randrange(1, 3)
            council.cut(names[:cut], names[cut:])
        elif what == 4:
            await council.heal()
        elif what == 5:
            council.loss = rng.choice((0.0, 0.3, 0.9))
        elif what == 6:
            # A power cut for all: what they promised one another is on their disks only.
            names = sorted(council.running)
            await council.kill(*names)
            for name in names:
                await council.start(name)
        else:
            await publish(council, rng.choice(sorted(council.running)), f"Task {step}")
        council.check_one_history()


@pytest.mark.parametrize("seed", range(3))
async def test_a_hard_life_ends_in_one_history(
    seed: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    rng = random.Random(seed)
    async with a_council(tmp_path) as council:
        council.rng = random.Random(seed)
        await council.start()
        await lead_a_hard_life(council, rng, 30)
        council.loss = 0.0
        await council.heal()
        for name in sorted(set(SEALERS) - council.running):
            await council.start(name)
        last = max(council.epochs().values())
        await council.wait_for(last + 4, patience_s=180)
        assert council.check_one_history() >= last + 4
        roots = {seat.peer.state.state_root for seat in council.seats.values()}
        assert len(roots) == 1
        assert not any(seat.peer.state.ballots.list_convicted() for seat in council.seats.values())


class TwoFaced:
    """A sealer that tells one half of the network this and the other half that.

    Args:
        council: in which it has a seat.
        name: whose key it has.
        nursery: of its tasks.
    """

    def __init__(self, council: Council, name: str) -> None:
        self.council = council
        self.signer = a_signer(name)
        self.peer = council.seats[name].peer
        self._told: set[tuple[int, int]] = set()

    async def run(self, *faces: MemoryTransport) -> None:
        """Say something else through each face, of every content and of nil, round after round."""
        state = self.peer.state
        while True:
            box = state.ballots.box
            number = box.reached_round()
            if (box.epoch, number) not in self._told:
                self._told.add((box.epoch, number))
                for place, face in enumerate(faces):
                    for word in self._list_words(number, time_ms=place):
                        await face.publish(encode_message(word))
            await trio.sleep(EPOCH_S / 10)

    def _list_words(self, number: int, time_ms: int) -> list[object]:
        state, network = self.peer.state, self.council.genesis.network
        box = state.ballots.box
        # The same set at another time: whoever folds it finds nothing wrong with it.
        plan = state.draft(time_ms, box.secrets.choose_deals() or ())
        value = compute_plan_hash(network, plan)

        def sign(step: Step) -> Ballot:
            return sign_ballot(network, box.epoch, number, step, value, self.signer)

        words: list[object] = []
        if choose_proposer(box.sealers, box.epoch, number) == self.signer.address:
            ids = pack_ids(state.find_set(plan) or ())
            words.append(ProposalNotice("", Proposal(sign(Step.PROPOSE), plan, None), ids))
        words += [BallotNotice(sign(Step.PREVOTE)), BallotNotice(sign(Step.PRECOMMIT))]
        # Of the secret he knows nothing yet, so he makes one up.
        secret = bytes(32) if box.secrets.is_needed else None
        root = state.fold(plan.set_root, secret).state_root
        content = complete(network, plan, secret, root)
        return [*words, SealVoteNotice(SealVote(content, sign_seal(network, content, self.signer)))]


async def test_a_sealer_that_proposes_two_contents_and_votes_for_both_makes_no_second_seal(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(1)
        liar = TwoFaced(council, "dave")
        council.seats["dave"].silence()
        network = council.network
        async with (
            network.open("left face", validate=lambda data: True) as left,
            network.open("right face", validate=lambda data: True) as right,
            trio.open_nursery() as nursery,
        ):
            await left.dial("/memory/alice/p2p/alice")
            for name in ("bob", "carol"):
                await right.dial(f"/memory/{name}/p2p/{name}")
            nursery.start_soon(liar.run, left, right)
            await publish(council, "alice")
            await council.wait_for(14, patience_s=120)
            nursery.cancel_scope.cancel()
        assert council.check_one_history() >= 14
        for name in ("alice", "bob", "carol"):
            state = council.seats[name].peer.state
            convicted = state.ballots.list_convicted()
            assert set(convicted) == {liar.signer.address}
            proof = convicted[liar.signer.address]
            check_double_ballot(state.network, proof, council.genesis.sealers)
