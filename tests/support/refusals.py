"""What a refused transaction leaves behind: a ruling, its author's chain longer by one, no more."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from protocol.fold import fold_epoch
from protocol.tables import ACCOUNTS, RULINGS, ruling_key
from protocol.transactions import SignedTransaction
from tests.support.world import World

Deed = Callable[[World], SignedTransaction]


@dataclass(frozen=True)
class Case:
    """A deed that breaks one rule; `loses` if the ruling names a transaction it lost to."""

    code: str
    deed: Deed
    loses: bool = False


def check_refusal(world: World, case: Case) -> None:
    """Fail unless the deed is refused with its code, with one clear line, and changes nothing."""
    tx = case.deed(world)
    author = tx.header.author
    before = world.require(ACCOUNTS, author)
    epoch, with_it = world.fold([tx])
    assert [ruling.code for ruling in with_it.rulings] == [case.code]
    # The same lots without it: the beacon, from which panels are drawn, comes from the set.
    empty_epoch = replace(epoch, transactions=())
    without_it = fold_epoch(world.view, world.genesis, empty_epoch)
    left = {(one.table.name, one.key): one.after for one in with_it.changes}
    empty = {(one.table.name, one.key): one.after for one in without_it.changes}
    account = left.pop((ACCOUNTS.name, author))
    ruling = left.pop((RULINGS.name, ruling_key(world.epoch + 1, tx.tx_id)))
    empty_account = empty.pop((ACCOUNTS.name, author), before)
    assert left == empty
    assert account == replace(empty_account, next_seq=before.next_seq + 1, head=tx.tx_id)
    assert with_it.rulings == (ruling,)
    assert ruling.code == case.code
    assert (ruling.lost_to is not None) == case.loses
    assert ruling.found
    assert ruling.wanted
    assert "\n" not in ruling.found + ruling.wanted
    assert (ruling.tx_id, ruling.author, ruling.epoch) == (tx.tx_id, author, world.epoch + 1)
    world.seal(tx)
    assert world.code_of(tx) == case.code
