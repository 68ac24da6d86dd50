"""A fake node for the commands that ask one: replies from a table, calls remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from node.cli import run_command
from node.paths import DataPaths

Reply = Callable[..., Any]


class FakeNode:
    """Stands for a running node: answers calls from a table and remembers them."""

    def __init__(self, replies: dict[str, Reply]) -> None:
        self.replies = replies
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, method: str, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        self.calls.append((method, given))
        return self.replies[method](**given)

    def __enter__(self) -> "FakeNode":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Outcome(NamedTuple):
    code: int
    out: str
    err: str
    calls: list[tuple[str, dict[str, Any]]]


Ask = Callable[..., Outcome]


def make_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Return what runs a command line against a fake node with the given replies."""
    monkeypatch.setenv("MINESYNC_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["init", "--new-network", "toy", "--unencrypted"]) == 0

    def run(*words: str, **replies: Reply) -> Outcome:
        fake = FakeNode(replies)

        def connect(paths: DataPaths, timeout_ms: int = 0) -> FakeNode:
            return fake

        commands = (
            "account answer change conflicts db_report dispute peers report"
            " stake status task worker"
        )
        for name in commands.split():
            monkeypatch.setattr(f"node.commands.{name}.connect", connect)
        capsys.readouterr()
        code = run_command(words)
        out, err = capsys.readouterr()
        check_shown(out, is_json="--json" in words)
        return Outcome(code, out, err, fake.calls)

    return run


def check_shown(text: str, *, is_json: bool) -> None:
    """Check that output holds no control character, and that its lines fit a terminal.

    What is meant to be copied stands on one line, however long.
    """
    assert all(char == "\n" or char.isprintable() for char in text)
    if not is_json:
        lines = [line for line in text.split("\n") if not line.startswith("Next: ")]
        assert all(len(line) <= 80 for line in lines)


def page(*items: dict[str, Any]) -> Reply:
    """Return a method that answers with one page, the last."""
    return lambda **params: {"items": list(items), "next_cursor": None}
