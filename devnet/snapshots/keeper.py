"""Saves the state of a whole devnet, and brings it back: all peers together, none of them running.

Why together: a peer that signs from an older database signs a number twice, and whoever holds the
first transaction has the proof of it. So a state is taken while no peer runs, when the folder of
each account holds all that it ever signed; and when it comes back, every folder of the devnet goes
with it. A peer that came later remembers what nobody has said any more: it goes for good.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.faults import restore_links
from devnet.layout import DOCUMENT, SWAP, Devnet, render_document
from devnet.snapshots.album import Draft, Snapshot, check_origin, copy_state, damaged, read_index
from devnet.snapshots.swap import Decision, discard, hold_snapshots, prepare_new, swap
from devnet.watch.events import CUT, find_spans, read_events
from node.clock import read_wall_ms
from node.config_load import load_config
from node.lockfile import NodeLock
from node.network import read_genesis
from node.version import VERSION
from storage.folder import translate_os_error

SAVED = "snapshot_save"
MEMORY = "memory"


async def save_snapshot(cluster: ProcessCluster, name: str) -> Snapshot:
    """Keep the state of a devnet; peers that run are ended gently meanwhile, and started again.

    Raises:
        DevnetError: `bad_value`, `snapshot_exists`, `snapshots_busy`, `state_in_memory`,
            `not_a_file`, or a peer does not come up again.
        DataDirError: somebody else runs a node in a folder of this devnet.
        StorageError: `disk_full`, `storage_failed`.
    """
    devnet = cluster.devnet
    _check_on_disk(devnet)
    with hold_snapshots(devnet.root), _translated():
        draft = Draft(devnet.root, name)
        ran = list(cluster.find_running())
        try:
            await _end_all(cluster, ran)
            with _held(devnet):
                index = _fill(draft, devnet)
        finally:
            draft.abandon()
            await _start(cluster, ran)
    devnet.note_event(SAVED, snapshot=name)
    return index


async def load_snapshot(cluster: ProcessCluster, name: str) -> ProcessCluster:
    """Bring a state back; peers run afterwards if any ran before. Return the devnet that it is now.

    The snapshot is checked whole before a peer is ended.

    Raises:
        DevnetError: `no_snapshot`, `unknown_format`, `snapshot_damaged`, `wrong_network`,
            `snapshots_busy`, or a peer does not come up.
        DataDirError: somebody else runs a node in a folder of this devnet.
        StorageError: a database in it is not ours; `disk_full`, `storage_failed`.
    """
    before = cluster.devnet
    with hold_snapshots(before.root), _translated():
        index = read_index(before.root, name)
        check_origin(before, index)
        ran: list[str] = []
        try:
            decision = _stage(before, index)
            ran = list(cluster.find_running())
            await _end_all(cluster, ran)
            with _held(before), before.lock():
                swap(before.root, decision)
        except BaseException:
            # What was decided is finished by the next command; before that nothing has changed.
            if not (before.root / SWAP).exists():
                discard(before.root)
                await _start(cluster, ran)
            raise
    after = ProcessCluster(Devnet.load(before.root))
    if ran:
        back = {*ran, *(set(index.nodes) - set(before.names))}
        await _start(after, [one for one in after.devnet.names if one in back])
    return after


def _fill(draft: Draft, devnet: Devnet) -> Snapshot:
    draft.take_bytes(DOCUMENT, render_document(devnet.root, devnet.roster, {}))
    for path in (devnet.manifest_path, devnet.genesis_path, devnet.published_path):
        draft.take_bytes(path.name, path.read_bytes() if path.exists() else b"")
    for name in devnet.names:
        draft.take_folder(devnet.data_paths(name).root, name)
    return draft.finish(devnet, VERSION)


def _stage(devnet: Devnet, index: Snapshot) -> Decision:
    """Put the state of a snapshot beside that of the devnet, on disk; return what is to be done."""
    new = prepare_new(devnet.root)
    copy_state(devnet, index, new)
    roster, network = Devnet.read_roster(new), devnet.roster.network
    files = {path.name for path in (devnet.manifest_path, devnet.genesis_path)}
    wanted = {*roster.names, *files, DOCUMENT, devnet.published_path.name}
    parts = {path.partition("/")[0] for path in index.files}
    if roster.names != index.nodes or parts != wanted:
        raise damaged(index.name, f"{', '.join(sorted(parts))}", f"{', '.join(sorted(wanted))}")
    own = read_genesis(new / devnet.genesis_path.name).network.hex()
    if {roster.network, own} != {network}:
        raise damaged(index.name, f"network {own}", network)
    # The devnet may have been moved since; paths in this file are absolute.
    (new / DOCUMENT).write_bytes(render_document(devnet.root, roster, {}))
    os.sync()
    drops = set(devnet.names) - set(roster.names)
    return Decision(index.name, tuple(sorted(parts)), tuple(sorted(drops)))


def _check_on_disk(devnet: Devnet) -> None:
    for name in devnet.names:
        path = devnet.data_paths(name).config
        if load_config(path).config.store.engine == MEMORY:
            found = f"{name} with store.engine = {MEMORY}"
            raise DevnetError("state_in_memory", found, "databases on disk")


async def _end_all(cluster: ProcessCluster, names: Sequence[str]) -> None:
    for name in names:
        cluster.devnet.note_event("stop", peer=name)
    await cluster.stop(names)


async def _start(cluster: ProcessCluster, names: Sequence[str]) -> None:
    """Start peers that are down; of a cut that was in force none of them knows any more."""
    devnet, running = cluster.devnet, cluster.find_running()
    names = [name for name in names if name not in running]
    if not names:
        return
    spans = find_spans(read_events(devnet.events_path))
    if any(span.kind == CUT and span.end_ms is None for span in spans):
        devnet.note_event("heal")
    await cluster.start(names)
    await restore_links(cluster, names)


@contextmanager
def _held(devnet: Devnet) -> Iterator[None]:
    """Keep everybody from running a node of the devnet during the block."""
    with ExitStack() as stack:
        for name in devnet.names:
            path = devnet.data_paths(name).lock
            stack.enter_context(NodeLock.acquire(path, started_ms=read_wall_ms(), version=VERSION))
        yield


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate_os_error(error) from error
