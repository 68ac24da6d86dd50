"""The kinds of transactions, listed by hand so that a reader sees them all at once."""

from protocol.kind import Kind
from protocol.kinds.cancel_task import CANCEL_TASK
from protocol.kinds.claim_reward import CLAIM_REWARD
from protocol.kinds.publish_task import PUBLISH_TASK
from protocol.kinds.register_miner import REGISTER_MINER
from protocol.kinds.reveal_answer import REVEAL_ANSWER
from protocol.kinds.submit_answer import SUBMIT_ANSWER
from protocol.kinds.validate_answer import VALIDATE_ANSWER

ALL: tuple[Kind, ...] = (
    REGISTER_MINER,
    PUBLISH_TASK,
    CANCEL_TASK,
    SUBMIT_ANSWER,
    REVEAL_ANSWER,
    VALIDATE_ANSWER,
    CLAIM_REWARD,
)
BY_CODE: dict[int, Kind] = {kind.code: kind for kind in ALL}
BY_NAME: dict[str, Kind] = {kind.name: kind for kind in ALL}
