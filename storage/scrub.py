"""The scrub: everything at rest is read and compared with what it must be. Slow, and stoppable.

It yields a line for each fault and None now and then: a node runs it in small steps beside its
work, and stops it by dropping it. It changes nothing.
"""

from collections.abc import Iterator

from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES
from protocol.lthash import LtHash
from protocol.seals import Seal, compute_seal_hash, compute_set_root
from protocol.tables import ALL
from storage.blobs import BLOBS
from storage.errors import Corrupt
from storage.journal import TRANSACTIONS
from storage.range_index import RangeIndex
from storage.rebuild import find_missing_keys, find_stale_keys
from storage.store import Store

STEP_ITEMS = 200
"""Rows read between two places to pause."""
Findings = Iterator[str | None]


def scrub(store: Store) -> Findings:
    """Check rows, indexes, transactions, seals, the range index and blobs.

    Yields:
        A line for people for each fault; None where a caller may do other things.
    """
    yield from _checked(_scrub_rows(store))
    yield from _checked(_scrub_indexes(store))
    yield from _checked(_scrub_transactions(store))
    yield from _checked(_scrub_seals(store))
    yield from _checked(_scrub_ranges(store))
    yield from _checked(_scrub_blobs(store))


def _checked(findings: Findings) -> Findings:
    """Turn damage that ends one part into a finding, so that the other parts are still read."""
    try:
        yield from findings
    except (Corrupt, Rejected) as error:
        yield str(error)


def _scrub_rows(store: Store) -> Findings:
    # All scans begin in one step: together they are the state of this moment.
    head, totals, pruned = store.head, store.totals, store.pruned
    scans = [(table, store.rows.scan(table)) for table in ALL]
    rows_hash = LtHash.from_bytes(pruned.lanes)
    count = 0
    for table, scan in scans:
        for key, record in scan:
            rows_hash.add_row(table.name, key, table.encode_row(record))
            count += 1
            if count % STEP_ITEMS == 0:
                yield None
    if rows_hash.state_root() != head.state_root:
        yield f"rows: they hash to another root than that of epoch {head.epoch}"
    if count + pruned.rows != totals.rows:
        yield f"rows: found {count}, wanted {totals.rows - pruned.rows}"


def _scrub_indexes(store: Store) -> Findings:
    for key in find_missing_keys(store.engine):
        yield f"indexes: no {key.hex()[:64]}"
    yield None
    for key in find_stale_keys(store.engine):
        yield f"indexes: stale {key.hex()[:64]}"


def _scrub_transactions(store: Store) -> Findings:
    wanted = store.totals.stored
    scan = store.engine.scan(TRANSACTIONS)
    count = 0
    for tx_id, wire in scan:
        count += 1
        try:
            tx = store.journal.read(tx_id, wire)
            if store.journal.at(tx.header.author, tx.header.seq) is None:
                yield f"transactions: {tx_id.hex()[:16]} is not in its author's chain"
        except Corrupt as error:
            yield f"transactions: {error}"
        if count % STEP_ITEMS == 0:
            yield None
    if count != wanted:
        yield f"transactions: found {count}, wanted {wanted}"


def _scrub_seals(store: Store) -> Findings:
    journal = store.journal
    for epoch in range(1, store.head.epoch + 1):
        data = journal.seal(epoch)
        if data is None:
            yield f"seals: no seal {epoch}"
            continue
        content = Seal.from_bytes(data).content
        if compute_seal_hash(store.genesis.network, content) != journal.seal_hash(epoch):
            yield f"seals: seal {epoch} has another hash"
        ids = journal.sealed_ids(epoch)
        if len(ids) != content.count or compute_set_root(ids) != content.set_root:
            yield f"seals: seal {epoch} took in other ids"
        known = journal.find_stored(ids)
        for item in ids:
            if item not in known and not journal.has_evidence(item):
                yield f"seals: seal {epoch} took in {item.hex()[:16]}, which is not stored"
        yield None


def _scrub_ranges(store: Store) -> Findings:
    # Reading the leaves anew verifies every sum in them.
    found = RangeIndex(store.engine).size()
    if found != store.totals.items:
        yield f"ranges: found {found} items, wanted {store.totals.items}"


def _scrub_blobs(store: Store) -> Findings:
    for key, _ in store.engine.scan(BLOBS):
        if len(key) == HASH_BYTES:
            try:
                store.journal.blob(key)
            except Corrupt as error:
                yield f"blobs: {error}"
            yield None
