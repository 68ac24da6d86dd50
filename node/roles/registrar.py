"""The registrar: enters the account as a miner, a validator or both, if it is none yet."""

from collections.abc import Callable

import structlog

from node.author import Author
from node.roles.refusals import Refusals
from node.roles.watch import RETRY_S, wait_without_alarm
from node.state_manager import StateManager
from protocol.errors import BlamedError
from protocol.kinds.register_miner import RegisterMiner
from protocol.tables import MINERS

log = structlog.get_logger("roles")


class Registrar:
    """Registers one account.

    Args:
        state: the one door.
        author: of the account.
        roles: `ROLE_SOLVER`, `ROLE_VALIDATOR` or both.
        read_kinds: returns the types of task the account is good at; none as long as its worker
            has not said so, and then nobody is registered.
    """

    def __init__(
        self,
        state: StateManager,
        author: Author,
        roles: int,
        read_kinds: Callable[[], tuple[str, ...]],
    ) -> None:
        self._state = state
        self._author = author
        self._roles = roles
        self._read_kinds = read_kinds
        self._refusals = Refusals("registrar")

    async def run(self) -> None:
        """Return once a seal knows the account as a miner.

        A registration that no seal took in is made again; one that is refused, for want of money
        for example, is tried again in every epoch.
        """
        state, address = self._state, self._author.address
        with state.broadcast.listen() as listener:
            while (miner := state.store.view.get(MINERS, address)) is None:
                is_new = state.open.get(MINERS, address) is None
                kinds = tuple(sorted(set(self._read_kinds())))
                if is_new and kinds and not self._refusals.is_fresh(address, state.epoch):
                    await self._register(kinds)
                await listener.wait(RETRY_S)
                await wait_without_alarm(state)
        if miner.roles & self._roles != self._roles:
            log.warning("registered_for_less", roles=miner.roles, wanted=self._roles)

    async def _register(self, kinds: tuple[str, ...]) -> None:
        stake = self._state.params.miner_stake_min
        payload = RegisterMiner(self._roles, kinds, stake, "", "")
        try:
            await self._author.submit("register_miner", payload)
        except BlamedError as error:
            self._refusals.note(self._author.address, error, self._state.epoch)
        else:
            log.info("registered", roles=self._roles, kinds=list(kinds), stake=stake)
