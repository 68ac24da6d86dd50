"""Task inputs: whose are fetched, from whom, and what keeps nobody from getting his."""

from dataclasses import replace
from pathlib import Path

import trio

from node.sync.blobs import RESCAN_S, ROUND_MAX, SHUN_S, BlobFetcher
from node.sync.server import Server
from node.verifier import Verifier
from protocol.hashing import compute_content_hash
from protocol.messages import BLOB_CHUNK_BYTES_MAX, Blob, GetBlob
from protocol.task_types import BLOB_BYTES_MAX
from protocol.transactions import SignedTransaction, sign_transaction
from tests.support.chains import a_header, publish_chain
from tests.support.peers import TestPeer, a_signer, some_terms, wait_until
from tests.support.scripted import Village, a_village, an_honest_answer, have_nothing

BOB = a_signer("bob")


def some_data(number: int, size: int = 100_000) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def offer(
    peer: TestPeer,
    count: int,
    *,
    signer: str = "bob",
    first: int = 0,
    data_bytes: int | None = None,
    reward: int | None = None,
) -> list[SignedTransaction]:
    """Return publications of an author whose inputs are `some_data` of their places."""
    chain: list[SignedTransaction] = []
    for seq in range(count):
        data = some_data(first + seq)
        terms = replace(
            some_terms(title=f"Task {seq}"),
            data_hash=compute_content_hash(data),
            data_bytes=len(data) if data_bytes is None else data_bytes,
        )
        if reward is not None:
            terms = replace(terms, reward=reward)
        prev = chain[-1].tx_id if chain else None
        header = a_header(peer.state, a_signer(signer), seq=seq, prev=prev)
        chain.append(sign_transaction(header, terms, a_signer(signer)))
    return chain


def keep(peer: TestPeer, *numbers: int) -> None:
    """Put inputs on a peer's disk."""
    for number in numbers:
        data = some_data(number)
        peer.state.store.put_blob(compute_content_hash(data), data)


def has(peer: TestPeer, number: int) -> bool:
    return peer.state.store.journal.has_blob(compute_content_hash(some_data(number)))


class Fetching:
    """Runs the fetcher of one peer while the block lasts."""

    def __init__(self, peer: TestPeer, nursery: trio.Nursery) -> None:
        self.peer = peer
        server = Server(peer.state, Verifier(peer.state.intake, is_threaded=False))
        self.fetcher = BlobFetcher(peer.state, server)
        nursery.start_soon(self.fetcher.run, peer.transport)


async def test_an_input_travels_in_pieces_and_on_to_the_next(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        alice, bert, carl = [await village.add(name) for name in ("alice", "bert", "carl")]
        await village.connect("alice", "bert", "carl")
        for peer in (bert, carl):
            Fetching(peer, nursery)
        keep(alice, 0)
        alice.state.accept(offer(alice, 1), None)
        await wait_until(lambda: has(carl, 0))
        nursery.cancel_scope.cancel()


async def test_inputs_that_nobody_has_keep_no_other_from_coming(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        alice, bert = await village.add("alice"), await village.add("bert")
        Fetching(bert, nursery)
        lost = 2 * ROUND_MAX
        chain = offer(alice, lost + 1)
        alice.state.accept(chain[:lost], None)
        await village.connect("alice", "bert")
        await wait_until(lambda: bert.state.open.count == lost)
        await trio.sleep(5)
        keep(alice, lost)
        alice.state.accept(chain[lost:], None)
        await wait_until(lambda: has(bert, lost), timeout_s=10)
        nursery.cancel_scope.cancel()


async def test_a_task_that_lies_about_a_length_hinders_none_with_the_same_input(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        alice, bert = await village.add("alice"), await village.add("bert")
        Fetching(bert, nursery)
        keep(alice, 0)
        alice.state.accept(offer(alice, 1), None)
        alice.state.accept(offer(alice, 1, signer="carol", data_bytes=5), None)
        await village.connect("alice", "bert")
        await wait_until(lambda: has(bert, 0), timeout_s=10)
        nursery.cancel_scope.cancel()


async def test_the_input_of_a_refused_task_is_not_fetched(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        alice, bert = await village.add("alice"), await village.add("bert")
        fetching = Fetching(bert, nursery)
        keep(alice, 0, 1)
        (stands,) = offer(alice, 1)
        (refused,) = offer(alice, 1, signer="carol", first=1, reward=1)
        alice.state.accept([stands, refused], None)
        await village.connect("alice", "bert")
        await wait_until(lambda: has(bert, 0))
        await trio.sleep(2 * RESCAN_S)
        assert bert.state.open.judge(refused) is not None
        assert not has(bert, 1)
        assert fetching.fetcher._wanted == {}
        nursery.cancel_scope.cancel()


async def test_a_newcomer_gets_the_inputs_of_tasks_that_he_knows_from_seals_alone(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        alice, bert = await village.add("alice"), await village.add("bert")
        Fetching(bert, nursery)
        keep(alice, 0, 1, 2)
        alice.state.accept(offer(alice, 3), None)
        for _ in range(3):
            alice.seal()
        await village.connect("alice", "bert")
        await wait_until(lambda: all(has(bert, number) for number in range(3)))
        nursery.cancel_scope.cancel()


async def test_a_fetcher_that_missed_events_looks_at_everything(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        alice, bert = await village.add("alice"), await village.add("bert")
        Fetching(bert, nursery)
        await trio.sleep(1)
        keep(alice, 0)
        (tx,) = offer(alice, 1)
        # So many events at once that the one about the task is dropped.
        for other in publish_chain(alice.state, a_signer("carol"), 300):
            bert.state.accept([other], None)
        for state in (alice.state, bert.state):
            state.accept([tx], None)
        await village.connect("alice", "bert")
        await wait_until(lambda: has(bert, 0), timeout_s=3 * RESCAN_S)
        nursery.cancel_scope.cancel()


async def with_liar(village: Village, nursery: trio.Nursery, lie: object) -> TestPeer:
    """Return a peer between one that lies about input 0 and an honest one, not yet connected."""
    giver, victim = await village.add("yves"), await village.add("victim")
    keep(giver, 0)
    giver.state.accept(offer(giver, 1), None)
    honest = an_honest_answer(giver)

    def answer(request: object) -> object:
        if isinstance(request, GetBlob):
            return lie(request) if callable(lie) else None
        return honest(request)

    await village.add_liar("abel", answer, giver.state.status)
    Fetching(victim, nursery)
    return victim


async def test_another_content_is_seen_and_its_sender_left_alone(
    tmp_path: Path, autojump_clock: object
) -> None:
    size = len(some_data(0))
    asked: list[float] = []

    def lie(request: GetBlob) -> Blob:
        asked.append(trio.current_time())
        part = bytes(min(BLOB_CHUNK_BYTES_MAX, size - request.offset))
        return Blob(request.content_hash, size, request.offset, part)

    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        victim = await with_liar(village, nursery, lie)
        await village.connect("victim", "abel")
        await trio.sleep(SHUN_S / 2)
        assert len(asked) == 2, "the two pieces of one try"
        await village.connect("victim", "yves")
        await wait_until(lambda: has(victim, 0), timeout_s=150)
        nursery.cancel_scope.cancel()


async def test_pieces_of_another_size_are_a_fault(tmp_path: Path, autojump_clock: object) -> None:
    asked: list[int] = []

    def lie(request: GetBlob) -> Blob:
        asked.append(request.offset)
        return Blob(request.content_hash, BLOB_BYTES_MAX, request.offset, b"x")

    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        await with_liar(village, nursery, lie)
        await village.connect("victim", "abel")
        await trio.sleep(20)
        assert asked == [0]
        nursery.cancel_scope.cancel()


async def test_a_peer_that_drips_pieces_holds_nobody_up(
    tmp_path: Path, autojump_clock: object
) -> None:
    async def lie(request: GetBlob) -> object:
        await trio.sleep(14)
        return have_nothing(request)

    async with a_village(tmp_path) as village, trio.open_nursery() as nursery:
        victim = await with_liar(village, nursery, lie)
        await village.connect("victim", "abel")
        giver = village.peers["yves"]
        chain = offer(giver, 30, signer="carol", first=1)
        giver.state.accept(chain, None)
        keep(giver, *range(1, 31))
        await village.connect("victim", "yves")
        await wait_until(lambda: all(has(victim, number) for number in range(31)), timeout_s=90)
        nursery.cancel_scope.cancel()
