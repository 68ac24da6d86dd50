"""A node's database damaged on the disk, and what its operator does about it: `minesync db repair`.

Only a node that is a process has files. Flipped are bytes of the write-ahead log or of the list of
tables: both are read whole at every start, so what is wrong with them is found then.
"""

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trio

from devnet.errors import DevnetError
from devnet.layout import Devnet
from devnet.processes import build_environment
from storage.folder import translate_os_error

FLIPPED = 8
"""Bytes; a single one may lie where nothing is stored."""
READ_WHOLE = ("*.log", "MANIFEST-*")
REPAIR_S = 60.0
_ROCKS = "rocks"


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to a database.

    Attributes:
        file: its name.
        places: of the bytes that were flipped, ascending.
    """

    file: str
    places: tuple[int, ...]


def list_files(database: Path) -> list[Path]:
    """Return the files of a database that can be damaged.

    Raises:
        DevnetError: `no_database`.
    """
    found = [file for pattern in READ_WHOLE for file in sorted((database / _ROCKS).glob(pattern))]
    files = [file for file in found if file.stat().st_size]
    if not files:
        raise DevnetError("no_database", database, "a node that has run, on a disk")
    return files


def flip_bytes(database: Path, draws: random.Random) -> Damage:
    """Flip bytes of one file of a database that nobody has open.

    Args:
        database: its folder.
        draws: choose the file, the places and the bits.

    Raises:
        DevnetError: `no_database`.
        StorageError: the disk does not let us.
    """
    file = draws.choice(list_files(database))
    try:
        data = bytearray(file.read_bytes())
        places = sorted(draws.sample(range(len(data)), min(FLIPPED, len(data))))
        for place in places:
            data[place] ^= draws.randint(1, 255)
        file.write_bytes(data)
    except OSError as error:
        raise translate_os_error(error) from error
    return Damage(file.name, tuple(places))


async def repair(devnet: Devnet, name: str) -> str:
    """Let a node that is down repair its database, in its own release; return what was wrong.

    Raises:
        DevnetError: `unknown_peer`; `not_repaired`, also if nothing was wrong.
    """
    peer = devnet.peer(name)
    command = [peer.exe or sys.executable, "-P", "-m", "node", "db", "repair", "--json"]
    command += ["--data-dir", str(devnet.data_paths(name).root)]
    with trio.move_on_after(REPAIR_S):
        done = await trio.run_process(
            command,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env=build_environment(peer.env),
        )
        text = done.stdout.decode("utf-8", "replace").strip()
        try:
            reply = json.loads(text.split("\n")[-1])
            if reply["repaired"]:
                return str(reply["damage"])
        except (ValueError, TypeError, KeyError):
            pass
        raise DevnetError("not_repaired", f"{name}: {text[-300:]}", "a database repaired")
    raise DevnetError("not_repaired", f"{name}: no end", f"in {REPAIR_S:g} s")
