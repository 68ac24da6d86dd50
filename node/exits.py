"""What the command line ends with: the exit codes, and the one line for each error.

The codes are a contract with scripts and service managers: none is reused.
"""

from enum import IntEnum

from node.addresses import AddressError
from node.high_water import SigningError
from node.lockfile import DataDirError
from node.log_levels import LevelError
from node.network import GenesisError
from node.options import ConfigError
from node.private_files import KeyFileError
from node.text import clean_text
from protocol.errors import BlamedError
from storage.errors import Corrupt, FormatTooNew, Full, InUse, StorageError, WrongNetwork

LINE_CHARACTERS_MAX = 1_000
RPC_REFUSALS = range(1_000, 2_000)
"""The numbers with which a node's RPC refuses by its rules."""
RPC_INVALID_PARAMS = -32_602
"""The number of JSON-RPC for what was typed wrong and only the node could see."""


class UsageError(BlamedError):
    """What was typed after a command makes no sense."""


class CommandError(BlamedError):
    """A command cannot do what was asked; the code decides how it ends."""


class Exit(IntEnum):
    """How a command can end."""

    OK = 0
    FAILED = 1
    """For a reason that the line on stderr names."""
    USAGE = 2
    """A wrong command, flag, address or configuration."""
    WRONG_NETWORK = 3
    """The data directory, the genesis or the node belongs to another network."""
    DATA_DIR_IN_USE = 4
    """Another node runs in this data directory."""
    PORT_IN_USE = 5
    """Another program listens on this port."""
    KEY = 6
    """A key file, its mode or its password."""
    STORAGE_DAMAGED = 7
    """The database is damaged; the log says how."""
    NOT_RUNNING = 8
    """No node runs here, or it does not answer."""
    FORMAT_TOO_NEW = 9
    """The database was written by a later release."""
    DISK_FULL = 10
    """There is no room on the disk."""
    REFUSED = 11
    """The rules of the network refuse what was asked."""
    WORKER = 12
    """A worker does not keep to its protocol."""
    INTERRUPTED = 130
    """Ctrl-C."""


_BY_CODE: dict[str, Exit] = {
    "bad_count": Exit.USAGE,
    "bad_groups": Exit.USAGE,
    "bad_condition": Exit.USAGE,
    "bad_param": Exit.USAGE,
    "bad_pattern": Exit.USAGE,
    "bad_seed": Exit.USAGE,
    "data_dir_in_use": Exit.DATA_DIR_IN_USE,
    "disk_full": Exit.DISK_FULL,
    "genesis_mismatch": Exit.WRONG_NETWORK,
    "not_running": Exit.NOT_RUNNING,
    "port_in_use": Exit.PORT_IN_USE,
    "unknown_param": Exit.USAGE,
    "unknown_peer": Exit.USAGE,
    "no_command": Exit.USAGE,
    "no_publisher": Exit.USAGE,
    "unreachable": Exit.NOT_RUNNING,
    "worker_failed": Exit.WORKER,
    "wrong_network": Exit.WRONG_NETWORK,
}
_BY_CLASS: tuple[tuple[type[BlamedError], Exit], ...] = (
    # The first that fits: a subclass stands before its base.
    (WrongNetwork, Exit.WRONG_NETWORK),
    (InUse, Exit.DATA_DIR_IN_USE),
    (FormatTooNew, Exit.FORMAT_TOO_NEW),
    (Full, Exit.DISK_FULL),
    (Corrupt, Exit.STORAGE_DAMAGED),
    (StorageError, Exit.FAILED),
    (KeyFileError, Exit.KEY),
    (SigningError, Exit.KEY),
    (ConfigError, Exit.USAGE),
    (UsageError, Exit.USAGE),
    (AddressError, Exit.USAGE),
    (LevelError, Exit.USAGE),
    (GenesisError, Exit.USAGE),
    (DataDirError, Exit.FAILED),
)


def find_exit(error: BlamedError) -> Exit:
    """Return how a command ends that met `error`."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    # Here, because it brings an HTTP client: 50 ms that only a failed call should cost.
    from node.rpc.client import RpcError

    number = error.number if isinstance(error, RpcError) else 0
    if number == RPC_INVALID_PARAMS:
        return Exit.USAGE
    return Exit.REFUSED if number in RPC_REFUSALS else Exit.FAILED


def find_hint(error: BlamedError) -> str:
    """Return what to do about an error, empty if only the line itself can tell."""
    if isinstance(error, Corrupt) and error.code != "backup_damaged":
        return "minesync db repair"
    return str(getattr(error, "hint", ""))


def find_blamed(error: BaseException) -> BlamedError | None:
    """Return the error to report: itself, or the only kind of trouble in a group of tasks.

    None means a bug of ours, which deserves its traceback.
    """
    if isinstance(error, BlamedError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [find_blamed(part) for part in error.exceptions]
        if all(part is not None for part in found):
            return found[0]
    return None


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an error is Ctrl-C, alone or in a group that ended because of it."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_interrupt(part) for part in error.exceptions)
    return isinstance(error, KeyboardInterrupt)


def render_line(error: BlamedError) -> str:
    """Return the one line for stderr: code, what was found, what was wanted."""
    return clean_text(str(error), LINE_CHARACTERS_MAX)
