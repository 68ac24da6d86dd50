"""Lists in pages: what the open set adds or changes first, then what the last seal left.

A cursor names a place, not a number, so that pages neither repeat nor skip what lies still. It is
opaque to the caller: `o` and the key of the last row of the open part, or `s` and the cursor of the
sealed part.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from node.rpc.method import bad_param
from node.state_manager import StateManager
from protocol.tables import Table
from storage.queries import Page

T = TypeVar("T")

ReadSealed = Callable[[int, bytes | None], Page[T]]


def show_as_of(state: StateManager) -> dict[str, Any]:
    """Return which sealed state a reply stands on."""
    return {"epoch": state.epoch, "state_root": state.state_root.hex()}


def build_page(
    state: StateManager,
    *,
    limit: int,
    cursor: str,
    open_rows: Iterable[tuple[bytes, T]],
    read_sealed: ReadSealed[T],
    show: Callable[[T], dict[str, Any]],
    refresh: Callable[[T], T | None] = lambda row: row,
) -> dict[str, Any]:
    """Return one page of a list.

    Args:
        state: whose rows these are.
        limit: items at most.
        cursor: of the page before, empty for the first.
        open_rows: rows that the sealed list does not have, each with a key, in order.
        read_sealed: reads a page of the sealed part.
        show: makes an item of a row.
        refresh: returns a sealed row as it is now, None if it no longer belongs to the list.

    Raises:
        RpcFault: `invalid_params` for a cursor that is none of ours.
        Rejected: `bad_cursor`, from the store.
    """
    part, place = _read_cursor(cursor)
    items: list[dict[str, Any]] = []
    if part == "o":
        rows = list(open_rows)
        keys = [key for key, _ in rows]
        start = keys.index(place) + 1 if place in keys else 0
        items = [show(row) for _, row in rows[start : start + limit]]
        if start + limit < len(rows):
            return _wrap(state, items, "o" + keys[start + limit - 1].hex())
        place = None
    if len(items) == limit:
        return _wrap(state, items, "s")
    page = read_sealed(limit - len(items), place)
    fresh = (refresh(row) for row in page.items)
    items += [show(row) for row in fresh if row is not None]
    return _wrap(state, items, None if page.cursor is None else "s" + page.cursor.hex())


def build_table_page(
    state: StateManager,
    table: Table[T],
    *,
    limit: int,
    cursor: str,
    get_key: Callable[[T], bytes],
    compute_order: Callable[[T], Any],
    is_wanted: Callable[[T], bool],
    read_sealed: ReadSealed[T],
    show: Callable[[T, T | None], dict[str, Any]],
) -> dict[str, Any]:
    """Return one page of the rows of a table as the next seal would leave them.

    A row that the last seal knows keeps its place among the sealed ones, whatever the open set
    does to it meanwhile: so a reader of all pages misses none that belongs to the list throughout.

    Args:
        state: whose rows these are.
        table: of the rows.
        limit: items at most.
        cursor: of the page before, empty for the first.
        get_key: returns a row's key in the table.
        compute_order: sorts the rows that no seal knows.
        is_wanted: tells whether a row belongs to the list.
        read_sealed: reads a page of sealed rows; it may hold some that are not wanted.
        show: makes an item of a row and of the same row at the last seal.
    """
    changed = state.open.rows(table)
    view = state.store.view

    def is_listed(key: bytes) -> bool:
        sealed = view.get(table, key)
        return sealed is not None and is_wanted(sealed)

    def refresh(row: T) -> T | None:
        now = changed.get(get_key(row), row)
        return now if is_wanted(row) and is_wanted(now) else None

    fresh = [row for key, row in changed.items() if is_wanted(row) and not is_listed(key)]
    return build_page(
        state,
        limit=limit,
        cursor=cursor,
        open_rows=[(get_key(row), row) for row in sorted(fresh, key=compute_order)],
        read_sealed=read_sealed,
        show=lambda row: show(row, view.get(table, get_key(row))),
        refresh=refresh,
    )


def read_cursor(cursor: str) -> bytes | None:
    """Return the place that a cursor of a list without an open part names, None for its begin.

    Raises:
        RpcFault: `invalid_params`.
    """
    try:
        return bytes.fromhex(cursor) or None
    except ValueError as error:
        raise bad_param("cursor", repr(cursor[:40]), "next_cursor of the page before") from error


def _wrap(
    state: StateManager, items: list[dict[str, Any]], next_cursor: str | None
) -> dict[str, Any]:
    return {"items": items, "next_cursor": next_cursor, "as_of": show_as_of(state)}


def _read_cursor(cursor: str) -> tuple[str, bytes | None]:
    if not cursor:
        return "o", None
    part, digits = cursor[0], cursor[1:]
    try:
        place = bytes.fromhex(digits)
    except ValueError as error:
        raise bad_param("cursor", repr(cursor[:40]), "next_cursor of the page before") from error
    if part not in ("o", "s") or place.hex() != digits:
        raise bad_param("cursor", repr(cursor[:40]), "next_cursor of the page before")
    return part, place or None
