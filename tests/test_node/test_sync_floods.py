"""What a hostile peer can ask of a node: his share, and nothing that is none of his business."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.sync.budget import AUDIT_UNITS, FIRST_UNITS, UNITS_MAX, UNITS_PER_S
from node.sync.server import AUDITS_MAX, SITTING_IDLE_S, SITTINGS_MAX
from node.sync.wire import MessageStream, PeerLeft
from protocol.hashing import compute_content_hash
from protocol.messages import (
    SCOPE_ALL,
    SCOPE_OPEN,
    Bye,
    GetBlob,
    GetChain,
    GetIds,
    GetSeals,
    Items,
    Ranges,
    Status,
    Taken,
    Want,
)
from protocol.ranges import VectorView
from protocol.reconcile import ReconcileSession, Role
from tests.support.chains import publish, publish_chain
from tests.support.peers import TestPeer, a_signer, wait_until
from tests.support.scripted import (
    Liar,
    Village,
    a_village,
)

BOB = a_signer("bob")


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
            more = await flood(messages, Ranges(SCOPE_OPEN, 0, True, first), 1.0)
            assert more <= UNITS_PER_S / FIRST_UNITS
            nursery.start_soon(flood, messages, Ranges(SCOPE_OPEN, 0, True, first), 10)
            honest = await village.add("honest")
            await village.connect("honest", "victim")
            await wait_until(lambda: honest.state.status() == victim.state.status(), timeout_s=5)
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
            # Whoever says nothing for a while makes room.
            await trio.sleep(SITTING_IDLE_S)
            liar = await village.add_liar("late", lambda request: None)
            await liar.transport.dial("/memory/victim/p2p/victim")
            async with liar.talk_to("victim") as messages:
                reply = await messages.ask_any(Ranges(SCOPE_ALL, 0, True, first), 60)
            assert isinstance(reply, Ranges)
            nursery.cancel_scope.cancel()


async def test_a_peer_has_one_session_at_a_time_and_all_have_few(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with a_village(tmp_path) as village, AsyncExitStack() as stack:
        victim = await a_victim_with(village, 100)
        first = ReconcileSession(VectorView(()), Role.CLIENT).start()
        request = Ranges(SCOPE_OPEN, 0, True, first)

        async def open_stream(liar: Liar) -> MessageStream:
            return await stack.enter_async_context(liar.talk_to("victim"))

        crowd = []
        for place in range(SITTINGS_MAX + 1):
            liar = await village.add_liar(f"mallory {place}", lambda request: None)
            await liar.transport.dial("/memory/victim/p2p/victim")
            crowd.append(await open_stream(liar))
            more = await open_stream(liar)
            one = await crowd[-1].ask_any(request, 60)
            other = await more.ask_any(request, 60)
            assert isinstance(one, Ranges) == isinstance(other, Ranges) == (place < SITTINGS_MAX)
            # The second session of a peer has ended his first.
            late = await crowd[-1].ask_any(replace(request, is_first=False), 60)
            assert isinstance(late, Status)
        assert victim.state.open.count == 100


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
        while not await _is_closed(stream.receive_some):
            await stream.send_all(b"\0")
            await trio.sleep(1)
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
            await messages._stream.send_all(size.to_bytes(4, "big"))
            with pytest.raises(PeerLeft, match="frame_too_long"):
                await messages.ask_any(Want(b""), 60)
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


async def test_a_farewell_is_no_fault(tmp_path: Path, autojump_clock: object) -> None:
    async with a_village(tmp_path) as village:
        victim = await village.add("victim")
        liar = await village.add_liar("mallory", lambda request: None)
        await liar.transport.dial("/memory/victim/p2p/victim")
        async with liar.talk_to("victim") as messages:
            with pytest.raises(PeerLeft, match="end of stream"):
                await messages.ask_any(Bye("node_stopping", "till then"), 60)
        assert victim.sync.book.get("mallory").faults == 0


async def test_absurd_places_in_requests_get_empty_replies(
    tmp_path: Path, autojump_clock: object
) -> None:
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
    data = b"some input" * 20_000
    return compute_content_hash(data), data
