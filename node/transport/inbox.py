"""The two queues between a transport and its reader: gossip, bounded in bytes, and peer events.

Both are filled synchronously, from wherever the network calls, and emptied through a channel by a
task of the transport. The channel itself holds nothing, so the bounds here are the only ones.
"""

from collections import deque
from typing import Generic, TypeVar

import trio

from node.transport.base import GossipMessage, PeerEvent

T = TypeVar("T")


class _Outlet(Generic[T]):
    """A queue in front of a channel that holds nothing."""

    def __init__(self) -> None:
        self._queue: deque[T] = deque()
        self._filled = trio.Event()
        send_channel, receive_channel = trio.open_memory_channel[T](0)
        self._send_channel = send_channel
        self.receive_channel: trio.MemoryReceiveChannel[T] = receive_channel

    async def run(self) -> None:
        """Hand items to the reader until cancelled or until he closes his end."""
        async with self._send_channel:
            while True:
                while not self._queue:
                    self._filled = trio.Event()
                    await self._filled.wait()
                item = self._queue[0]
                try:
                    await self._send_channel.send(item)
                except trio.BrokenResourceError:
                    return
                self._on_delivered(item)

    def _append(self, item: T) -> None:
        self._queue.append(item)
        self._filled.set()

    def _on_delivered(self, item: T) -> None:
        raise NotImplementedError


class GossipInbox(_Outlet[GossipMessage]):
    """Messages for a reader who may be slow. Full: the newest is dropped and counted.

    The newest, because the reader works from the oldest on, and what is dropped is found again by
    reconciliation, which begins with what is missing at the end.
    """

    def __init__(self, *, messages_max: int, bytes_max: int) -> None:
        super().__init__()
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self.dropped = 0

    def put(self, message: GossipMessage) -> None:
        """Queue `message`, or drop and count it."""
        size = len(message.data)
        if len(self._queue) >= self._messages_max or self._bytes + size > self._bytes_max:
            self.dropped += 1
            return
        self._bytes += size
        self._append(message)

    def _on_delivered(self, item: GossipMessage) -> None:
        self._queue.popleft()
        self._bytes -= len(item.data)


class PeerEventInbox(_Outlet[PeerEvent]):
    """Comings and goings, without loss of state and without growth.

    A peer that leaves before its coming was read takes that event along: the reader never hears of
    the visit. So at most two events of a peer wait, and only of peers that the reader takes for
    connected or that are.
    """

    def put(self, event: PeerEvent) -> None:
        """Queue `event`. Of one peer, comings and goings must alternate."""
        if not event.connected:
            # The one in front may be on its way to the reader already.
            waiting = list(self._queue)[1:]
            coming = PeerEvent(event.peer, connected=True)
            if coming in waiting:
                del self._queue[1 + waiting.index(coming)]
                return
        self._append(event)

    def _on_delivered(self, item: PeerEvent) -> None:
        self._queue.popleft()
