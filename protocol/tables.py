"""Every table of the sealed state: its name, its record and its key, in one place.

| table            | key                              | record             |
|------------------|----------------------------------|--------------------|
| TASKS            | task id                          | Task               |
| MINERS           | address                          | Miner              |
| SUBMISSIONS      | submission id                    | Submission         |
| VALIDATIONS      | submission id, validator, round  | Validation         |
| VOTE_COMMITMENTS | the same as of the vote          | VoteCommitment     |
| REWARDS          | task id, round                   | RewardDistribution |
| DISPUTES         | task id, round                   | DisputeCase        |
| FRAUD_REPORTS    | submission id, reporter          | FraudReport        |
| ACCOUNTS         | address                          | Account            |
| LEDGER           | one empty key                    | Ledger             |
| RULINGS          | epoch (8 bytes BE), transaction  | Ruling             |
| CHANGES          | change id                        | ChangeCase         |
| CHARTERS         | one empty key                    | Charters           |
| LICENCES         | address                          | Licence            |
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protocol import codec
from protocol.charter_records import ChangeCase, Charters, Licence
from protocol.dispute_records import DisputeCase
from protocol.errors import Rejected
from protocol.records import (
    Account,
    FraudReport,
    Ledger,
    Miner,
    RewardDistribution,
    Ruling,
    Submission,
    Task,
    Validation,
    VoteCommitment,
)
from protocol.schema import from_plain, to_plain

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Table(Generic[T]):
    """One table: the name of its column family, its record class and its row version."""

    name: str
    record: type[T]
    version: int = 1

    def encode_row(self, record: T) -> bytes:
        """Return the canonical bytes of a row: its version, then the record."""
        return codec.encode([self.version, to_plain(record)])

    def decode_row(self, data: bytes) -> T:
        """Return the record of a row.

        Raises:
            Rejected: `row_version`, `codec_…` or `field_…`; the caller says where it was found.
        """
        value = codec.decode(data)
        if type(value) is not list or len(value) != 2:
            raise Rejected("row_shape", "another shape", "[version, record]")
        if type(value[0]) is not int or value[0] != self.version:
            raise Rejected("row_version", f"{self.name} {value[0]}", self.version)
        return from_plain(self.record, value[1])


TASKS = Table("ai_task_states", Task)
MINERS = Table("ai_miner_states", Miner)
SUBMISSIONS = Table("ai_submissions", Submission)
VALIDATIONS = Table("ai_validation_results", Validation)
VOTE_COMMITMENTS = Table("ai_vote_commitments", VoteCommitment)
REWARDS = Table("ai_reward_distributions", RewardDistribution)
DISPUTES = Table("ai_dispute_cases", DisputeCase)
FRAUD_REPORTS = Table("fraud_reports", FraudReport)
ACCOUNTS = Table("accounts", Account)
LEDGER = Table("ledger", Ledger)
RULINGS = Table("rulings", Ruling)
CHANGES = Table("changes", ChangeCase)
CHARTERS = Table("charters", Charters)
LICENCES = Table("licences", Licence)

ALL: tuple[Table[Any], ...] = (
    TASKS,
    MINERS,
    SUBMISSIONS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    REWARDS,
    DISPUTES,
    FRAUD_REPORTS,
    ACCOUNTS,
    LEDGER,
    RULINGS,
    CHANGES,
    CHARTERS,
    LICENCES,
)
BY_NAME: dict[str, Table[Any]] = {table.name: table for table in ALL}

LEDGER_KEY = b""
CHARTERS_KEY = b""


def validation_key(submission_id: bytes, validator: bytes, round_: int) -> bytes:
    """Return the key of one vote, and of the commitment to it.

    A validator has one per submission and round.
    """
    return submission_id + validator + bytes([round_])


def reward_key(task_id: bytes, round_: int) -> bytes:
    """Return the key of a task's distribution in one round."""
    return task_id + bytes([round_])


def split_reward_key(key: bytes) -> tuple[bytes, int]:
    """Return the task id and the round of a distribution's key."""
    return key[:-1], key[-1]


def dispute_key(task_id: bytes, round_: int) -> bytes:
    """Return the key of the dispute that a task went through in one round."""
    return task_id + bytes([round_])


def split_dispute_key(key: bytes) -> tuple[bytes, int]:
    """Return the task id and the round of a dispute's key."""
    return key[:-1], key[-1]


def report_key(submission_id: bytes, reporter: bytes) -> bytes:
    """Return the key of a fraud report: everybody reports an answer once."""
    return submission_id + reporter


def ruling_key(epoch: int, tx_id: bytes) -> bytes:
    """Return the key of a ruling; rulings sort by epoch."""
    return epoch.to_bytes(8, "big") + tx_id
