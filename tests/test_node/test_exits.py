"""The exit codes: a contract with scripts, so each stays what it is."""

import pytest

from node.exits import (
    LINE_CHARACTERS_MAX,
    Exit,
    find_blamed,
    find_exit,
    is_interrupt,
    render_line,
)
from node.options import ConfigError
from node.private_files import KeyFileError
from node.rpc.client import RpcError
from protocol.errors import BlamedError, InvariantBroken, Rejected
from storage.errors import Corrupt, FormatTooNew, Full, InUse, StorageError, WrongNetwork


def test_every_exit_code_keeps_its_number() -> None:
    assert {code.name: code.value for code in Exit} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "WRONG_NETWORK": 3,
        "DATA_DIR_IN_USE": 4,
        "PORT_IN_USE": 5,
        "KEY": 6,
        "STORAGE_DAMAGED": 7,
        "NOT_RUNNING": 8,
        "FORMAT_TOO_NEW": 9,
        "DISK_FULL": 10,
        "REFUSED": 11,
        "WORKER": 12,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("unknown_key", "x", "y"), Exit.USAGE),
        (KeyFileError("wrong_password"), Exit.KEY),
        (WrongNetwork("wrong_network"), Exit.WRONG_NETWORK),
        (InUse("database_in_use"), Exit.DATA_DIR_IN_USE),
        (FormatTooNew("format_too_new"), Exit.FORMAT_TOO_NEW),
        (Full("disk_full"), Exit.DISK_FULL),
        (Corrupt("database_damaged"), Exit.STORAGE_DAMAGED),
        (StorageError("storage_failed"), Exit.FAILED),
        (BlamedError("port_in_use"), Exit.PORT_IN_USE),
        (RpcError("not_running"), Exit.NOT_RUNNING),
        (RpcError("task_closed", number=1_000), Exit.REFUSED),
        (RpcError("not_found", number=2_000), Exit.FAILED),
        (RpcError("invalid_params", number=-32_602), Exit.USAGE),
        (Rejected("tx_too_long"), Exit.FAILED),
    ],
)
def test_each_error_ends_with_its_code(error: BlamedError, code: Exit) -> None:
    assert find_exit(error) is code
    assert find_exit(find_blamed(ExceptionGroup("tasks", [error])) or Rejected("none")) is code


def test_a_bug_is_never_taken_for_an_error_that_blames_somebody() -> None:
    blamed = ConfigError("unknown_key")
    assert find_blamed(ValueError("bug")) is None
    assert find_blamed(InvariantBroken("bug")) is None
    assert find_blamed(ExceptionGroup("tasks", [blamed, ValueError("bug")])) is None
    nested = ExceptionGroup("tasks", [ExceptionGroup("more", [blamed])])
    assert find_blamed(nested) is blamed


def test_an_interrupt_is_found_in_a_group() -> None:
    assert is_interrupt(KeyboardInterrupt())
    assert is_interrupt(BaseExceptionGroup("tasks", [ValueError(), KeyboardInterrupt()]))
    assert not is_interrupt(ExceptionGroup("tasks", [ValueError()]))


def test_the_line_is_one_line_whatever_is_in_it() -> None:
    line = render_line(BlamedError("bad", "a\nb\x1b[31m" + "x" * 5_000, "c"))
    assert line.isprintable()
    assert line.startswith("bad: found a\\nb\\x1b[31m")
    assert len(line) <= LINE_CHARACTERS_MAX
