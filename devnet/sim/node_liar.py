"""The other end of a stream to a liar, in the node layer: the real server's replies, twisted."""

from devnet.sim.cast import Cast
from devnet.sim.habits import Tongue, reconcile
from devnet.sim.node_peer import NodePeer
from node.sync.server import Server
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import Stream
from protocol.errors import PeerFault, Rejected
from protocol.messages import Ranges
from protocol.reconcile import ReconcileSession
from storage.errors import StorageError

HELLO_S = 60.0
IDLE_S = 600.0
TWISTED = ("silent", "forger", "censor")
"""The habits that show in replies."""


async def serve_lying(one: NodePeer, cast: Cast, tongue: Tongue, stream: Stream) -> None:
    """Serve one stream that a peer opened to a liar, until the peer leaves."""
    messages = MessageStream(stream)
    asker = int(str(stream.peer)[1:])
    sitting: list[ReconcileSession] = []
    try:
        await messages.receive(HELLO_S)
        if one.peer is not None and tongue.habit != "silent":
            await messages.send(Server(one.peer.state, cast.verifier).build_hello())
        while one.peer is not None:
            request = await messages.receive(IDLE_S)
            if isinstance(request, Ranges):
                reply = reconcile(one.peer.state, request, sitting)
            else:
                reply = await Server(one.peer.state, cast.verifier).answer(request, str(asker))
            said = tongue.twist(reply, asker)
            if said is not None:
                await messages.send(said)
    except (PeerLeft, PeerFault, Rejected, StorageError):
        # The liar does not mind.
        return
    finally:
        await messages.aclose()
