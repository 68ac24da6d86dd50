"""What a validator binds himself to, chosen only when he shows it.

A state stands for all states that differ in nothing but what is inside the commitments to votes
that nobody has shown. Its rows hold any one of them; before an epoch in which votes are shown they
are put to those votes (`choose`). So one state does for all that could be hidden in it, and the
fold that runs is the real one, with every hash checked. What that assumes:

1. Of a commitment the rules read nothing before it is shown, and then only whether it is the hash
   of what is shown. Somebody who never shows it has then done the same, whatever it was.
2. Its transaction's id moves it among the commitments of its epoch, whose order means nothing: each
   has a row of its own, and what follows from all of them follows after all of them.
3. Nobody can act upon what he cannot read, and the search lets everybody do everything anyhow.

Small bounds are walked both ways, so that a rule that broke one of these would be seen: the states
and the endings must be the same (`tests/test_protocol/test_hidden_votes.py`).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from protocol.kinds.reveal_vote import RevealVote, compute_vote_commitment
from protocol.phases import VoteState
from protocol.records import VoteCommitment
from protocol.tables import VOTE_COMMITMENTS
from protocol.view import Key
from tests.support.builders import a_vote, an_address
from tests.support.small_market import NETWORK, Deed

Rows = dict[Key, Any]


def choose(rows: Rows, deeds: Iterable[Deed]) -> Rows:
    """Return the rows with each vote that the deeds show as what was committed to."""
    shown = {
        (an_address(deed.who), deed.payload.submission_id): deed.payload
        for deed in deeds
        if deed.kind == "reveal_vote"
    }
    if not shown:
        return rows
    chosen = dict(rows)
    for key, hidden in _find_hidden(rows):
        vote = shown.get((hidden.validator, hidden.submission_id))
        if vote is not None:
            chosen[key] = _bind(hidden, vote)
    return chosen


def forget(rows: Rows) -> Rows:
    """Return the rows with the same inside every commitment to a vote that nobody has shown."""
    same = {key: _bind(one, a_vote(one.submission_id, None)) for key, one in _find_hidden(rows)}
    return rows | same


def _find_hidden(rows: Rows) -> list[tuple[Key, VoteCommitment]]:
    table = VOTE_COMMITMENTS.name
    found = [(key, row) for key, row in rows.items() if key[0] == table]
    return [(key, row) for key, row in found if row.state is VoteState.COMMITTED]


def _bind(hidden: VoteCommitment, vote: RevealVote) -> VoteCommitment:
    commitment = compute_vote_commitment(NETWORK, hidden.validator, hidden.round, vote)
    return replace(hidden, commitment=commitment)
