"""Sealers that come and go by vote: who is admitted begins by himself, who is dismissed stops."""

from pathlib import Path

import trio
from trio.testing import MockClock

from protocol.charter import compute_change_id
from protocol.charter_records import Action, AdmitSealer, Change, DismissSealer, SetParameter
from protocol.kinds.vote_change import VoteChange
from protocol.messages import SealedIds, SealNotice, encode_message
from protocol.phases import ChangeStatus
from protocol.seals import Seal
from protocol.tables import CHANGES
from tests.support.council import EPOCH_S, SEALERS, Council, a_council
from tests.support.peers import a_signer

AHEAD = 8


async def vote(council: Council, change: Change, *names: str) -> bytes:
    """Have sealers vote, each on his own node; return the id of the change."""
    change_id = compute_change_id(council.genesis.network, change)
    for name in names:
        author = council.seats[name].peer.author
        await author.submit("vote_change", VoteChange(change), subject=change_id)
    return change_id


def a_change(council: Council, action: Action, ahead: int = AHEAD) -> Change:
    return Change(max(council.epochs().values()) + ahead, action)


def read_signers(council: Council, name: str, epoch: int) -> set[str]:
    """Return who signed a seal as somebody holds it."""
    names = {a_signer(one).address: one for one in council.seats}
    return {names[vote.sealer] for vote in council.read_seal(name, epoch).votes}


def status_of(council: Council, name: str, change_id: bytes) -> ChangeStatus:
    case = council.seats[name].peer.state.store.view.get(CHANGES, change_id)
    assert case is not None
    return case.status


async def test_who_is_admitted_seals_from_his_epoch_on_and_who_is_dismissed_no_more(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path, candidates=("erin",)) as council:
        await council.start()
        await council.wait_for(2)
        come = a_change(council, AdmitSealer(a_signer("erin").address))
        gone = Change(come.effective_at + 3, DismissSealer(a_signer("dave").address))
        # When the second is decided there are five, so four must be for it.
        ids = [await vote(council, one, *SEALERS) for one in (come, gone)]
        last = gone.effective_at + 12
        await council.wait_for(last)
        assert council.check_one_history() >= last
        assert {status_of(council, "erin", one) for one in ids} == {ChangeStatus.ADOPTED}
        signed = {epoch: read_signers(council, "alice", epoch) for epoch in range(1, last)}
        before = {name for epoch in range(1, come.effective_at) for name in signed[epoch]}
        between = set().union(*(signed[one] for one in range(come.effective_at, gone.effective_at)))
        after = {name for epoch in range(gone.effective_at, last) for name in signed[epoch]}
        assert before == set(SEALERS)
        assert "erin" in between
        assert after == {"alice", "bob", "carol", "erin"}
        assert council.seats["dave"].epoch >= last, "as an ordinary peer it follows"


async def test_with_the_new_one_five_seal_and_without_two_of_them_none(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    # Of four three are needed, of five four: the quorum is that of the epoch.
    async with a_council(tmp_path, candidates=("erin",)) as council:
        await council.start()
        await council.wait_for(2)
        come = a_change(council, AdmitSealer(a_signer("erin").address))
        await vote(council, come, "alice", "bob", "carol")
        await council.wait_for(come.effective_at)
        await council.kill("dave")
        await council.wait_for(come.effective_at + 6)
        await council.kill("carol")
        await trio.sleep(2 * EPOCH_S)
        stopped_at = max(council.epochs().values())
        await trio.sleep(30 * EPOCH_S)
        assert set(council.epochs().values()) == {stopped_at}
        # From its disk it knows by itself whose turn it is.
        await council.start("dave")
        await council.wait_for(stopped_at + 5)
        council.check_one_history()


async def test_a_peer_that_slept_through_two_changes_of_sealers_follows_seal_by_seal(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path, watchers=("watcher",), candidates=("erin",)) as council:
        await council.start(*SEALERS, "erin", "watcher")
        await council.wait_for(2)
        await council.kill("watcher")
        come = a_change(council, AdmitSealer(a_signer("erin").address))
        gone = Change(come.effective_at + 1, DismissSealer(a_signer("alice").address))
        more = Change(come.effective_at + 2, DismissSealer(a_signer("bob").address))
        for change in (come, gone, more):
            await vote(council, change, *SEALERS)
        await council.wait_for(more.effective_at + 20)
        assert read_signers(council, "carol", more.effective_at + 10) <= {"carol", "dave", "erin"}
        await council.start("watcher")
        await council.wait_for(more.effective_at + 25)
        assert council.check_one_history() >= more.effective_at + 25


async def test_a_lone_sealer_takes_a_second_and_leaves_it_to_him(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path, ("alice",), candidates=("bob",)) as council:
        await council.start()
        await council.wait_for(2)
        come = a_change(council, AdmitSealer(a_signer("bob").address))
        await vote(council, come, "alice")
        await council.wait_for(come.effective_at + 3)
        assert read_signers(council, "bob", come.effective_at) == {"alice", "bob"}
        gone = a_change(council, DismissSealer(a_signer("alice").address))
        await vote(council, gone, "alice", "bob")
        await council.wait_for(gone.effective_at + 5)
        council.check_one_history()
        assert read_signers(council, "alice", gone.effective_at) == {"bob"}
        assert not council.seats["alice"].peer.state.ballots.is_needed


async def test_a_lone_sealer_takes_three_at_once_who_share_secrets_with_it_from_then_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    # Of four one may lie, so they deal; and whoever comes deals before he seals.
    async with a_council(tmp_path, ("alice",), candidates=SEALERS[1:]) as council:
        await council.start()
        await council.wait_for(2)
        addresses = [a_signer(name).address for name in SEALERS[1:]]
        changes = [a_change(council, AdmitSealer(address)) for address in addresses]
        for change in changes:
            await vote(council, change, "alice")
        begins = changes[0].effective_at
        await council.wait_for(begins + 4)
        council.check_one_history()
        contents = [council.read_seal("bob", epoch).content for epoch in range(1, begins + 4)]
        secrets = [content.epoch for content in contents if content.secret is not None]
        dealt = [content.epoch for content in contents if content.deals]
        assert secrets == list(range(begins, begins + 4))
        assert dealt == list(range(begins - 1, begins + 4))


async def test_epochs_last_as_long_as_was_voted_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path) as council:
        await council.start()
        await council.wait_for(2)
        change = a_change(council, SetParameter("epoch_ms", (5_000,)))
        await vote(council, change, *SEALERS)
        await council.wait_for(change.effective_at - 1)
        begun_s = trio.current_time()
        await council.wait_for(change.effective_at + 3)
        took_s = trio.current_time() - begun_s
        assert 3.9 * 5.0 < took_s < 5 * 5.0
        assert council.seats["alice"].peer.state.params.epoch_ms == 5_000


async def test_sealers_change_without_any_gossip(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_council(tmp_path, candidates=("erin",)) as council:
        council.loss = 1.0
        await council.start()
        await council.wait_for(2, patience_s=120)
        come = a_change(council, AdmitSealer(a_signer("erin").address))
        gone = Change(come.effective_at, DismissSealer(a_signer("bob").address))
        for change in (come, gone):
            await vote(council, change, "alice", "carol", "dave")
        await council.wait_for(come.effective_at + 5, patience_s=300)
        council.check_one_history()
        signed = read_signers(council, "alice", come.effective_at)
        assert signed <= {"alice", "carol", "dave", "erin"}


async def test_a_seal_of_sealers_that_cannot_be_known_yet_is_neither_taken_nor_told_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_council(tmp_path, watchers=("watcher",), candidates=("erin", "frank")) as council:
        everybody = (*SEALERS, "erin", "frank")
        await council.start(*everybody)
        actions: list[Action] = [
            *(AdmitSealer(a_signer(name).address) for name in ("erin", "frank")),
            *(DismissSealer(a_signer(name).address) for name in SEALERS[:3]),
        ]
        changes = [a_change(council, action) for action in actions]
        for change in changes:
            await vote(council, change, "alice", "bob", "carol")
        await council.wait_for(changes[0].effective_at + 2)
        newest = council.read_seal("erin", changes[0].effective_at + 1)
        council.cut(("watcher",), everybody)
        await council.start("watcher")
        state = council.seats["watcher"].peer.state
        gossip = council.seats["watcher"].peer.sync.gossip
        assert state.epoch == 0
        told = _tell(newest)
        assert not gossip.validate(told), "of sealers that it has never heard of"
        early = council.read_seal("erin", 1)
        assert gossip.validate(_tell(early)), "of those it knows"


def _tell(seal: Seal) -> bytes:
    return encode_message(SealNotice(SealedIds(seal.to_bytes(), None)))


async def test_secrets_begin_with_the_fourth_sealer_and_end_with_him(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    three = SEALERS[:3]
    async with a_council(tmp_path, three, candidates=("dave",)) as council:
        await council.start()
        await council.wait_for(2)
        dave = a_signer("dave").address
        come = a_change(council, AdmitSealer(dave))
        gone = Change(come.effective_at + 4, DismissSealer(dave))
        for change in (come, gone):
            await vote(council, change, *three)
        last = gone.effective_at + 3
        await council.wait_for(last)
        council.check_one_history()
        for epoch in range(1, last):
            content = council.read_seal("alice", epoch).content
            has_four = come.effective_at <= epoch < gone.effective_at
            follows = come.effective_at <= epoch + 1 < gone.effective_at
            assert (content.secret is not None) == has_four, epoch
            assert len(content.deals) == (2 if follows else 0), epoch


async def test_sealers_of_whom_none_stays_have_dealt_before_they_begin(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    others = ("erin", "frank", "grace", "heidi")
    async with a_council(tmp_path, candidates=others) as council:
        await council.start()
        await council.wait_for(2)
        at = max(council.epochs().values()) + AHEAD
        for name in others:
            await vote(council, Change(at, AdmitSealer(a_signer(name).address)), *SEALERS)
        for name in SEALERS:
            await vote(council, Change(at, DismissSealer(a_signer(name).address)), *SEALERS)
        await council.wait_for(at + 3)
        council.check_one_history()
        assert read_signers(council, "alice", at - 1) <= set(SEALERS)
        assert read_signers(council, "alice", at) <= set(others)
        assert council.read_seal("alice", at).content.secret is not None
