"""What is remembered of peers, and the share that each of them has."""

import pytest
import trio

from node.sync.budget import PEERS_MAX, Bucket, Buckets, price
from node.sync.peers import (
    BAN_S,
    FAULT_MEMORY_S,
    FAULTS_MAX,
    PEERS_REMEMBERED_MAX,
    REST_MOST_S,
    RETRY_MOST_S,
    PeerBook,
    PeerRecord,
)
from protocol.messages import (
    SCOPE_ALL,
    SCOPE_OPEN,
    GetBlob,
    GetChain,
    GetIds,
    GetSeals,
    Items,
    Ranges,
    Status,
    Want,
)


def test_three_faults_in_a_while_ban_and_a_ban_ends() -> None:
    book = PeerBook()
    assert [book.blame("mallory", "lie", now) for now in range(FAULTS_MAX)] == [False, False, True]
    assert book.is_banned("mallory", BAN_S)
    assert not book.is_due("mallory", BAN_S)
    assert not book.is_banned("mallory", FAULTS_MAX - 1 + BAN_S)


def test_old_faults_are_forgotten_and_another_network_is_banned_at_once() -> None:
    book = PeerBook()
    for place in range(2 * FAULTS_MAX):
        assert not book.blame("clumsy", "lie", place * (FAULT_MEMORY_S + 1))
    assert book.blame("stranger", "wrong_network", 0.0)


def test_each_failure_doubles_the_wait_up_to_a_bound() -> None:
    book = PeerBook()
    waits = []
    for _ in range(20):
        book.fail("peer", 100.0)
        waits.append(book.get("peer").retry_at_s - 100.0)
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == RETRY_MOST_S
    book.succeed("peer")
    assert book.is_due("peer", 100.0)


def test_strangers_are_forgotten_before_the_banned() -> None:
    book = PeerBook()
    for _ in range(FAULTS_MAX):
        book.blame("mallory", "lie", 0.0)
    for place in range(2 * PEERS_REMEMBERED_MAX):
        book.get(f"stranger {place}")
    assert book.is_banned("mallory", 1.0)


def test_fruitless_sessions_come_less_often_and_a_gain_or_a_seal_ends_that() -> None:
    record = PeerRecord()
    rests = []
    for _ in range(12):
        record.note_reconciled(0, 5, 100.0, 1.0)
        rests.append(record.rest_until_s - 100.0)
    assert rests[:4] == [1, 2, 4, 8]
    assert rests[-1] == REST_MOST_S
    assert not record.may_reconcile(5, 100.0 + REST_MOST_S - 1)
    assert record.may_reconcile(5, 100.0 + REST_MOST_S)
    assert record.may_reconcile(6, 100.0), "a seal has come"
    record.note_reconciled(0, 6, 100.0, 1.0)
    assert record.rest_until_s == 101.0
    record.note_reconciled(3, 6, 100.5, 1.0)
    assert record.may_reconcile(6, 100.5)


async def test_a_bucket_gives_what_is_there_and_makes_wait_for_the_rest(
    autojump_clock: object,
) -> None:
    bucket = Bucket(per_s=10.0, most=100.0)
    assert bucket.take_nowait(100)
    assert not bucket.take_nowait(1)
    started_s = trio.current_time()
    await bucket.take(50)
    assert trio.current_time() - started_s == pytest.approx(5)
    await trio.sleep(3_600)
    assert bucket.take_nowait(100)
    assert not bucket.take_nowait(1), "it holds no more than it holds"


async def test_buckets_are_kept_for_so_many_peers() -> None:
    buckets = Buckets(per_s=1.0, most=1.0)
    used = buckets.of("peer")
    used.take_nowait(1)
    for place in range(PEERS_MAX - 1):
        buckets.of(f"other {place}")
        assert buckets.of("peer") is used
    for place in range(PEERS_MAX):
        buckets.of(f"third {place}")
    assert buckets.of("peer") is not used


def test_what_costs_us_more_has_a_higher_price() -> None:
    status = Status(0, bytes(32), 0, bytes(16), bytes(32))
    small, large = Want(bytes(32)), Want(bytes(32 * 512))
    short, long = (Ranges(SCOPE_OPEN, 0, False, bytes(size)) for size in (1, 250_000))
    first, audit = (Ranges(scope, 0, True, b"\x61") for scope in (SCOPE_OPEN, SCOPE_ALL))
    near, far = GetIds(1, 0), GetIds(1, 1 << 60)
    pushed = Items((b"",) * 512, ())
    ladder = [status, short, small, first, long, audit]
    assert [price(one) for one in ladder] == sorted(price(one) for one in ladder)
    assert price(small) < price(large) < price(pushed)
    assert price(near) < price(far)
    assert all(
        price(one) > price(status)
        for one in (GetSeals(1), GetChain(bytes(32), 0, 1), GetBlob(bytes(32), 0))
    )
