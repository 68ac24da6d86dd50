"""The command line. This file names every command; each lives in a file of its own, loaded late.

No command is imported for `minesync --help`, and none but the one that is meant for any other line.
So the modules are named in strings, here and nowhere else; `devnet` lies above this package and is
reached in no other way.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, UnusedCliTokensError

from node.version import VERSION
from protocol.errors import BlamedError

_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("init", "node.commands.init:init", "Make a data directory: identity, account key, network."),
    ("run", "node.commands.run:run", "Run the node until it is stopped."),
    ("stop", "node.commands.stop:stop", "Stop the node that runs in a data directory."),
    ("status", "node.commands.status:status", "What the node is doing, and whether it is ready."),
    ("peers", "node.commands.peers:app", "Who is connected; `peers add` dials one more."),
    ("task", "node.commands.task:app", "Publish, list, show and cancel tasks."),
    ("answer", "node.commands.answer:app", "List and show answers."),
    ("dispute", "node.commands.dispute:app", "Object to a result, judge, appeal, follow disputes."),
    ("change", "node.commands.change:app", "Vote as a sealer on numbers, sealers, validators."),
    ("stake", "node.commands.stake:app", "Add to the account's stake, leave, take it back."),
    ("account", "node.commands.account:account", "Balance and chain of an account."),
    ("conflicts", "node.commands.conflicts:conflicts", "What the rules refused, and why."),
    ("report", "node.commands.report:app", "What this node thinks of answers and miners."),
    ("key", "node.commands.key:app", "Account keys: new, list, show, import, export."),
    ("worker", "node.commands.worker:app", "Try out a solver, or begin one."),
    ("db", "node.commands.db:app", "Inspect, check, back up, restore, repair the database."),
    ("config", "node.commands.configure:app", "Show, check and explain the configuration."),
    ("devnet", "devnet.cli:app", "Networks of many nodes on this machine."),
    ("sim", "devnet.sim.cli:app", "Whole networks in virtual time: one seed is one run."),
    ("version", "node.commands.version:version", "Print the version."),
)
_LEADING_FLAGS = {"--json": 1, "--data-dir": 2}
"""Global flags that may stand before the command, and how many words each takes."""


class _UsageProblem(BlamedError):
    """The words themselves are wrong."""


def build_app() -> App:
    """Return the application, with no command loaded yet."""
    app = App(
        name="minesync",
        help="A peer-to-peer node for a network that trades AI work.",
        version=VERSION,
        help_format="plaintext",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for name, place, text in _COMMANDS:
        app.command(place, name=name, help=text)
    return app


def run_command(words: Sequence[str]) -> int:
    """Run one command line and return its exit code; an error becomes one line on stderr."""
    words = _move_leading_flags(list(words))
    is_json = "--json" in words
    command = next((word for word in words if not word.startswith("-")), "")
    try:
        if words and words[0] == command:
            _check_command(command)
        result: Any = build_app()(words)
    except UnusedCliTokensError as error:
        extra = " ".join(error.unused_tokens or ())
        text = _flatten(f"Unexpected {extra!r}.") + f" Try minesync {command} --help."
        return _report_failure(_UsageProblem("usage", text), is_json)
    except CycloptsError as error:
        return _report_failure(_UsageProblem("usage", _flatten(str(error))), is_json)
    except (BlamedError, KeyboardInterrupt, BaseExceptionGroup) as error:
        return _report_failure(error, is_json)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Run the command line of this process."""
    try:
        code = run_command(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _check_command(command: str) -> None:
    """Refuse an unknown command here: cyclopts would load every command to name the likeliest."""
    names = [name for name, _, _ in _COMMANDS]
    if command not in names:
        import difflib

        close = difflib.get_close_matches(command, names, n=1)
        hint = f" Did you mean {close[0]}?" if close else " Try minesync --help."
        raise _UsageProblem("usage", _flatten(f"Unknown command {command!r}.") + hint)


def _report_failure(error: BaseException, is_json: bool) -> int:
    """Report an error that blames somebody; anything else is a bug and keeps its traceback."""
    # Here and below: what only an error needs, only an error loads.
    from node.exits import Exit, find_blamed, find_exit, find_hint, is_interrupt, render_line

    if is_interrupt(error):
        sys.stderr.write("minesync: interrupted\n")
        return Exit.INTERRUPTED
    blamed = find_blamed(error)
    if blamed is None:
        raise error
    hint = find_hint(blamed)
    code = Exit.USAGE if isinstance(blamed, _UsageProblem) else find_exit(blamed)
    if is_json:
        import json

        facts = {"code": blamed.code, "found": blamed.found, "wanted": blamed.wanted, "hint": hint}
        sys.stderr.write(json.dumps({"error": facts, "exit": int(code)}) + "\n")
    else:
        is_usage = isinstance(blamed, _UsageProblem)
        line = f"usage: {blamed.found}" if is_usage else render_line(blamed)
        line += f" ({hint})" if hint else ""
        sys.stderr.write(f"minesync: {line}\n")
    return int(code)


def _flatten(text: str) -> str:
    from node.text import clean_text

    return clean_text(" ".join(text.split()), 400)


def _move_leading_flags(words: list[str]) -> list[str]:
    """Put global flags that stand before the command behind it: each command declares them."""
    moved: list[str] = []
    while words and words[0].split("=", 1)[0] in _LEADING_FLAGS:
        size = 1 if "=" in words[0] else _LEADING_FLAGS[words[0]]
        moved += words[:size]
        words = words[size:]
    end = words.index("--") if "--" in words else len(words)
    return words[:end] + moved + words[end:]


if __name__ == "__main__":
    main()
