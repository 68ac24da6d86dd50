"""What a seal does to the changes that sealers vote on: it decides those whose time has come.

Rules:
1. A change is decided by the seal of its voting deadline, and by no other: adopted, refused, or
   lapsed. So none stays open for ever, and nobody's permission is needed for any to end.
2. What counts are the votes of those who are sealers in that epoch, each once. Who left since he
   voted counts no more, unless he came back; who came since may have voted too.
3. Of several that one seal decides, all hold from one epoch. They are taken in the order in which
   they were proposed, those of one epoch by id; each must leave a charter that may be. One that
   cannot stand beside an earlier one is refused, with a ruling that names what it lost to.
4. Who is admitted as a sealer has an account from then on, be it an empty one: he must be able to
   sign his votes.
5. Subjects do not see one another; so of what one sealer proposes beyond his bound in one epoch
   the surplus is refused here. Nothing of it is kept, so the same change can be proposed anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from protocol.book import Refused
from protocol.charter import (
    amend,
    compute_voting_deadline,
    find_charter,
    find_target,
    license_validator,
    list_charters,
    succeed,
)
from protocol.charter_records import (
    AdmitSealer,
    AdmitValidator,
    Change,
    ChangeCase,
    DismissValidator,
)
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.kinds.vote_change import OPEN_CHANGES_MAX, VOTE_CHANGE
from protocol.phases import ChangeStatus
from protocol.records import Account, Ruling
from protocol.seals import compute_quorum
from protocol.tables import ACCOUNTS, BY_NAME, CHANGES, CHARTERS, CHARTERS_KEY, LICENCES, Table
from protocol.view import Key, StateView

T = TypeVar("T")
Written = dict[Key, tuple[Table[Any], Any]]


class _Draft:
    """The sealed state with what the changes adopted so far would make of it."""

    def __init__(self, view: StateView, genesis: Genesis, epoch: int) -> None:
        self._view = view
        self._genesis = genesis
        self._epoch = epoch
        self.rows: dict[Key, Any] = {}
        self.targets: frozenset[tuple[str, str | bytes]] = frozenset()

    def get(self, table: Table[T], key: bytes) -> T | None:
        row: T | None = self.rows.get((table.name, key))
        return self._view.get(table, key) if row is None else row

    def enact(self, change: Change) -> None:
        """Write what a change does.

        Raises:
            Rejected: it cannot stand here.
        """
        action, since, target = change.action, change.effective_at, find_target(change.action)
        if target in self.targets:
            raise Refused("changed_twice", "two changes of one thing", "one in each epoch")
        if isinstance(action, AdmitValidator | DismissValidator):
            licence = license_validator(self, action, since)
            self.rows[(LICENCES.name, action.address)] = licence
        else:
            charter = amend(self, find_charter(self, self._genesis, since), action)
            versions = list_charters(self, self._genesis)
            row = succeed(versions, replace(charter, since=since), self._epoch)
            self.rows[(CHARTERS.name, CHARTERS_KEY)] = row
        self.targets |= {target}

    def would_take(self, change: Change) -> bool:
        """Tell whether a change could be enacted here."""
        rows, targets = dict(self.rows), self.targets
        try:
            self.enact(change)
        except Rejected:
            return False
        self.rows, self.targets = rows, targets
        return True


def settle_changes(view: StateView, genesis: Genesis, epoch: int, rows: Written) -> list[Ruling]:
    """Decide the changes that are due, and add what that does to `rows`.

    Args:
        view: the state as the last seal left it.
        genesis: of the network.
        epoch: that is being sealed.
        rows: what the subjects wrote; the surplus of a sealer is taken out of it.

    Returns:
        The rulings on what was refused.
    """
    rulings = list(_drop_surplus(view, epoch, rows))
    due = _list_due(view, epoch, rows)
    if not due:
        return rulings
    sealers = find_charter(view, genesis, epoch).sealers
    quorum = compute_quorum(len(sealers))
    draft = _Draft(view, genesis, epoch)
    adopted: list[ChangeCase] = []
    for case in due:
        counted = sum(vote.sealer in sealers for vote in case.votes)
        case = replace(case, decided_at=epoch, counted=counted, quorum=quorum)
        if counted < quorum:
            case = replace(case, status=ChangeStatus.LAPSED)
        else:
            try:
                draft.enact(case.change)
                case = replace(case, status=ChangeStatus.ADOPTED)
                adopted.append(case)
                _open_account(view, rows, case.change)
            except Rejected as reason:
                rival = _find_rival(_Draft(view, genesis, epoch), case, adopted)
                lost_to = None if rival is None else rival.change_id
                case = replace(case, status=ChangeStatus.REFUSED, code=reason.code, lost_to=lost_to)
                cause = None if rival is None else rival.proposal_tx
                rulings.append(_rule(case, epoch, reason, cause))
        rows[(CHANGES.name, case.change_id)] = (CHANGES, case)
    for (name, key), row in draft.rows.items():
        rows[(name, key)] = (BY_NAME[name], row)
    return rulings


def _open_account(view: StateView, rows: Written, change: Change) -> None:
    if isinstance(change.action, AdmitSealer):
        address = change.action.address
        if view.get(ACCOUNTS, address) is None:
            account = Account(address, 0, 0, None, None)
            rows.setdefault((ACCOUNTS.name, address), (ACCOUNTS, account))


def _list_due(view: StateView, epoch: int, rows: Written) -> list[ChangeCase]:
    """Return the open changes that this seal decides, in the order of rule 3."""
    keys = {key for name, key in rows if name == CHANGES.name}
    due: list[ChangeCase] = []
    for key in sorted({*view.open_changes(), *keys}):
        written = rows.get((CHANGES.name, key))
        case = view.get(CHANGES, key) if written is None else written[1]
        if case is not None and compute_voting_deadline(case.change) <= epoch:
            due.append(case)
    return sorted(due, key=lambda case: (case.proposed_at, case.change_id))


def _find_rival(
    draft: _Draft, case: ChangeCase, adopted: Sequence[ChangeCase]
) -> ChangeCase | None:
    """Return the first of the adopted changes with which this one cannot stand.

    None: not even alone.
    """
    target = find_target(case.change.action)
    for earlier in adopted:
        if find_target(earlier.change.action) == target:
            return earlier
    rival: ChangeCase | None = None
    for winner in adopted:
        if not draft.would_take(case.change):
            break
        draft.enact(winner.change)
        rival = winner
    return rival


def _drop_surplus(view: StateView, epoch: int, rows: Written) -> Iterator[Ruling]:
    """Take out what a sealer proposed beyond his bound, unless somebody else is for it too."""
    fresh: dict[bytes, list[ChangeCase]] = {}
    for name, key in sorted(rows):
        if name == CHANGES.name and view.get(CHANGES, key) is None:
            case: ChangeCase = rows[(name, key)][1]
            fresh.setdefault(case.proposer, []).append(case)
    if not fresh:
        return
    opened = [view.get(CHANGES, key) for key in view.open_changes()]
    for proposer in sorted(fresh):
        held = sum(one is not None and one.proposer == proposer for one in opened)
        for case in fresh[proposer][max(0, OPEN_CHANGES_MAX - held) :]:
            if len(case.votes) == 1:
                del rows[(CHANGES.name, case.change_id)]
                found = f"{held + len(fresh[proposer])} open"
                reason = Refused("too_many_changes", found, f"at most {OPEN_CHANGES_MAX}")
                yield _rule(case, epoch, reason, None)


def _rule(case: ChangeCase, epoch: int, reason: Rejected, lost_to: bytes | None) -> Ruling:
    return Ruling(
        tx_id=case.proposal_tx,
        kind=VOTE_CHANGE.code,
        author=case.proposer,
        seq=case.proposal_seq,
        subject=case.change_id,
        epoch=epoch,
        code=reason.code,
        found=reason.found[:64],
        wanted=reason.wanted[:64],
        lost_to=lost_to,
    )
