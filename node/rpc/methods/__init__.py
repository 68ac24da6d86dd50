"""The methods of the RPC, a file for each topic; listed by hand so that a reader sees them all."""

from node.rpc.method import Method
from node.rpc.methods import (
    accounts,
    answers,
    changes,
    checks,
    database,
    dev,
    dev_look,
    disputes,
    miners,
    net,
    opinions,
    performance,
    rewards,
    running,
    stakes,
    tasks,
    transactions,
    workers,
)
from node.rpc.methods.discover import build_discover

ALWAYS: tuple[Method, ...] = (
    *running.METHODS,
    *net.METHODS,
    *tasks.METHODS,
    *answers.METHODS,
    *accounts.METHODS,
    *rewards.METHODS,
    *disputes.METHODS,
    *changes.METHODS,
    *stakes.METHODS,
    *miners.METHODS,
    *transactions.METHODS,
    *checks.METHODS,
    *database.METHODS,
    *opinions.METHODS,
    *workers.METHODS,
    *performance.METHODS,
)


def list_methods(*, has_faults: bool) -> tuple[Method, ...]:
    """Return every method a node serves; those of devnets only with `dev.faults`."""
    methods = (*ALWAYS, *dev.METHODS, *dev_look.METHODS) if has_faults else ALWAYS
    return (*methods, build_discover(methods))
