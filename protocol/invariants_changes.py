"""Invariants of what a network has agreed on; the names of the functions are the rules."""

from collections.abc import Iterator
from dataclasses import replace

from protocol.charter import compute_voting_deadline
from protocol.charter_records import (
    SEALERS_MAX,
    AdmitSealer,
    AdmitValidator,
    Change,
    ChangeCase,
    DismissSealer,
    DismissValidator,
    SetParameter,
)
from protocol.parameters import read_values
from protocol.phases import CHANGE_STEPS, ChangeStatus, find_reachable, get_label
from protocol.scene import Rule, Scene
from protocol.tables import CHANGES, CHARTERS, CHARTERS_KEY, LICENCES


def _name(key: bytes) -> str:
    return key.hex()[:16]


def somebody_always_seals(scene: Scene) -> Iterator[str]:
    """Charters follow one another; each has sealers, sorted, and no more than a seal can name."""
    for _, row in scene.rows(CHARTERS):
        starts = [charter.since for charter in row.versions]
        if not starts or starts != sorted(set(starts)):
            yield f"charters from epochs {starts}"
        for charter in row.versions:
            sealers = charter.sealers
            if not 1 <= len(sealers) <= SEALERS_MAX or list(sealers) != sorted(set(sealers)):
                yield f"charter of epoch {charter.since}: {len(sealers)} sealers"


def a_change_needs_a_quorum(scene: Scene) -> Iterator[str]:
    """Each sealer is counted once, and only what a quorum was for is adopted or refused."""
    for key, case in scene.rows(CHANGES):
        names = {vote.sealer for vote in case.votes}
        if len(names) != len(case.votes) or case.counted > len(names):
            yield f"change {_name(key)}: {case.counted} counted of {len(names)}"
        is_open, has_quorum = case.decided_at is None, case.counted >= case.quorum > 0
        if is_open != (case.status is ChangeStatus.OPEN):
            yield f"change {_name(key)}: {get_label(case.status)} in epoch {case.decided_at}"
        elif not is_open and has_quorum is (case.status is ChangeStatus.LAPSED):
            counts = f"{case.counted} of {case.quorum}"
            yield f"change {_name(key)}: {get_label(case.status)} with {counts}"
        elif not is_open and case.decided_at != compute_voting_deadline(case.change):
            yield f"change {_name(key)}: decided in epoch {case.decided_at}"


def a_change_is_decided_once(scene: Scene) -> Iterator[str]:
    """A change stays what was proposed, moves along its table, and never again once decided."""
    for step in scene.steps(CHANGES):
        before, after = step.before, step.after
        if after is None:
            continue
        source = before.status if before else None
        if after.status not in find_reachable(CHANGE_STEPS, source):
            yield f"change {_name(step.key)}: {get_label(source)} to {get_label(after.status)}"
        if before is not None and before.decided_at is not None and before != after:
            yield f"change {_name(step.key)}: decided again"
        if before is not None and _read_fixed(before) != _read_fixed(after):
            yield f"change {_name(step.key)}: another change"


def _read_fixed(case: ChangeCase) -> ChangeCase:
    return replace(
        case,
        status=ChangeStatus.OPEN,
        votes=(),
        decided_at=None,
        counted=0,
        quorum=0,
        code="",
        lost_to=None,
    )


def what_is_adopted_will_hold(scene: Scene) -> Iterator[str]:
    """From its epoch a charter or a licence says what an adopted change wanted; none without."""
    adopted: set[int] = set()
    for step in scene.steps(CHANGES):
        before, after = step.before, step.after
        was_adopted = before is not None and before.status is ChangeStatus.ADOPTED
        if after is not None and after.status is ChangeStatus.ADOPTED and not was_adopted:
            adopted.add(after.change.effective_at)
            if not _holds(scene, after.change):
                yield f"change {_name(step.key)}: adopted, and nothing follows"
    for made in scene.steps(CHARTERS):
        known = made.before.versions if made.before else ()
        for charter in made.after.versions if made.after else ():
            if charter.since and charter not in known and charter.since not in adopted:
                yield f"charter of epoch {charter.since}: nobody wanted it"


def _holds(scene: Scene, change: Change) -> bool:
    action = change.action
    if isinstance(action, AdmitValidator | DismissValidator):
        licence = scene.get(LICENCES, action.address)
        is_admitted = isinstance(action, AdmitValidator)
        return (
            licence is not None
            and licence.since == change.effective_at
            and licence.is_admitted == is_admitted
        )
    row = scene.get(CHARTERS, CHARTERS_KEY)
    charter = row.versions[-1] if row is not None else None
    if charter is None or charter.since != change.effective_at:
        return False
    match action:
        case SetParameter(name, values):
            return read_values(charter.params, name) == values
        case AdmitSealer(address):
            return address in charter.sealers
        case DismissSealer(address):
            return address not in charter.sealers


CHANGE_ROW_RULES: tuple[Rule, ...] = (somebody_always_seals, a_change_needs_a_quorum)
CHANGE_STEP_RULES: tuple[Rule, ...] = (a_change_is_decided_once, what_is_adopted_will_hold)
