"""Messages over one stream: framed, bounded, each wait under a time-out."""

from collections import deque
from typing import Any, TypeVar

import trio

from node.buggify import buggify
from node.transport.base import PeerName, Stream, TransportError
from protocol.errors import PeerFault
from protocol.framing import FrameReader, frame
from protocol.messages import (
    ITEMS_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Bye,
    decode_stream_message,
    encode_message,
)
from protocol.reconcile import FRAME_BYTES_MAX

T = TypeVar("T")
READ_BYTES = 65_536
SEND_TIMEOUT_S = 10.0
FRAME_TIMEOUT_S = 15.0
"""A message that has begun must end within this time, however patient the reader is."""
REQUEST_BYTES_MAX = ITEMS_BYTES_MAX + (64 << 10)
"""What a peer may ask with; replies are longer. Half a message is held for each open stream."""


class PeerLeft(Exception):
    """The other side ended the stream, or the link did; nobody is to blame."""


class MessageStream:
    """One stream that carries messages, for one task at a time.

    Args:
        stream: opened; whoever gives it closes it through this.
        bytes_max: of one message received.
    """

    def __init__(self, stream: Stream, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._stream = stream
        self._reader = FrameReader(bytes_max)
        self._frames: deque[bytes] = deque()

    @property
    def peer(self) -> PeerName:
        """Who is at the other end."""
        return self._stream.peer

    async def send(self, message: object) -> None:
        """Send one message.

        Raises:
            PeerLeft: the stream ended, or the peer reads nothing for too long.
        """
        try:
            with trio.fail_after(SEND_TIMEOUT_S):
                data = frame(encode_message(message))
                if buggify("frame_split"):
                    await self._stream.send_all(data[:1])
                    data = data[1:]
                await self._stream.send_all(data)
        except (TransportError, trio.TooSlowError) as error:
            raise PeerLeft(str(error)) from error

    async def receive(self, timeout_s: float) -> Any:
        """Return the next message.

        Raises:
            PeerLeft: the stream ended or nothing came in time.
            PeerFault: the bytes are no message.
        """
        if buggify("reply_late"):
            raise PeerLeft("no reply in time")
        try:
            with trio.fail_after(timeout_s) as patience:
                while not self._frames:
                    data = await self._stream.receive_some(READ_BYTES)
                    if not data:
                        raise PeerLeft("end of stream")
                    self._frames.extend(self._reader.feed(data))
                    begun_by_s = trio.current_time() + FRAME_TIMEOUT_S
                    patience.deadline = min(patience.deadline, begun_by_s)
        except (TransportError, trio.TooSlowError) as error:
            raise PeerLeft(str(error)) from error
        return decode_stream_message(self._frames.popleft())

    async def ask(self, request: object, reply: type[T], timeout_s: float) -> T:
        """Send a request and return its reply.

        Raises:
            PeerLeft: the stream ended, with the peer's reason if it gave one.
            PeerFault: the reply is another message.
        """
        answer = await self.ask_any(request, timeout_s)
        if not isinstance(answer, reply):
            raise PeerFault("wrong_reply", type(answer).__name__, reply.__name__)
        return answer

    async def ask_any(self, request: object, timeout_s: float) -> Any:
        """Send a request and return its reply, whatever message that is.

        Raises:
            PeerLeft: the stream ended, with the peer's reason if it gave one.
            PeerFault: the bytes are no message.
        """
        await self.send(request)
        answer = await self.receive(timeout_s)
        if isinstance(answer, Bye):
            raise PeerLeft(f"{answer.code} {answer.reason}")
        return answer

    async def say_bye(self, code: str, reason: str) -> None:
        """Tell the peer why this ends; best effort."""
        try:
            await self.send(Bye(_cut(code, 64), _cut(reason, 200)))
        except PeerLeft:
            return

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def reset(self) -> None:
        """Tear the stream down."""
        await self._stream.reset()


def _cut(text: str, most: int) -> str:
    """Return a text that fits its field: printable ASCII of at most `most` characters."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:most]


assert FRAME_BYTES_MAX < REQUEST_BYTES_MAX < MESSAGE_BYTES_MAX, "every request of ours fits"
