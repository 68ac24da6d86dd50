"""The claimer: collects what the account is owed, each entry once, as soon as a seal allows it."""

import structlog
import trio

from node.author import Author
from node.roles.refusals import Refusals
from node.roles.watch import RETRY_S, wait_without_alarm
from node.state_manager import StateManager
from protocol.errors import BlamedError
from protocol.kinds.claim_reward import ClaimReward
from protocol.phases import RewardState
from protocol.tables import REWARDS, reward_key
from protocol.transactions import SignedTransaction
from storage.queries import PAGE_ITEMS_MAX, Unclaimed

log = structlog.get_logger("roles")

CLAIMS_AT_ONCE = 64
"""Claims waiting for the author at the same time: they are signed as one batch."""


class Claimer:
    """Claims rewards of one account."""

    def __init__(self, state: StateManager, author: Author) -> None:
        self._state = state
        self._author = author
        self._refusals = Refusals("claimer")

    async def run(self) -> None:
        """Claim whenever a seal may have made something claimable; never returns."""
        with self._state.broadcast.listen() as listener:
            epoch = -1
            while True:
                if self._state.epoch != epoch:
                    epoch = self._state.epoch
                    await self._claim_all()
                await listener.wait(RETRY_S)
                await wait_without_alarm(self._state)

    async def _claim_all(self) -> None:
        fee = self._state.params.claim_fee
        found = find_claimable(self._state, self._author.address)
        worth = [one for one in found if one.entry.amount > fee]
        limiter = trio.CapacityLimiter(CLAIMS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for one in worth:
                await limiter.acquire_on_behalf_of(one.entry.entry_id)
                nursery.start_soon(self._claim, one, limiter)

    async def _claim(self, one: Unclaimed, limiter: trio.CapacityLimiter) -> None:
        try:
            await submit_claim(self._author, one)
        except BlamedError as error:
            self._refusals.note(one.entry.entry_id, error, self._state.epoch)
        else:
            log.info("reward_claimed", task=one.task_id[:8], amount=one.entry.amount)
        finally:
            limiter.release_on_behalf_of(one.entry.entry_id)


def find_claimable(state: StateManager, recipient: bytes) -> list[Unclaimed]:
    """Return what a recipient can claim now and has not claimed yet, the oldest first."""
    found: list[Unclaimed] = []
    cursor: bytes | None = None
    while True:
        page = state.store.queries.unclaimed_rewards(recipient, PAGE_ITEMS_MAX, cursor)
        found += [one for one in page.items if _is_claimable(state, one)]
        cursor = page.cursor
        if cursor is None:
            return found


async def submit_claim(author: Author, one: Unclaimed) -> SignedTransaction:
    """Sign and store the claim of one entry.

    Raises:
        Rejected: the rules refuse it.
        SigningError: this machine must not sign now.
    """
    payload = ClaimReward(one.entry.entry_id, one.round)
    return await author.submit("claim_reward", payload, subject=one.task_id)


def _is_claimable(state: StateManager, one: Unclaimed) -> bool:
    if one.entry.state is not RewardState.CLAIMABLE:
        return False
    # A claim that waits for its seal shows in the provisional state only.
    row = state.open.get(REWARDS, reward_key(one.task_id, one.round))
    entries = () if row is None else row.entries
    return any(
        entry.entry_id == one.entry.entry_id and entry.state is RewardState.CLAIMABLE
        for entry in entries
    )
