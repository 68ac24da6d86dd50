"""minesync key: the account keys of a data directory. No node has to run."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from node.commands.common import COMMON, Common, emit, parse_id, show_line, show_pairs, show_table
from node.exits import CommandError
from node.keystore import (
    KeyFile,
    create_key,
    export_key,
    import_key,
    list_keys,
    read_key,
    unlock_key,
)
from node.passwords import read_password

app = App(name="key", help="Account keys: new, list, show, import, export.")

PasswordFile = Annotated[
    Path | None, Parameter(help="Private file whose first line is the password.")
]
Unencrypted = Annotated[
    bool, Parameter(help="Keep the key in the open: devnets only.", negative="")
]
WhichKey = Annotated[str, Parameter(help="Its address, or the first digits of it.")]


@app.command(name="new")
def new_key(
    *,
    description: Annotated[str, Parameter(help="A note for yourself.")] = "",
    password_file: PasswordFile = None,
    unencrypted: Unencrypted = False,
    common: Common = COMMON,
) -> None:
    """Make a new account key."""
    password = None
    if not unencrypted:
        password = read_password(password_file, "Password for the new key", is_new=True)
    made = create_key(
        common.paths.keys, password, description=description, allow_unencrypted=unencrypted
    )
    _emit_key(common, made)


@app.command(name="list")
def list_all(*, common: Common = COMMON) -> None:
    """List the account keys."""
    keys = list_keys(common.paths.keys)

    def render(console: Console) -> None:
        if not keys:
            console.print("no keys")
            return
        rows = [[key.address.hex(), key.is_encrypted] for key in keys]
        show_table(console, ("address", "encrypted"), rows)

    emit(common, {"items": [_describe(key) for key in keys]}, render)


@app.command(name="show")
def show_key(key: WhichKey, *, common: Common = COMMON) -> None:
    """Show what a key file tells without its password."""
    _emit_key(common, _find_key(common, key))


@app.command(name="import")
def import_one(
    file: Annotated[Path, Parameter(help="Key file, as `key export` writes it.")],
    *,
    password_file: PasswordFile = None,
    unencrypted: Unencrypted = False,
    common: Common = COMMON,
) -> None:
    """Take in a key file from elsewhere; its password is asked for, to be sure that it opens."""
    password = None
    if read_key(file).is_encrypted:
        password = read_password(password_file, "Password of the key")
    _emit_key(common, import_key(file, common.paths.keys, password, allow_unencrypted=unencrypted))


@app.command(name="export")
def export_one(
    key: WhichKey,
    target: Annotated[Path, Parameter(help="File to write; it must not exist.")],
    *,
    password_file: PasswordFile = None,
    common: Common = COMMON,
) -> None:
    """Copy a key file, encrypted as it is, once its password has opened it."""
    found = _find_key(common, key)
    password = read_password(password_file, "Password of the key") if found.is_encrypted else None
    unlock_key(found.path, password)
    export_key(found.path, target)
    data = {**_describe(found), "path": str(target)}
    emit(common, data, lambda console: show_line(console, f"written: {target}"))


def _find_key(common: Common, text: str) -> KeyFile:
    digits = parse_id(text)
    found = [key for key in list_keys(common.paths.keys) if key.address.hex().startswith(digits)]
    if not found:
        raise CommandError("unknown_key", digits, f"a key in {common.paths.keys}")
    if len(found) > 1:
        raise CommandError("ambiguous_id", f"{digits}, which begins {len(found)}", "more digits")
    return found[0]


def _describe(key: KeyFile) -> dict[str, Any]:
    return {
        "address": key.address.hex(),
        "uuid": key.uuid,
        "description": key.description,
        "encrypted": key.is_encrypted,
        "path": str(key.path),
    }


def _emit_key(common: Common, key: KeyFile) -> None:
    data = _describe(key)
    emit(common, data, lambda console: show_pairs(console, data.items()))
