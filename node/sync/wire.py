"""Messages over one stream: framed, bounded, each wait under a time-out."""

from typing import Any, TypeVar

import trio

from node.transport.base import PeerName, Stream, TransportError
from protocol.errors import PeerFault
from protocol.framing import FrameReader, frame
from protocol.messages import MESSAGE_BYTES_MAX, Bye, decode_stream_message, encode_message

T = TypeVar("T")
READ_BYTES = 65_536
SEND_TIMEOUT_S = 10.0


class PeerLeft(Exception):
    """The other side ended the stream, or the link did; nobody is to blame."""


class MessageStream:
    """One stream that carries messages, for one task at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reader = FrameReader(MESSAGE_BYTES_MAX)
        self._frames: list[bytes] = []

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
                await self._stream.send_all(frame(encode_message(message)))
        except (TransportError, trio.TooSlowError) as error:
            raise PeerLeft(str(error)) from error

    async def receive(self, timeout_s: float) -> Any:
        """Return the next message.

        Raises:
            PeerLeft: the stream ended or nothing came in time.
            PeerFault: the bytes are no message.
        """
        try:
            with trio.fail_after(timeout_s):
                while not self._frames:
                    data = await self._stream.receive_some(READ_BYTES)
                    if not data:
                        raise PeerLeft("end of stream")
                    self._frames.extend(self._reader.feed(data))
        except (TransportError, trio.TooSlowError) as error:
            raise PeerLeft(str(error)) from error
        return decode_stream_message(self._frames.pop(0))

    async def ask(self, request: object, reply: type[T], timeout_s: float) -> T:
        """Send a request and return its reply.

        Raises:
            PeerLeft: the stream ended, with the peer's reason if it gave one.
            PeerFault: the reply is another message.
        """
        await self.send(request)
        answer = await self.receive(timeout_s)
        if isinstance(answer, Bye):
            raise PeerLeft(f"{answer.code} {answer.reason}")
        if not isinstance(answer, reply):
            raise PeerFault("wrong_reply", type(answer).__name__, reply.__name__)
        return answer

    async def say_bye(self, code: str, reason: str) -> None:
        """Tell the peer why this ends; best effort."""
        try:
            await self.send(Bye(code[:64], _cut(reason)))
        except PeerLeft:
            return

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def reset(self) -> None:
        """Tear the stream down."""
        await self._stream.reset()


def _cut(text: str) -> str:
    """Return a reason that fits its field: printable ASCII, at most 200 characters."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:200]
