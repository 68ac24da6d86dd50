"""How text of strangers is shown: on one line, without commands to a terminal, cut.

A peer chooses its agent string, a publisher his titles. Shown as they are, a newline forges a log
line, an escape sequence rewrites the screen, a bidi mark swaps what stands left and right.
"""

import difflib
from collections.abc import Iterable

SHOWN_CHARACTERS_MAX = 256


def clean_text(text: str, characters_max: int = SHOWN_CHARACTERS_MAX) -> str:
    """Return `text` with everything that is not plainly printable escaped, and cut.

    Escaped are controls, bidi and zero-width marks, line separators, surrogates, private use: all
    that `str.isprintable` refuses.
    """
    cut = text if len(text) <= characters_max else text[: characters_max - 1] + "…"
    if cut.isprintable():
        return cut
    escaped = "".join(char if char.isprintable() else _escape(char) for char in cut)
    return escaped if len(escaped) <= characters_max else escaped[: characters_max - 1] + "…"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` with the known name that a mistyped one is most like, if any."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _escape(char: str) -> str:
    if char == "\n":
        return "\\n"
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
