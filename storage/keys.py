"""Order-preserving keys: the order of encoded tuples is the order of the tuples.

| part  | bytes                                                             |
|-------|-------------------------------------------------------------------|
| bytes | 01, the bytes with 00 written as 00 FF, then 00 00                |
| text  | 02, its UTF-8 written the same way, then 00 00                    |
| int   | 03, the value as 8 bytes, big-endian (0 .. 2^64 - 1)              |

Every part ends where it says, so no part can forge another prefix: "a:b" never lies under "a".
Parts of one place in one key family have one type; between types the tag decides.
"""

from functools import lru_cache

from protocol.errors import InvariantBroken
from storage.errors import Corrupt

Part = int | bytes | str

_BYTES, _TEXT, _INT = 1, 2, 3
_END = b"\x00\x00"
INT_MAX = (1 << 64) - 1


def encode_key(*parts: Part) -> bytes:
    """Return the key of a tuple; a shorter tuple's key is a prefix of its extensions' keys.

    Raises:
        InvariantBroken: an integer outside 0 .. 2^64 - 1.
    """
    pieces: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            pieces += (b"\x01", part.replace(b"\x00", b"\x00\xff"), _END)
        elif isinstance(part, str):
            pieces.append(_encode_text(part))
        else:
            pieces.append(_encode_int(part))
    return b"".join(pieces)


@lru_cache(maxsize=256)
def _encode_text(part: str) -> bytes:
    """Texts are the names of indexes and slugs: few, and asked for all the time."""
    return b"\x02" + part.encode("utf-8").replace(b"\x00", b"\x00\xff") + _END


def _encode_int(part: int) -> bytes:
    if not 0 <= part <= INT_MAX:
        raise InvariantBroken(f"{part} cannot be a part of a key")
    return b"\x03" + part.to_bytes(8, "big")


def decode_key(key: bytes) -> tuple[Part, ...]:
    """Return the tuple of a key.

    Raises:
        Corrupt: `key_malformed`.
    """
    parts: list[Part] = []
    position = 0
    while position < len(key):
        tag = key[position]
        position += 1
        if tag == _INT:
            end = position + 8
            if end > len(key):
                raise Corrupt("key_malformed", "a cut integer", "8 bytes")
            parts.append(int.from_bytes(key[position:end], "big"))
            position = end
        elif tag in (_BYTES, _TEXT):
            raw, position = _read_escaped(key, position)
            parts.append(raw if tag == _BYTES else _decode_text(raw))
        else:
            raise Corrupt("key_malformed", f"tag {tag}", "1, 2 or 3")
    return tuple(parts)


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the least key above all keys that begin with `prefix`; None when there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _read_escaped(key: bytes, position: int) -> tuple[bytes, int]:
    start = position
    while True:
        zero = key.find(b"\x00", position)
        if zero < 0 or zero + 1 >= len(key):
            raise Corrupt("key_malformed", "a part without an end", "00 00")
        follower = key[zero + 1]
        if follower == 0:
            return key[start:zero].replace(b"\x00\xff", b"\x00"), zero + 2
        if follower != 0xFF:
            raise Corrupt("key_malformed", f"00 {follower:02x}", "00 00 or 00 FF")
        position = zero + 2


def _decode_text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Corrupt("key_malformed", f"byte {error.start}", "UTF-8") from error
