"""The byte form of every value: one value, one encoding, nothing else accepted.

A deterministic subset of CBOR (RFC 8949): arrays, unsigned integers, byte strings, text, true,
false, null. No maps, tags, floats, negative numbers or indefinite lengths, so there is nothing to
sort and nothing to collide. Decoding scans the bytes once against an allow-list before the library
builds anything: what passes decodes to one value, and that value encodes to those bytes.
"""

import unicodedata
from typing import Any

import cbor2

from protocol.errors import Rejected

DEPTH_MAX = 8
ITEMS_MAX = 4_096
TEXT_BYTES_MAX = 4_096
BYTES_MAX = 1 << 20

# Text must mean the same under every Python: later tables assign new characters and so change
# what is normalised. Unicode 3.2 ships frozen with every Python.
_UNICODE = unicodedata.ucd_3_2_0

# Control, format, surrogate, unassigned, private use; what separates lines and paragraphs.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
# A format character since Unicode 4.0.1, a space before.
_ZERO_WIDTH_SPACE = "\u200b"

_LENGTH_FLOORS = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
_LENGTH_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}

_UNSIGNED, _BYTES, _TEXT, _ARRAY, _SIMPLE = 0, 2, 3, 4, 7
_SMALL_MAX = 23
_FALSE, _TRUE, _NULL = 0xF4, 0xF5, 0xF6


def encode(value: object) -> bytes:
    """Return the one encoding of a value of lists, tuples, ints, bytes, text, bools and None."""
    return cbor2.dumps(value)


def decode(data: bytes, *, bytes_max: int = BYTES_MAX) -> Any:
    """Return the value that `data` encodes.

    Raises:
        Rejected: `codec_…`, when the bytes are not the one encoding of a value of the subset.
    """
    if len(data) > bytes_max:
        raise Rejected("codec_too_long", f"{len(data)} bytes", f"at most {bytes_max}")
    scan(data)
    try:
        return cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError) as error:
        raise Rejected("codec_malformed", type(error).__name__, "well-formed CBOR") from error


def scan(data: bytes) -> None:
    """Check in one pass that `data` is exactly one item of the subset, in its shortest form.

    Raises:
        Rejected: `codec_…`.
    """
    size = len(data)
    position = 0
    items = left = 1
    # What is left to read in each array around the innermost one.
    outer: list[int] = []
    while left:
        if position >= size:
            raise Rejected("codec_truncated", f"{size} bytes", "a whole item")
        head = data[position]
        position += 1
        left -= 1
        # Most items are small integers, which end with their head.
        if head > _SMALL_MAX:
            major, argument = head >> 5, head & 31
            if major not in (_UNSIGNED, _BYTES, _TEXT, _ARRAY):
                _check_simple(head)
            elif argument == 24 and position < size and data[position] >= 24:
                # Nearly every length that does not fit into the head.
                argument = data[position]
                position += 1
            elif argument >= 24:
                argument, position = _read_argument(data, argument, position)
            if major in (_BYTES, _TEXT):
                end = position + argument
                if end > size:
                    raise Rejected("codec_truncated", f"{size} bytes", f"{end}")
                if major == _TEXT:
                    _check_text(data[position:end])
                position = end
            elif major == _ARRAY and argument:
                if argument > size - position:
                    raise Rejected("codec_truncated", f"{argument} items announced", "their bytes")
                items += argument
                if items > ITEMS_MAX:
                    raise Rejected("codec_too_many_items", f"{items}", f"at most {ITEMS_MAX}")
                if len(outer) == DEPTH_MAX:
                    raise Rejected("codec_too_deep", f"over {DEPTH_MAX}", f"at most {DEPTH_MAX}")
                outer.append(left)
                left = argument
        while not left and outer:
            left = outer.pop()
    if position != size:
        raise Rejected("codec_trailing_bytes", f"{size - position} after the item", "none")


def _check_simple(head: int) -> None:
    if head not in (_FALSE, _TRUE, _NULL):
        wanted = "true, false or null" if head >> 5 == _SIMPLE else "int, bytes, text or array"
        raise Rejected("codec_forbidden_type", f"byte {head:#04x}", wanted)


def _read_argument(data: bytes, info: int, position: int) -> tuple[int, int]:
    width = _LENGTH_SIZES.get(info)
    if width is None:
        raise Rejected("codec_indefinite", f"length code {info}", "a definite length")
    end = position + width
    if end > len(data):
        raise Rejected("codec_truncated", f"{len(data)} bytes", f"{end}")
    argument = int.from_bytes(data[position:end], "big")
    if argument < _LENGTH_FLOORS[info]:
        raise Rejected("codec_not_minimal", f"{argument} in {width} bytes", "the shortest form")
    return argument, end


def _check_text(raw: bytes) -> None:
    if len(raw) > TEXT_BYTES_MAX:
        raise Rejected("codec_text_too_long", f"{len(raw)} bytes", f"at most {TEXT_BYTES_MAX}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("codec_bad_text", f"byte {error.start}", "UTF-8") from error
    check_text(text)


def check_text(text: str) -> None:
    """Check that a text is normalised and has no control or unassigned character.

    Raises:
        Rejected: `codec_bad_text`.
    """
    if text.isascii():
        if not text.isprintable() and any(
            (ord(c) < 32 and c not in "\n\t") or c == "\x7f" for c in text
        ):
            raise Rejected("codec_bad_text", "a control character", "printable text")
        return
    if _UNICODE.normalize("NFC", text) != text:
        raise Rejected("codec_bad_text", "text not in normal form C", "NFC")
    for character in text:
        hidden = _UNICODE.category(character) in _HIDDEN or character == _ZERO_WIDTH_SPACE
        if hidden and character not in "\n\t":
            raise Rejected(
                "codec_bad_text", f"U+{ord(character):04X}", "a character of Unicode 3.2"
            )
