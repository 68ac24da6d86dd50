"""Votes that are committed to and not yet shown: what a validator must not lose until then.

DATA/votes/<submission id><round>.cbor   [version, task id, round, vote]   private, written once
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from node.roles.box import Box
from protocol.kinds.reveal_vote import REASONING_BYTES_MAX, RevealVote
from protocol.params import Small
from protocol.schema import Between
from protocol.task_types import Id

VERSION = 1
FILE_BYTES_MAX = REASONING_BYTES_MAX + 512


@dataclass(frozen=True, slots=True)
class BoxedVote:
    """One vote in one round: the very payload that will show it."""

    version: Annotated[int, Between(VERSION, VERSION)]
    task_id: Id
    round: Small
    vote: RevealVote


VoteBox = Box[BoxedVote]


def open_vote_box(folder: Path | None) -> VoteBox:
    """Return the votes of one account on one network, by `make_key`.

    Raises:
        KeyFileError: the folder is open to others or cannot be made.
    """
    return Box(
        folder,
        BoxedVote,
        lambda boxed: make_key(boxed.vote.submission_id, boxed.round),
        FILE_BYTES_MAX,
    )


def make_key(submission_id: bytes, round_: int) -> bytes:
    """Return the key of a vote on an answer in a round."""
    return submission_id + bytes([round_])
