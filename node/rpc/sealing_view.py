"""Who ends the epochs, and how far they are with the next one, as the RPC shows it."""

from typing import Any

from node.state_manager import StateManager
from protocol.ballot_box import BallotBox
from protocol.ballots import Step, choose_proposer
from protocol.seals import Seal

CLOCKS_APART_MS = 60_000
"""How far ahead of this node's clock the time of a seal may be before it is marked."""


def show_sealing(state: StateManager, now_ms: int) -> dict[str, Any]:
    """Return the sealers, what each was heard to say of the next seal, and who signed the last.

    Args:
        state: of this node.
        now_ms: its wall clock.
    """
    box, convicted = state.ballots.box, state.ballots.list_convicted()
    double_seals = state.ballots.list_double_seals()
    last = state.store.journal.seal(state.epoch)
    signed = set() if last is None else {vote.sealer for vote in Seal.from_bytes(last).votes}
    number = box.reached_round()
    return {
        **_show_time(state, now_ms),
        "quorum": box.quorum,
        "round": number,
        "proposer": choose_proposer(box.sealers, box.epoch, number).hex(),
        "items": [
            {
                "address": sealer.hex(),
                "signed_last": sealer in signed,
                **_show_words(box, sealer, number),
                "contradicted_at": convicted[sealer].first.epoch if sealer in convicted else None,
                "signed_two_at": (
                    double_seals[sealer].first.content.epoch if sealer in double_seals else None
                ),
            }
            for sealer in box.sealers
        ],
    }


def _show_time(state: StateManager, now_ms: int) -> dict[str, Any]:
    """Return when the last seal was made by its proposer's clock, and what is odd about that.

    `ahead` of our clock, or `back` behind the seal before. It is only shown. Were a proposal
    refused for its time, clocks would decide: with two wrong ones among four sealers nothing would
    be sealed any more, and once a wrong time was sealed the right one would be what goes back.
    """
    last, before = _read_time(state, state.epoch), _read_time(state, state.epoch - 1)
    mark = None
    if last is not None and last > now_ms + CLOCKS_APART_MS:
        mark = "ahead"
    elif last is not None and before is not None and last < before:
        mark = "back"
    return {"sealed_ms": last, "sealed_mark": mark}


def _read_time(state: StateManager, epoch: int) -> int | None:
    data = state.store.journal.seal(epoch) if epoch > 0 else None
    return None if data is None else Seal.from_bytes(data).content.time_ms


def _show_words(box: BallotBox, sealer: bytes, number: int) -> dict[str, str | None]:
    """Return what a sealer said in a round: null for nothing, "nil", or the hash of a content."""

    def show(step: Step) -> str | None:
        ballot = box.find_ballot(sealer, number, step)
        if ballot is None:
            return None
        return "nil" if ballot.value is None else ballot.value.hex()

    return {"prevote": show(Step.PREVOTE), "precommit": show(Step.PRECOMMIT)}
