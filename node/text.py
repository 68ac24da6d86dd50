"""How text of strangers is shown: on one line, without commands to a terminal, cut.

A peer chooses its agent string, a publisher his titles. Shown as they are, a newline forges a log
line, an escape sequence rewrites the screen, a bidi mark swaps what stands left and right.
"""

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


def _escape(char: str) -> str:
    if char == "\n":
        return "\\n"
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
