"""Gossipsub 1.1 as this network uses it: one topic, bounded queues, ids by content.

The mesh (who is in it, how it is repaired) is the library's. Ours are the queues to the peers, the
cache of recent messages, what is answered to control messages, and the heartbeat's order of work.
What this replaces: queues of 32 that drop silently, a signed record on every message, lists that
grow with every message, answers as large as a peer asks for.
"""

import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils import encode_varint_prefixed

from node.transport.limits import MIB, TransportLimits
from node.transport.seen import compute_gossip_id
from node.transport.yamux_frames import PAYLOAD_BYTES_MAX

RPC_BYTES_MAX = MIB

MESH_DEGREE = 6
MESH_DEGREE_LOW = 4
MESH_DEGREE_HIGH = 12
HEARTBEAT_S = 1
GOSSIP_WINDOW = 5
GOSSIP_HISTORY = 10
PRUNE_BACK_OFF_S = 10
BACK_OFF_MAX_S = 60

CONTROL_ENTRIES_MAX = 16
MESSAGE_IDS_MAX = 1024
MESSAGE_ID_BYTES = 32
ANSWERS_PER_ID_MAX = 3

CACHE_MESSAGES_MAX = 16_384
CACHE_BYTES_MAX = 16 * MIB


def encode_rpc(rpc: rpc_pb2.RPC) -> bytes:
    """Return an RPC as it goes over a stream: a length, then the message."""
    return bytes(encode_varint_prefixed(rpc.SerializeToString()))


_JITTER = random.SystemRandom()


class FrameQueue(RpcQueue):
    """Encoded RPCs on their way to one peer; what does not fit is dropped and reported."""

    def __init__(self, limits: TransportLimits, on_dropped: Callable[[], None]) -> None:
        super().__init__(max_size=limits.gossip_queue_max, max_message_size=RPC_BYTES_MAX)
        self._on_dropped = on_dropped
        self._frames_max = limits.gossip_queue_max
        self._bytes_max = limits.gossip_queue_bytes_max
        self._urgent: deque[bytes] = deque()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._frames)

    def push(self, rpc: rpc_pb2.RPC, priority: bool = False) -> bool:
        """Queue an RPC; return whether there was room."""
        return self.push_frame(encode_rpc(rpc), urgent=priority)

    def push_frame(self, frame: bytes, *, urgent: bool = False) -> bool:
        """Queue an encoded RPC; return whether there was room."""
        too_many = len(self) >= self._frames_max or self._bytes + len(frame) > self._bytes_max
        if self.closed or too_many:
            self._on_dropped()
            return False
        (self._urgent if urgent else self._frames).append(frame)
        self._bytes += len(frame)
        self._filled.set()
        return True

    async def pop_batch(self) -> bytes | None:
        """Wait for RPCs; return as many as fill one write, or None when the queue is closed."""
        while not len(self):
            if self.closed:
                return None
            self._filled = trio.Event()
            await self._filled.wait()
        batch: list[bytes] = []
        size = 0
        while len(self):
            source = self._urgent or self._frames
            if batch and size + len(source[0]) > PAYLOAD_BYTES_MAX:
                break
            size += len(source[0])
            batch.append(source.popleft())
        self._bytes -= size
        return b"".join(batch)

    def close(self) -> None:
        """Let the sender end; nothing is queued any more."""
        super().close()
        self._filled.set()


class RecentMessages(MessageCache):
    """The messages of the last heartbeats, by content, bounded in number and bytes."""

    def __init__(self) -> None:
        super().__init__(GOSSIP_WINDOW, GOSSIP_HISTORY)
        self._bytes = 0
        self._answers: defaultdict[bytes, Counter[ID]] = defaultdict(Counter)

    def put(self, msg: rpc_pb2.Message) -> None:
        """Keep a message, if there is room."""
        message_id = compute_gossip_id(msg.data)
        if (
            message_id in self.msgs
            or len(self.msgs) >= CACHE_MESSAGES_MAX
            or self._bytes + len(msg.data) > CACHE_BYTES_MAX
        ):
            return
        self.msgs[message_id] = msg
        self._bytes += len(msg.data)
        self.history[0].append(CacheEntry(message_id, msg.topicIDs))

    def window(self, topic: str) -> list[bytes]:
        """Return the ids of the newest messages, as many as one IHAVE may name."""
        return super().window(topic)[:MESSAGE_IDS_MAX]

    def list_messages(self) -> list[rpc_pb2.Message]:
        """Return the messages that a newcomer is sent, the oldest first."""
        recent = reversed(self.history[: self.window_size])
        return [self.msgs[entry.mid] for entries in recent for entry in entries]

    def answer(self, message_id: bytes, peer: ID) -> rpc_pb2.Message | None:
        """Return a message for a peer who asks for it, unless he asked too often."""
        message = self.get(message_id)
        if message is None or self._answers[message_id][peer] >= ANSWERS_PER_ID_MAX:
            return None
        self._answers[message_id][peer] += 1
        return message

    def shift(self) -> None:
        """Forget the messages of the oldest heartbeat."""
        for entry in self.history[-1]:
            self._bytes -= len(self.msgs[entry.mid].data)
            self._answers.pop(entry.mid, None)
        super().shift()


class BoundedGossipSub(GossipSub):
    """The router: who is sent what."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            # 1.2 tells every peer about every message (IDONTWANT), at twice the CPU.
            protocols=[PROTOCOL_ID_V11],
            degree=MESH_DEGREE,
            degree_low=MESH_DEGREE_LOW,
            degree_high=MESH_DEGREE_HIGH,
            gossip_window=GOSSIP_WINDOW,
            gossip_history=GOSSIP_HISTORY,
            heartbeat_interval=HEARTBEAT_S,
            do_px=False,
            prune_back_off=PRUNE_BACK_OFF_S,
            unsubscribe_back_off=PRUNE_BACK_OFF_S,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        # Neutral in the library's defaults, and the cost of one call per peer and message.
        self.scorer = None
        self._recent = RecentMessages()
        self.mcache = self._recent
        self._topic = topic

    def forward(self, message: rpc_pb2.Message, forwarder: ID, *, own: bool) -> None:
        """Queue a message for the mesh; one of our own for everybody who hears the topic.

        To everybody, because a mesh full of hostile peers could swallow what we say.
        """
        assert self.pubsub is not None
        self.mcache.put(message)
        hearers: Iterable[ID] = self.mesh.get(self._topic, ())
        if own:
            hearers = self.pubsub.peer_topics.get(self._topic, ())
        frame = encode_rpc(rpc_pb2.RPC(publish=[message]))
        for peer in hearers:
            if peer != forwarder and peer.to_bytes() != message.from_id:
                self._push(peer, frame)

    async def send_recent_messages(self, peer_id: ID, topic: str) -> None:
        """Queue what was published in the last heartbeats, for a peer who has just come."""
        for message in self._recent.list_messages():
            if message.from_id != peer_id.to_bytes():
                self._push(peer_id, encode_rpc(rpc_pb2.RPC(publish=[message])))

    def send_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, priority: bool = False) -> None:
        """Queue an RPC, with what could not be queued for that peer before."""
        assert self.pubsub is not None
        queue = self.pubsub.peer_queues.get(peer_id)
        if queue is None:
            return
        self._piggyback_control_retry(peer_id, rpc)
        if not queue.push(rpc, priority):
            self._handle_dropped_rpc(peer_id, rpc, "queue_full")

    async def emit_control_message(self, control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        """Queue a control message, before all others."""
        self.send_rpc(to_peer, rpc_pb2.RPC(control=control_msg), priority=True)

    async def handle_rpc(self, rpc: rpc_pb2.RPC, sender_peer_id: ID) -> None:
        """Answer the control messages of one RPC, no more of each sort than an honest one has."""
        control = rpc.control
        for ihave in control.ihave[:CONTROL_ENTRIES_MAX]:
            if ihave.topicID == self._topic:
                await self.handle_ihave(ihave, sender_peer_id)
        for iwant in control.iwant[:CONTROL_ENTRIES_MAX]:
            await self.handle_iwant(iwant, sender_peer_id)
        for graft in control.graft[:CONTROL_ENTRIES_MAX]:
            if graft.topicID == self._topic:
                await self.handle_graft(graft, sender_peer_id)
        for prune in control.prune[:CONTROL_ENTRIES_MAX]:
            if prune.topicID == self._topic:
                # Nobody is dialled because a peer names him.
                prune.ClearField("peers")
                prune.backoff = min(prune.backoff, BACK_OFF_MAX_S)
                await self.handle_prune(prune, sender_peer_id)

    async def handle_ihave(self, ihave_msg: rpc_pb2.ControlIHave, sender_peer_id: ID) -> None:
        """Ask for the messages that are new here."""
        assert self.pubsub is not None
        if not self._check_ihave_rate_limit(sender_peer_id, ihave_msg.topicID):
            return
        wanted = [
            message_id
            for message_id in ihave_msg.messageIDs[:MESSAGE_IDS_MAX]
            if len(message_id) == MESSAGE_ID_BYTES and not self.pubsub.seen_messages.has(message_id)
        ]
        if wanted:
            await self.emit_iwant(wanted, sender_peer_id)

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        """Send the messages that a peer asks for, one RPC at most."""
        if not self._check_iwant_rate_limit(sender_peer_id):
            return
        answer = rpc_pb2.RPC()
        size = 0
        for message_id in iwant_msg.messageIDs[:MESSAGE_IDS_MAX]:
            message = self.mcache.get(message_id)
            if message is None or size + message.ByteSize() + 8 > RPC_BYTES_MAX:
                continue
            if self._recent.answer(message_id, sender_peer_id) is not None:
                answer.publish.append(message)
                size += message.ByteSize() + 8
        if answer.publish:
            self.send_rpc(sender_peer_id, answer)

    async def heartbeat(self) -> None:
        """Repair the mesh, tell what is new to some outside of it, forget what is old."""
        # Not in step with everybody who was started by the same script.
        await trio.sleep(self.heartbeat_initial_delay * (1 + _JITTER.random()))
        while True:
            grafts, prunes = self.mesh_heartbeat()
            await self._emit_control_msgs(grafts, prunes, self.gossip_heartbeat())
            self.mcache.shift()
            self._periodic_security_cleanup()
            self._forget_back_offs()
            await trio.sleep(self.heartbeat_interval)

    async def _emit_control_msgs(
        self,
        peers_to_graft: dict[ID, list[str]],
        peers_to_prune: dict[ID, list[str]],
        peers_to_gossip: dict[ID, dict[str, list[bytes]]],
    ) -> None:
        # The library's own builds up one list over all peers and sends each what was for others.
        for peer in {**peers_to_graft, **peers_to_prune, **peers_to_gossip}:
            control = rpc_pb2.ControlMessage()
            for topic in peers_to_graft.get(peer, ()):
                control.graft.add(topicID=topic)
            for topic in peers_to_prune.get(peer, ()):
                control.prune.add(topicID=topic, backoff=PRUNE_BACK_OFF_S)
            for topic, message_ids in peers_to_gossip.get(peer, {}).items():
                control.ihave.add(topicID=topic, messageIDs=message_ids)
            await self.emit_control_message(control, peer)

    def _forget_back_offs(self) -> None:
        # The library forgets one only when that peer is looked at again, and most who come once
        # never are.
        now_s = time.monotonic()
        for topic, peers in self.back_off.items():
            self.back_off[topic] = {peer: end for peer, end in peers.items() if end > now_s}

    def _push(self, peer: ID, frame: bytes) -> None:
        assert self.pubsub is not None
        queue = self.pubsub.peer_queues.get(peer)
        if isinstance(queue, FrameQueue):
            queue.push_frame(frame)
