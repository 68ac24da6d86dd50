"""What a node as a whole can be made to lack for a while: its peers, the gossip, room on its disk.

Only a node with `dev.faults` can. Each is on or off; a restart forgets them.
"""

from node.disk_watch import DiskWatch
from node.transport.faults import FaultyTransport

DISCONNECT = "disconnect"
DROP_TOPIC = "drop_topic"
DISK_FULL = "disk_full"
OUTAGES = (DISCONNECT, DROP_TOPIC, DISK_FULL)


async def switch(faults: FaultyTransport, disk: DiskWatch, outage: str, *, on: bool) -> None:
    """Begin an outage or end it; one that is so already stays so.

    Raises:
        StorageError: the store failed for another reason, or cannot be opened again.
    """
    match outage:
        case "disconnect":
            await faults.set_alone(on=on)
        case "drop_topic":
            faults.set_off_topic(on=on)
        case "disk_full":
            disk.set_filled(on=on)


def list_outages(faults: FaultyTransport, disk: DiskWatch) -> list[str]:
    """Return the outages that last."""
    lasting = {
        DISCONNECT: faults.is_alone,
        DROP_TOPIC: faults.is_off_topic,
        DISK_FULL: disk.is_filled,
    }
    return [name for name in OUTAGES if lasting[name]]
