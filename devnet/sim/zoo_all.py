"""All planted bugs, listed by hand so that a reader sees where they are."""

from devnet.sim import zoo_rules, zoo_sealers, zoo_storage, zoo_sync
from devnet.sim.zoo import Bug

ALL_BUGS: tuple[Bug, ...] = (
    *zoo_storage.BUGS,
    *zoo_rules.BUGS,
    *zoo_sync.BUGS,
    *zoo_sealers.BUGS,
)
