"""The range index against a sorted list, on every engine, through edits, crashes and reopening."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import InvariantBroken
from protocol.ranges import EPOCH_MAX, INFINITY, Bound, Item, VectorView, select_epochs
from protocol.reconcile import ReconcileSession, Role
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.memory import MemoryEngine
from storage.range_directory import CHUNK_LEAVES_MAX, RangeSnapshot
from storage.range_index import HOT_LEAVES_MAX, RangeEdit, RangeIndex
from storage.range_leaves import LEAF_RECORDS_MAX, TABLE, pack_item, sum_ids
from tests.support.reconciling import make_id, play


def make_items(numbers: Iterable[int], *, per_epoch: int = 50) -> list[Item]:
    return [Item(number // per_epoch, make_id(number)) for number in numbers]


def begin(index: RangeIndex) -> tuple[Batch, RangeEdit]:
    batch = Batch()
    return batch, index.edit(batch)


def insert(engine: Engine, index: RangeIndex, items: Iterable[Item]) -> int:
    batch, edit = begin(index)
    added = edit.insert_many(items)
    engine.write(batch, sync=False)
    edit.applied()
    return added


def remove(engine: Engine, index: RangeIndex, items: Iterable[Item]) -> int:
    batch, edit = begin(index)
    removed = edit.remove_many(items)
    engine.write(batch, sync=False)
    edit.applied()
    return removed


def check_view(view: RangeSnapshot, items: Iterable[Item], seed: int = 0) -> None:
    """Compare a snapshot with the simplest thing that can be right."""
    oracle = VectorView(items)
    size = oracle.size()
    assert view.size() == size
    assert list(view.iterate(0, size)) == list(oracle.iterate(0, size))
    source = random.Random(seed)
    for _ in range(25):
        first, last = sorted((source.randint(0, size), source.randint(0, size)))
        assert view.fingerprint(first, last) == oracle.fingerprint(first, last)
        assert (view.sum(first, last) - oracle.sum(first, last)) % (1 << 256) == 0
        assert view.fingerprint(last, size) == oracle.fingerprint(last, size)
        assert list(view.iterate(first, last))[:9] == list(oracle.iterate(first, last))[:9]
        bound = Bound(source.randint(0, 60), source.randbytes(source.randint(0, 3)))
        if size:
            near = oracle.item(source.randrange(size))
            assert view.item(oracle.find_lower_bound(0, size, Bound(*near))) == near
            assert view.contains(near)
            bound = source.choice([bound, Bound(near.epoch, near.id[: source.randint(0, 32)])])
        for lower, upper in ((0, size), (first, last)):
            found = view.find_lower_bound(lower, upper, bound)
            assert found == oracle.find_lower_bound(lower, upper, bound)
    assert view.find_lower_bound(0, size, INFINITY) == size
    assert not view.contains(Item(7, b"\x07" * 32))


def check_leaves(engine: Engine, items: Iterable[Item]) -> int:
    """Check that the leaves hold exactly the items; return how many leaves there are."""
    values = [value for _, value in engine.scan(TABLE)]
    assert all(34 < len(value) <= 34 + 40 * LEAF_RECORDS_MAX for value in values)
    assert b"".join(value[34:] for value in values) == b"".join(map(pack_item, sorted(items)))
    return len(values)


def test_an_empty_index_answers_like_an_empty_set(engine: Engine) -> None:
    index = RangeIndex(engine)
    check_view(index.snapshot(), [])
    assert insert(engine, index, []) == 0
    assert remove(engine, index, make_items([3])) == 0
    assert index.size() == 0
    assert not index.contains(make_items([3])[0])


def test_items_in_any_order_make_the_same_set(engine: Engine) -> None:
    items = make_items(range(3_000))
    random.Random(1).shuffle(items)
    index = RangeIndex(engine)
    for start in range(0, 3_000, 130):
        assert insert(engine, index, items[start : start + 130]) == len(items[start : start + 130])
    check_view(index.snapshot(), items)
    check_leaves(engine, items)
    check_view(RangeIndex(engine).snapshot(), items)


def test_what_is_there_already_is_no_change(engine: Engine) -> None:
    items = make_items(range(700))
    index = RangeIndex(engine)
    assert insert(engine, index, items + items[::-1]) == 700
    batch, edit = begin(index)
    assert edit.insert_many(items) == 0
    assert edit.remove_many(make_items(range(700, 800))) == 0
    assert len(batch) == 0
    assert insert(engine, index, make_items(range(600, 800))) == 100
    check_view(index.snapshot(), make_items(range(800)))


def test_epochs_one_after_the_other_fill_their_leaves(engine: Engine) -> None:
    index = RangeIndex(engine)
    items = make_items(range(4_000))
    for start in range(0, 4_000, 100):
        insert(engine, index, items[start : start + 100])
    assert check_leaves(engine, items) == -(-4_000 // LEAF_RECORDS_MAX)


def test_leaves_that_shrink_are_merged_and_go(engine: Engine) -> None:
    index = RangeIndex(engine)
    items = make_items(range(4_000))
    insert(engine, index, items)
    rest = items[::40]
    gone = [item for number, item in enumerate(items) if number % 40]
    assert remove(engine, index, gone + gone[:5]) == len(gone)
    check_view(index.snapshot(), rest)
    assert check_leaves(engine, rest) < 4
    assert remove(engine, index, rest) == len(rest)
    check_view(index.snapshot(), [])
    assert check_leaves(engine, []) == 0


def test_one_edit_may_take_out_and_put_in(engine: Engine) -> None:
    index = RangeIndex(engine)
    insert(engine, index, make_items(range(1_000)))
    batch, edit = begin(index)
    evidence = Item(0, b"\x00" * 32)
    assert edit.remove_many(make_items(range(600))) == 600
    assert edit.insert_many([evidence, *make_items(range(590, 1_600))]) == 611
    assert edit.remove_many(make_items(range(590, 595))) == 5
    engine.write(batch, sync=False)
    edit.applied()
    expected = [evidence, *make_items(range(595, 1_600))]
    check_view(index.snapshot(), expected)
    check_leaves(engine, expected)


def test_nothing_shows_before_the_batch_is_applied(engine: Engine) -> None:
    index = RangeIndex(engine)
    items = make_items(range(1_000))
    insert(engine, index, items)
    before = index.snapshot()
    batch, edit = begin(index)
    edit.insert_many(make_items(range(1_000, 1_300)))
    edit.remove_many(items[:300])
    check_view(index.snapshot(), items)
    engine.write(batch, sync=False)
    # Written and not yet applied: the table is ahead, what is seen is still of before.
    check_view(before, items)
    check_view(index.snapshot(), items)
    edit.applied()
    check_view(index.snapshot(), make_items(range(300, 1_300)))
    check_view(before, items)


@pytest.mark.parametrize("is_written", [False, True])
def test_a_crash_leaves_the_set_of_before_or_of_after(engine: Engine, is_written: bool) -> None:
    index = RangeIndex(engine)
    items = make_items(range(2_000))
    insert(engine, index, items[::2])
    batch, edit = begin(index)
    edit.insert_many(items[1::2])
    edit.remove_many(items[:500])
    if is_written:
        engine.write(batch, sync=True)
    reopened = RangeIndex(engine)
    expected = items[500:] if is_written else items[::2]
    check_view(reopened.snapshot(), expected)
    check_leaves(engine, expected)
    insert(engine, reopened, items)
    check_view(reopened.snapshot(), items)


def test_an_edit_that_is_dropped_never_was(engine: Engine) -> None:
    index = RangeIndex(engine)
    items = make_items(range(1_500))
    insert(engine, index, items[:1_000])
    _, dropped = begin(index)
    dropped.insert_many(items[900:1_400])
    dropped.remove_many(items[:50])
    insert(engine, index, items[1_000:])
    check_view(index.snapshot(), items)
    check_leaves(engine, items)
    with pytest.raises(InvariantBroken):
        dropped.applied()


def test_a_snapshot_stays_what_it_was(engine: Engine) -> None:
    index = RangeIndex(engine)
    source = random.Random(3)
    pool = make_items(range(3_000))
    members: set[Item] = set()
    pinned: list[tuple[RangeSnapshot, list[Item]]] = []
    for _ in range(12):
        pinned.append((index.snapshot(), sorted(members)))
        new = source.sample(pool, 500)
        old = source.sample(sorted(members), len(members) // 3)
        insert(engine, index, new)
        remove(engine, index, old)
        members = (members | set(new)) - set(old)
    check_view(index.snapshot(), members)
    for snapshot, items in pinned:
        check_view(snapshot, items)


def test_only_hot_leaves_keep_their_records_in_memory() -> None:
    engine = MemoryEngine()
    index = RangeIndex(engine)
    items = make_items(range(50_000))
    insert(engine, index, items)
    version = index.snapshot()._version
    leaves = [leaf for chunk in version.parts for leaf in chunk.parts]
    assert len(leaves) == -(-50_000 // LEAF_RECORDS_MAX)
    assert sum(leaf.records is not None for leaf in leaves) == HOT_LEAVES_MAX
    check_view(index.snapshot(), items)


def test_many_leaves_lie_in_chunks_of_bounded_size() -> None:
    engine = MemoryEngine()
    index = RangeIndex(engine)
    items = make_items(range(120_000), per_epoch=1_000)
    for start in range(0, len(items), 20_000):
        insert(engine, index, items[start : start + 20_000][::-1])
    insert(engine, index, [Item(item.epoch, item.id[::-1]) for item in items[::7]])
    for view in (index.snapshot(), RangeIndex(engine).snapshot()):
        chunks = view._version.parts
        assert len(chunks) > 1
        assert all(0 < len(chunk.parts) <= CHUNK_LEAVES_MAX for chunk in chunks)
        check_view(view, [*items, *(Item(item.epoch, item.id[::-1]) for item in items[::7])])


def test_sessions_over_two_indexes_find_what_differs_while_one_grows(engine: Engine) -> None:
    ours, theirs = RangeIndex(engine), RangeIndex(MemoryEngine())
    their_engine = theirs._engine
    items = make_items(range(5_000))
    insert(engine, ours, items[:4_900])
    insert(their_engine, theirs, items[100:])
    client = ReconcileSession(ours.snapshot(), Role.CLIENT)
    server = ReconcileSession(theirs.snapshot(), Role.SERVER)
    insert(engine, ours, items[4_900:])
    remove(their_engine, theirs, items[2_000:3_000])
    talk = play(client, server)
    assert sorted(talk.have) == sorted(item.id for item in items[:100])
    assert sorted(talk.need) == sorted(item.id for item in items[4_900:])


def test_one_epoch_has_a_fingerprint_of_its_own(engine: Engine) -> None:
    index = RangeIndex(engine)
    items = make_items(range(1_000))
    insert(engine, index, items)
    epoch = select_epochs(index.snapshot(), 7, 7)
    oracle = VectorView(items[350:400])
    assert epoch.size() == 50
    assert epoch.fingerprint(0, 50) == oracle.fingerprint(0, 50)


# Few ids under few epochs: sets overlap, leaves and chunks have edges in awkward places.
POOL = st.integers(0, 900).map(lambda number: Item(number // 300, make_id(number)))
EXTREME = st.sampled_from(
    [Item(0, bytes(32)), Item(0, b"\xff" * 32), Item(EPOCH_MAX, bytes(32)), Item(1, bytes(32))]
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "remove", "drop", "reopen"]),
        st.lists(POOL | EXTREME, max_size=30) | st.integers(0, 900).map(
            lambda start: make_items(range(start, min(901, start + 400)), per_epoch=300)
        ),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_history_of_edits_equals_the_sorted_list(
    steps: list[tuple[str, list[Item]]],
) -> None:
    engine = MemoryEngine()
    index = RangeIndex(engine)
    members: set[Item] = set()
    for name, items in steps:
        if name == "insert":
            assert insert(engine, index, items) == len(set(items) - members)
            members |= set(items)
        elif name == "remove":
            assert remove(engine, index, items) == len(set(items) & members)
            members -= set(items)
        elif name == "drop":
            _, edit = begin(index)
            edit.insert_many(items)
        else:
            index = RangeIndex(engine)
    check_view(index.snapshot(), members)
    check_leaves(engine, members)
    check_view(RangeIndex(engine).snapshot(), members)


@settings(max_examples=60)
@given(ids=st.lists(st.binary(min_size=40, max_size=40), max_size=LEAF_RECORDS_MAX))
def test_a_leaf_is_summed_as_its_ids_one_by_one(ids: list[bytes]) -> None:
    expected = sum(int.from_bytes(record[8:], "little") for record in ids)
    assert sum_ids(b"".join(ids)) == expected


def test_the_largest_ids_do_not_run_into_each_other() -> None:
    records = (b"\xff" * 40) * LEAF_RECORDS_MAX
    assert sum_ids(records) == LEAF_RECORDS_MAX * ((1 << 256) - 1)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (0, "range_leaf_length"),
        (1, "range_leaf_length"),
        (2, "range_leaf_sum"),
        (33, "range_leaf_sum"),
        (34, "range_leaf_key"),
        (34 + 40 + 7, "range_leaf_order"),
        (34 + 40 + 39, "range_leaf_sum"),
        (-1, "range_leaf_sum"),
    ],
)
def test_a_flipped_bit_in_a_leaf_is_found_at_open(engine: Engine, place: int, code: str) -> None:
    insert(engine, RangeIndex(engine), make_items(range(100), per_epoch=1))
    ((key, value),) = engine.scan(TABLE)
    damaged = bytearray(value)
    damaged[place] ^= 0x80
    batch = Batch()
    batch.put(TABLE, key, bytes(damaged))
    engine.write(batch, sync=False)
    with pytest.raises(Corrupt) as caught:
        RangeIndex(engine)
    assert caught.value.code == code


def test_leaves_that_overlap_are_found_at_open(engine: Engine) -> None:
    index = RangeIndex(engine)
    insert(engine, index, make_items(range(0, 100, 2), per_epoch=1))
    (row,) = engine.scan(TABLE)
    remove(engine, index, make_items(range(0, 100, 2), per_epoch=1))
    insert(engine, index, make_items(range(1, 100, 2), per_epoch=1))
    batch = Batch()
    batch.put(TABLE, *row)
    engine.write(batch, sync=False)
    with pytest.raises(Corrupt, match="range_leaf_order"):
        RangeIndex(engine)


def test_a_leaf_that_is_lost_under_way_is_this_machines_fault(engine: Engine) -> None:
    insert(engine, RangeIndex(engine), make_items(range(100)))
    index = RangeIndex(engine)
    ((key, _),) = engine.scan(TABLE)
    batch = Batch()
    batch.delete(TABLE, key)
    engine.write(batch, sync=False)
    with pytest.raises(Corrupt, match="range_leaf_lost"):
        index.snapshot().fingerprint(0, 50)


def test_our_own_misuse_is_ours(engine: Engine) -> None:
    index = RangeIndex(engine)
    insert(engine, index, make_items(range(10)))
    view = index.snapshot()
    for first, last in ((-1, 3), (3, 2), (3, 11)):
        with pytest.raises(InvariantBroken):
            view.fingerprint(first, last)
        with pytest.raises(InvariantBroken):
            view.iterate(first, last)
    with pytest.raises(InvariantBroken):
        view.item(10)
    for item in (Item(EPOCH_MAX + 1, bytes(32)), Item(-1, bytes(32)), Item(0, bytes(31))):
        with pytest.raises(InvariantBroken):
            begin(index)[1].insert_many([item])
