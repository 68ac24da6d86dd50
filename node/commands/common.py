"""What every command shares: its global flags, and how it speaks to people and to programs."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.cells import chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.exits import CommandError, UsageError
from node.paths import DataPaths, find_data_paths
from node.text import clean_text
from protocol.params import AMOUNT_MAX, NANO_PER_COIN

ID_HEX_DIGITS = 64
ID_PREFIX_DIGITS_MIN = 4
SHOWN_ID_DIGITS = 12
NAME_COLUMNS_MAX = 14
PLAIN_WIDTH = 80
"""Columns of output that goes to no terminal."""
assert NAME_COLUMNS_MAX + 2 + ID_HEX_DIGITS <= PLAIN_WIDTH
WHOLE = frozenset({"data directory", "RPC token", "listens on", "path"})
_PAGES_MAX = 20
_PAGE_ITEMS = 500
_COINS = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """The flags that every command takes."""

    data_dir: Annotated[
        Path | None, Parameter(help="Directory of this node, else MINESYNC_DATA_DIR.")
    ] = None
    json: Annotated[bool, Parameter(help="Print JSON for programs.", negative="")] = False

    @property
    def paths(self) -> DataPaths:
        """The files of the node that is meant."""
        return find_data_paths(self.data_dir)


COMMON = Common()
"""No flag given."""


def emit(common: Common, data: Any, render: Callable[[Console], None]) -> None:
    """Print `data` as one JSON document, or what `render` writes of it for a person."""
    if common.json:
        # ASCII only: an escape that JSON has for a bidi mark harms no terminal.
        sys.stdout.write(json.dumps(data) + "\n")
    else:
        render(make_console())


def make_console() -> Console:
    """Return the console for stdout. Text is never markup: much of it is a stranger's."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def show_pairs(console: Console, pairs: Iterable[tuple[str, Any]]) -> None:
    """Write names and values in two columns; one that is empty is left out.

    An address of 64 digits is never broken: names that would take its room stand out instead. Nor
    is what `WHOLE` names: it is meant to be copied, and it is this machine's own text.
    """
    rows = [(name, show_cell(value).plain) for name, value in pairs if value not in (None, "")]
    padding = min(max((len(name) for name, _ in rows), default=0), NAME_COLUMNS_MAX)
    for name, text in rows:
        head = f"{name:<{padding}}  "
        if name in WHOLE:
            show_line(console, Text.assemble((head, "bold"), text))
            continue
        first, *rest = chop_cells(text, console.width - len(head)) or [""]
        console.print(Text.assemble((head, "bold"), first), no_wrap=True, crop=False)
        for part in chop_cells("".join(rest), console.width - padding - 2):
            console.print(Text(" " * (padding + 2) + part), no_wrap=True, crop=False)


def show_line(console: Console, text: str | Text) -> None:
    """Write a line whole, however long: what it names is meant to be copied."""
    console.print(text, no_wrap=True, crop=False, overflow="ignore")


def show_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; numbers are set to the right."""
    filled = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        is_number = all(isinstance(row[place], int) or row[place] is None for row in filled)
        table.add_column(column, justify="right" if is_number and filled else "left")
    for row in filled:
        table.add_row(*(show_cell(cell) for cell in row))
    console.print(table)


def show_cell(value: Any) -> Text:
    """Return a value as a cell: escaped, and a dash for what is not known."""
    if value is None:
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(clean_text(str(value), 2_048))


def shorten_id(value: Any) -> str | None:
    """Return the beginning of an id, enough for `show` to find it again."""
    return None if value is None else clean_text(str(value))[:SHOWN_ID_DIGITS]


def show_coins(nano: Any) -> str | None:
    """Return an amount of nano-units, as text or integer, in coins."""
    if nano is None or not str(nano).lstrip("-").isdigit():
        return None if nano is None else clean_text(str(nano))
    whole, rest = divmod(abs(int(nano)), NANO_PER_COIN)
    sign = "-" if int(nano) < 0 else ""
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{sign}{whole:,}{fraction}"


def show_values(values: Any) -> str | None:
    """Return the numbers of a parameter of the network, beside each other."""
    return " ".join(clean_text(str(one)) for one in values) if isinstance(values, list) else None


def parse_coins(text: str) -> int:
    """Return the nano-units of an amount in coins such as 12.5.

    Raises:
        UsageError: `bad_amount`.
    """
    found = _COINS.fullmatch(text.strip())
    if not found:
        raise UsageError("bad_amount", repr(text[:40]), "coins with up to 9 decimals, such as 12.5")
    nano = int(found[1]) * NANO_PER_COIN + int((found[2] or "").ljust(9, "0"))
    if nano > AMOUNT_MAX:
        raise UsageError("bad_amount", text, f"at most {AMOUNT_MAX // NANO_PER_COIN}")
    return nano


def parse_id(text: str) -> str:
    """Return an id, or the beginning of one, in lower case and without 0x.

    Raises:
        UsageError: `bad_id`.
    """
    digits = text.strip().lower().removeprefix("0x")
    wanted = f"{ID_PREFIX_DIGITS_MIN} to {ID_HEX_DIGITS} hex digits"
    if not re.fullmatch(r"[0-9a-f]*", digits):
        raise UsageError("bad_id", repr(text[:80]), wanted)
    if not ID_PREFIX_DIGITS_MIN <= len(digits) <= ID_HEX_DIGITS:
        raise UsageError("bad_id", f"{len(digits)} hex digits", wanted)
    return digits


def read_file(path: Path, bytes_max: int) -> bytes:
    """Return the content of a file that a command is given.

    Raises:
        UsageError: `input_unreadable` or `input_too_long`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise UsageError("input_unreadable", f"{path}: {error.strerror}", "a file") from error
    if len(data) > bytes_max:
        raise UsageError("input_too_long", path, f"at most {bytes_max} bytes")
    return data


def find_id(client: Any, text: str, method: str, field: str) -> str:
    """Return the full id that `text` is or begins, as the node's list `method` shows it.

    Raises:
        UsageError: `bad_id`.
        CommandError: `unknown_id`, `ambiguous_id`.
        RpcError: as `RpcClient.call`.
    """
    digits = parse_id(text)
    if len(digits) == ID_HEX_DIGITS:
        return digits
    found: set[str] = set()
    for item in iterate_pages(client, method, _PAGES_MAX * _PAGE_ITEMS):
        if str(item.get(field, "")).startswith(digits):
            found.add(str(item[field]))
    if not found:
        raise CommandError("unknown_id", digits, "the beginning of an id that this node knows")
    if len(found) > 1:
        raise CommandError(
            "ambiguous_id", f"{digits}, which begins {len(found)} ids", "more digits"
        )
    return found.pop()


def iterate_pages(
    client: Any, method: str, items_max: int, **params: Any
) -> Iterable[dict[str, Any]]:
    """Yield up to `items_max` items of a list that the node serves by pages."""
    cursor = None
    left = items_max
    while left > 0:
        page = client.call(method, limit=min(left, _PAGE_ITEMS), cursor=cursor, **params)
        items = [item for item in page.get("items", []) if isinstance(item, dict)]
        yield from items[:left]
        left -= len(items)
        cursor = page.get("next_cursor")
        if not items or cursor is None:
            return
