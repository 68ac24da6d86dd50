"""What the sealers decide on before they know what it leads to: the set of an epoch, and the deals.

    plan  = [epoch, prev_seal_hash, set_root, count, sealers_next, time_ms, [deal, ...]]
    value = SHA-256("minesync/plan/1" || network || plan)

Once a plan is decided the secret of its epoch is opened; from set and secret follow the order, the
state and so the seal, which is the same for everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.params import Epochs
from protocol.schema import AtMost, Between, encode_record
from protocol.seals import SealContent, build_sharing, check_sharing, compute_sealers_hash
from protocol.sharing import DEALS_MAX, Deal, compute_deal_hash, count_deals
from protocol.task_types import Id

SET_IDS_MAX = 1 << 18
"""Ids of a proposed set that a sealer looks at; nobody honest proposes more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A seal without what only the opened secret shows. The fields are those of `SealContent`.

    Attributes:
        deals: for the next epoch, f + 1 by dealer: whoever knows the plan can check and use them.
    """

    epoch: Epochs
    prev: Id
    set_root: Id
    count: Annotated[int, Between(0, (1 << 32) - 1)]
    sealers_next: Id
    time_ms: Annotated[int, Between(0, (1 << 53) - 1)]
    deals: Annotated[tuple[Deal, ...], AtMost(DEALS_MAX)]


@lru_cache(maxsize=64)
def compute_plan_hash(network: bytes, plan: Plan) -> bytes:
    """Return the value (32 bytes) that ballots name.

    Of the few plans of an epoch it is asked with every word that is heard.
    """
    return compute_hash("plan", network, encode_record(plan))


def complete(network: bytes, plan: Plan, secret: bytes | None, state_root: bytes) -> SealContent:
    """Return the content of the seal that a decided plan leads to."""
    deals = [compute_deal_hash(network, deal) for deal in plan.deals]
    return SealContent(
        epoch=plan.epoch,
        prev=plan.prev,
        set_root=plan.set_root,
        count=plan.count,
        state_root=state_root,
        sealers_next=plan.sealers_next,
        time_ms=plan.time_ms,
        sharing=build_sharing(secret, deals),
    )


def leads_to(network: bytes, plan: Plan, content: SealContent) -> bool:
    """Tell whether a seal can come of a plan, whatever secret and state it names."""
    return complete(network, plan, content.secret, content.state_root) == content


def check_plan(plan: Plan, epoch: int, prev: bytes, sealers_next: Sequence[bytes]) -> None:
    """Check all of a plan but its set and the proofs of its deals.

    Args:
        plan: that somebody proposes.
        epoch: that it must be of.
        prev: the hash of the seal before.
        sealers_next: of the next epoch, sorted.

    Raises:
        Rejected: `proposal_content`, `proposal_deals`.
    """
    _check_place(plan, epoch, prev, sealers_next)
    dealers = [deal.dealer for deal in plan.deals]
    wanted = count_deals(len(sealers_next))
    if len(dealers) != wanted or dealers != sorted(set(dealers)):
        raise Rejected("proposal_deals", f"{len(dealers)} deals", f"{wanted}, sorted by dealer")


def check_sealed(
    content: SealContent,
    epoch: int,
    prev: bytes,
    sealers: Sequence[bytes],
    sealers_next: Sequence[bytes],
) -> None:
    """Check that a seal of this content can come of a plan; the arguments as for `check_plan`.

    Raises:
        Rejected: `proposal_content`, `seal_sharing`.
    """
    _check_place(content, epoch, prev, sealers_next)
    check_sharing(content, len(sealers), len(sealers_next))


def _check_place(
    planned: Plan | SealContent, epoch: int, prev: bytes, sealers_next: Sequence[bytes]
) -> None:
    if (planned.epoch, planned.prev) != (epoch, prev):
        raise Rejected("proposal_content", f"epoch {planned.epoch}", f"the next, {epoch}")
    if planned.sealers_next != compute_sealers_hash(sealers_next):
        raise Rejected("proposal_content", "other sealers", "the sealers of the next epoch")
    if planned.count > SET_IDS_MAX:
        raise Rejected("proposal_content", f"{planned.count} ids", f"at most {SET_IDS_MAX}")
