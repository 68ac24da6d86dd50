"""What single nodes of a manifest are to bear, one thing at a time: kill, pause, disconnect, ...

The words and the order are those of CometBFT's end-to-end tests: node by node, one after the other,
and all nodes are ready again before the next.
"""

from collections.abc import Callable

import trio

from devnet.checks import Verdict
from devnet.conditions import parse_condition
from devnet.facts import wait_for
from devnet.faults import begin_outage, end_outage, kill, pause, restart, resume, start
from devnet.manifests.lineup import Lineup
from devnet.provider import Provider
from node.outages import DISCONNECT

AWAY_S = 3.0
"""How long a node is paused or disconnected."""
BETWEEN_S = 3.0
READY_S = 60.0
"""For all nodes to be ready again."""
PERTURB = "perturb"
_READY = parse_condition("ready")


async def perturb_all(
    provider: Provider, lineup: Lineup, tell: Callable[[str], None]
) -> list[Verdict]:
    """Do all that the nodes of a manifest are to bear; return what they did not, if anything.

    Raises:
        DevnetError: one does not run, or does not come up again.
        RpcError: one refuses.
    """
    wanted = [(one.name, kind) for one in lineup.nodes for kind in one.table.perturb]
    for place, (name, kind) in enumerate(wanted):
        if place:
            await trio.sleep(BETWEEN_S)
        tell(f"{PERTURB} {name}: {kind}")
        await _perturb(provider, name, kind)
        found = await wait_for(provider, _READY, READY_S)
        if not found.ok:
            return [Verdict(PERTURB, False, f"after {kind} of {name}: {found.detail}")]
    return []


async def _perturb(provider: Provider, name: str, kind: str) -> None:
    match kind:
        case "kill":
            await kill(provider, name)
            await start(provider, name, meets=False)
        case "restart":
            await restart(provider, name, meets=False)
        case "pause":
            await pause(provider, name)
            await trio.sleep(AWAY_S)
            await resume(provider, name)
        case "disconnect":
            await begin_outage(provider, name, DISCONNECT)
            await trio.sleep(AWAY_S)
            await end_outage(provider, name, DISCONNECT)
