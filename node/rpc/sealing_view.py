"""Who ends the epochs, and how far they are with the next one, as the RPC shows it."""

from typing import Any

from node.state_manager import StateManager
from protocol.ballot_box import BallotBox
from protocol.ballots import Step, choose_proposer
from protocol.seals import Seal


def show_sealing(state: StateManager) -> dict[str, Any]:
    """Return the sealers, what each was heard to say of the next seal, and who signed the last."""
    box, convicted = state.ballots.box, state.ballots.list_convicted()
    last = state.store.journal.seal(state.epoch)
    signed = set() if last is None else {vote.sealer for vote in Seal.from_bytes(last).votes}
    number = box.reached_round()
    return {
        "quorum": box.quorum,
        "round": number,
        "proposer": choose_proposer(box.sealers, box.epoch, number).hex(),
        "items": [
            {
                "address": sealer.hex(),
                "signed_last": sealer in signed,
                **_show_words(box, sealer, number),
                "contradicted_at": convicted[sealer].first.epoch if sealer in convicted else None,
            }
            for sealer in box.sealers
        ],
    }


def _show_words(box: BallotBox, sealer: bytes, number: int) -> dict[str, str | None]:
    """Return what a sealer said in a round: null for nothing, "nil", or the hash of a content."""

    def show(step: Step) -> str | None:
        ballot = box.find_ballot(sealer, number, step)
        if ballot is None:
            return None
        return "nil" if ballot.value is None else ballot.value.hex()

    return {"prevote": show(Step.PREVOTE), "precommit": show(Step.PRECOMMIT)}
