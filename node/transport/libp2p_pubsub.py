"""The pubsub service of one topic: streams to and from peers, what is heard and what is said.

A message is checked, marked as seen, delivered and passed on in one step without waiting, so two
copies that arrive together are one. Nothing a peer sends raises: a message that breaks the format
or the signature rule ends the connection it came by.
"""

import secrets
from collections.abc import Callable

import structlog
import trio
from libp2p.abc import IMuxedConn, INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.host.exceptions import StreamFailure
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX, signature_validator

from node.transport.base import GOSSIP_BYTES_MAX, GOSSIP_SEEN_S, OWN_FAULTS, GossipValidator
from node.transport.libp2p_gossip import (
    RPC_BYTES_MAX,
    BoundedGossipSub,
    FrameQueue,
    encode_rpc,
)
from node.transport.libp2p_streams import is_unsupported
from node.transport.limits import TransportLimits
from node.transport.peer_log import log_peer_fault, take_line
from node.transport.seen import SeenIds, compute_gossip_id

MESSAGES_PER_RPC_MAX = 16_384
SUBSCRIPTIONS_PER_RPC_MAX = 16
SUBSCRIPTIONS_PER_PEER_MAX = 4
MESSAGES_PER_TURN = 16
_LENGTH_BYTES_MAX = 5

_log = structlog.get_logger(__name__)


class PubsubFault(Exception):
    """A peer sent on the pubsub protocol what no honest peer sends."""


def compute_message_id(message: rpc_pb2.Message) -> bytes:
    """Return the id of a pubsub message; origin and sequence number are not in it."""
    return compute_gossip_id(message.data)


class _RpcReader:
    """Cuts a stream into RPCs, reading as much as there is at a time."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read_rpc(self) -> rpc_pb2.RPC | None:
        """Return the next RPC, or None at the end of the stream."""
        while True:
            body_at, size = _read_length(self._buffer)
            if size > RPC_BYTES_MAX:
                raise PubsubFault(f"an RPC of {size} bytes")
            if body_at and len(self._buffer) >= body_at + size:
                rpc = rpc_pb2.RPC()
                rpc.ParseFromString(bytes(self._buffer[body_at : body_at + size]))
                del self._buffer[: body_at + size]
                return rpc
            data = await _read_or_end(self._stream)
            if not data:
                return None
            self._buffer += data


class BoundedPubsub(Pubsub):
    """Gossip of one topic, with content ids, one validator and bounded everything."""

    def __init__(
        self,
        host: BasicHost,
        router: BoundedGossipSub,
        *,
        topic: str,
        validate: GossipValidator,
        deliver: Callable[[ID, bytes], None],
        limits: TransportLimits,
    ) -> None:
        super().__init__(
            host,
            router,
            seen_ttl=GOSSIP_SEEN_S,
            strict_signing=True,
            msg_id_constructor=compute_message_id,
            max_subscriptions_per_rpc=SUBSCRIPTIONS_PER_RPC_MAX,
            max_subscriptions_per_peer=SUBSCRIPTIONS_PER_PEER_MAX,
            max_inbound_rpc_size=RPC_BYTES_MAX,
            allowed_topics={topic},
        )
        # Its own cache is unbounded, reads the wall clock and runs a thread that nobody stops.
        self.seen_messages.stop()
        self._seen = SeenIds(ttl_s=GOSSIP_SEEN_S, ids_max=limits.gossip_seen_max)
        self.seen_messages = self._seen  # type: ignore[assignment]
        # Peers that tell messages apart by sequence number must not take those after a restart for
        # those before. The library starts from the wall clock in seconds, which a busy node is
        # ahead of when it comes back.
        self.counter = secrets.randbits(62)
        self._gossip = router
        self._topic = topic
        self._validate = validate
        self._deliver = deliver
        self._limits = limits
        self._inbound: dict[ID, INetStream] = {}
        self._replayed: set[ID] = set()
        self.rejected = 0
        self.unsent = 0

    def publish_own(self, data: bytes) -> None:
        """Offer a message of ours to everybody who hears the topic."""
        if not self._seen.add(compute_gossip_id(data)):
            return
        message = rpc_pb2.Message(
            data=data,
            topicIDs=[self._topic],
            from_id=self.my_id.to_bytes(),
            seqno=self._next_seqno(),
        )
        assert self.sign_key is not None
        # The key is not sent along: it is in the peer id.
        message.signature = self.sign_key.sign(
            PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
        )
        self._gossip.forward(message, self.my_id, own=True)

    def connection_closed(self, connection: IMuxedConn) -> None:
        """Open the stream anew if ours ran over a connection that is gone while another is up."""
        peer_id = connection.peer_id
        stream = self.peers.get(peer_id)
        if stream is not None and stream.muxed_conn is connection:
            self._handle_dead_peer(peer_id)
        elif stream is None and self._peer_is_connected(peer_id):
            # It was being opened, over the one that is gone.
            self._schedule_peer_stream_retry(peer_id)

    def get_hello_packet(self) -> rpc_pb2.RPC:
        """Return what a peer is told first: our topic."""
        packet = rpc_pb2.RPC()
        for topic in self.topic_ids:
            packet.subscriptions.add(subscribe=True, topicid=topic)
        return packet

    async def stream_handler(self, stream: INetStream) -> None:
        """Hear one peer until his stream ends. A second stream of his replaces the first."""
        peer_id = stream.muxed_conn.peer_id
        former = self._inbound.get(peer_id)
        self._inbound[peer_id] = stream
        if former is not None:
            await former.reset()
        try:
            await self.continuously_read_stream(stream)
            await stream.close()
        except OWN_FAULTS:
            raise
        except Exception as error:
            # The bulkhead of one peer's gossip. Beneath are protobuf and key parsing, whose
            # errors are many; whichever it is, the peer did it.
            log_peer_fault("gossip_stream_failed", peer=peer_id, error=error)
            await stream.muxed_conn.close()
        finally:
            if self._inbound.get(peer_id) is stream:
                del self._inbound[peer_id]

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """Take one RPC after the other.

        Raises:
            PubsubFault: a message that no honest peer passes on.
            google.protobuf.message.DecodeError: not an RPC.
        """
        peer_id = stream.muxed_conn.peer_id
        reader = _RpcReader(stream)
        while (rpc := await reader.read_rpc()) is not None:
            if len(rpc.publish) > MESSAGES_PER_RPC_MAX:
                raise PubsubFault(f"{len(rpc.publish)} messages in an RPC")
            for at, message in enumerate(rpc.publish):
                self._hear(peer_id, message)
                if at % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1:
                    await trio.lowlevel.checkpoint()
            if len(rpc.subscriptions) > SUBSCRIPTIONS_PER_RPC_MAX:
                raise PubsubFault(f"{len(rpc.subscriptions)} subscriptions in an RPC")
            for subscription in rpc.subscriptions:
                self.handle_subscription(peer_id, subscription)
            if rpc.HasField("control"):
                await self._gossip.handle_rpc(rpc, peer_id)

    async def handle_sending_messages(
        self, peer_id: ID, stream: INetStream, queue: RpcQueue
    ) -> None:
        """Send what is queued for one peer, many messages at a time under load."""
        assert isinstance(queue, FrameQueue)
        try:
            while (batch := await queue.pop_batch()) is not None:
                await stream.write(batch)
        except Exception as error:
            # The same bulkhead, the other direction.
            _log.debug("gossip_sender_failed", peer=str(peer_id), error=repr(error)[:200])
            if self.peers.get(peer_id) is stream:
                self._handle_dead_peer(peer_id)
        finally:
            with trio.CancelScope(shield=True):
                await stream.reset()

    async def write_msg(self, stream: INetStream, rpc_msg: rpc_pb2.RPC) -> bool:
        """Queue an RPC: two writers on one stream would cut each other's messages in two."""
        queue = self.peer_queues.get(stream.muxed_conn.peer_id)
        return queue is not None and queue.push(rpc_msg)

    def _hear(self, forwarder: ID, message: rpc_pb2.Message) -> None:
        message_id = compute_gossip_id(message.data)
        if self._seen.has(message_id):
            return
        if list(message.topicIDs) != [self._topic] or len(message.data) > GOSSIP_BYTES_MAX:
            return
        if message.from_id == self.my_id.to_bytes():
            # Of ours, from before a restart; or somebody pretends.
            return
        # The cheap test first. A refusal is nobody's fault: it may be too early for this message.
        if not self._is_welcome(message.data):
            self.rejected += 1
            return
        if not signature_validator(message):
            raise PubsubFault("a message without a signature of its origin")
        self._seen.add(message_id)
        self._deliver(forwarder, message.data)
        self._gossip.forward(message, forwarder, own=False)

    def _count_unsent(self) -> None:
        self.unsent += 1

    def _is_welcome(self, data: bytes) -> bool:
        try:
            return self._validate(data)
        except OWN_FAULTS:
            raise
        except Exception as error:
            # It promised not to. The message is refused, the fault is ours to read in the log.
            if take_line() is not None:
                _log.error("gossip_validator_failed", size=len(data), exc_info=error)
            return False

    async def _handle_new_peer(self, peer_id: ID) -> None:
        if peer_id in self.peers:
            return
        # The caller tries again after a `SwarmException`, and gives up after any other.
        with trio.move_on_after(self._limits.stream_open_timeout_s) as patience:
            try:
                stream = await self.host.new_stream(peer_id, self.protocols)
            except StreamFailure as error:
                if is_unsupported(error):
                    raise
                raise SwarmException(f"no gossip stream to {peer_id}") from error
            await stream.write(encode_rpc(self.get_hello_packet()))
        if patience.cancelled_caught:
            raise SwarmException(f"{peer_id} took too long to open a gossip stream")
        if peer_id in self.peers:
            # Somebody was faster while we waited.
            await stream.reset()
            return
        self._gossip.add_peer(peer_id, stream.get_protocol())
        self.peers[peer_id] = stream
        queue = FrameQueue(self._limits, self._count_unsent)
        self.peer_queues[peer_id] = queue
        self.manager.run_task(self.handle_sending_messages, peer_id, stream, queue)
        if peer_id in self.peer_topics.get(self._topic, ()):
            await self._replay_recent_messages(peer_id, self._topic)
            await self._gossip.on_peer_subscribed(peer_id, self._topic)

    async def _replay_recent_messages(self, peer_id: ID, topic: str) -> None:
        # Once in a connection's life: subscribing again and again must not be a way to make us
        # send the same megabytes again and again.
        if peer_id in self.peers and peer_id not in self._replayed:
            self._replayed.add(peer_id)
            await self._gossip.send_recent_messages(peer_id, topic)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        inbound = self._inbound.get(peer_id)
        still_hears = (
            inbound is not None
            and not _is_closed(inbound.muxed_conn)
            and peer_id in self.peer_topics.get(self._topic, ())
        )
        self._replayed.discard(peer_id)
        # The library leaves this out for a peer to whom no stream was open yet, and who may be in
        # the mesh for all that.
        self._gossip.remove_peer(peer_id)
        super()._handle_dead_peer(peer_id)
        if still_hears:
            # Only our stream to him is gone. He told us on another, which lives, what he hears,
            # and will not tell us again.
            self.peer_topics.setdefault(self._topic, set()).add(peer_id)
            self._peer_subscription_count[peer_id] = 1

    def _build_announce_rpc(
        self, topic_id: str, subscribe: bool
    ) -> tuple[rpc_pb2.RPC, rpc_pb2.RPC.SubOpts]:
        packet = rpc_pb2.RPC()
        option = packet.subscriptions.add(subscribe=subscribe, topicid=topic_id)
        return packet, option


def _read_length(buffer: bytearray) -> tuple[int, int]:
    """Return where the body begins and its size; (0, 0) while the length is not complete."""
    size = 0
    for at, byte in enumerate(buffer[:_LENGTH_BYTES_MAX]):
        size |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return at + 1, size
    if len(buffer) >= _LENGTH_BYTES_MAX:
        raise PubsubFault("a length of more than five bytes")
    return 0, 0


async def _read_or_end(stream: INetStream) -> bytes:
    try:
        return await stream.read()
    except StreamError:
        return b""


def _is_closed(connection: IMuxedConn) -> bool:
    return connection.is_closed
