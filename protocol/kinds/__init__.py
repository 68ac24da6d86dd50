"""The kinds of transactions, listed by hand so that a reader sees them all at once."""

from protocol.kind import Kind
from protocol.kinds.add_evidence import ADD_EVIDENCE
from protocol.kinds.adjust_stake import ADJUST_STAKE
from protocol.kinds.appeal_dispute import APPEAL_DISPUTE
from protocol.kinds.cancel_task import CANCEL_TASK
from protocol.kinds.claim_reward import CLAIM_REWARD
from protocol.kinds.open_dispute import OPEN_DISPUTE
from protocol.kinds.open_vote import OPEN_VOTE
from protocol.kinds.publish_task import PUBLISH_TASK
from protocol.kinds.register_miner import REGISTER_MINER
from protocol.kinds.report_fraud import REPORT_FRAUD
from protocol.kinds.reveal_answer import REVEAL_ANSWER
from protocol.kinds.reveal_vote import REVEAL_VOTE
from protocol.kinds.submit_answer import SUBMIT_ANSWER
from protocol.kinds.validate_answer import VALIDATE_ANSWER
from protocol.kinds.vote_change import VOTE_CHANGE
from protocol.kinds.vote_dispute import VOTE_DISPUTE
from protocol.kinds.withdraw_dispute import WITHDRAW_DISPUTE

ALL: tuple[Kind, ...] = (
    REGISTER_MINER,
    ADJUST_STAKE,
    PUBLISH_TASK,
    CANCEL_TASK,
    SUBMIT_ANSWER,
    REVEAL_ANSWER,
    VALIDATE_ANSWER,
    REVEAL_VOTE,
    OPEN_VOTE,
    REPORT_FRAUD,
    OPEN_DISPUTE,
    ADD_EVIDENCE,
    APPEAL_DISPUTE,
    WITHDRAW_DISPUTE,
    VOTE_DISPUTE,
    CLAIM_REWARD,
    VOTE_CHANGE,
)
BY_CODE: dict[int, Kind] = {kind.code: kind for kind in ALL}
BY_NAME: dict[str, Kind] = {kind.name: kind for kind in ALL}
