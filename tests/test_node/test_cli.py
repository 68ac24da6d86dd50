"""The command line without a node: what it makes, and what it refuses in one line."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from node.cli import run_command
from node.exits import Exit
from node.identity import compute_peer_id, load_identity
from node.keystore import list_keys, unlock_key
from node.lockfile import NodeLock
from node.network import read_genesis
from node.paths import DataPaths
from node.private_files import create_private

CATEGORY = ("--field", "category=any")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Runs command lines in one data directory and keeps what they wrote."""

    def __init__(self, paths: DataPaths, capture: pytest.CaptureFixture[str]) -> None:
        self.paths = paths
        self._capture = capture

    def run(self, *words: str) -> Outcome:
        self._capture.readouterr()
        code = run_command(words)
        out, err = self._capture.readouterr()
        return Outcome(code, out, err)

    def read(self, *words: str) -> Any:
        outcome = self.run(*words, "--json")
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)

    def refuse(self, code: Exit, *words: str) -> str:
        """Check that words are refused with one line, by the same code for programs."""
        before = self.look()
        outcome = self.run(*words)
        assert outcome.code == code, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("minesync: ")
        assert outcome.err.count("\n") == 1
        facts = json.loads(self.run(*words, "--json").err)
        assert facts["exit"] == code
        assert self.look() == before, "a refused command changes nothing"
        return outcome.err

    def look(self) -> dict[str, bytes]:
        root = self.paths.root.parent
        # The lock file says who runs here, not what is kept here.
        files = [path for path in root.rglob("*") if path.is_file() and path.name != "node.lock"]
        return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    for name in ("MINESYNC_PASSWORD_FILE", "MINESYNC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MINESYNC_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return Shell(DataPaths(tmp_path / "home"), capsys)


def write_password(folder: Path, password: str = "correct horse") -> str:
    path = folder / "passwords" / "one"
    if not path.exists():
        create_private(path, password.encode() + b"\n")
    return str(path)


def test_help_names_every_command_and_loads_none(shell: Shell) -> None:
    outcome = shell.run("--help")
    assert outcome.code == 0
    for name in ("init", "run", "stop", "status", "task", "devnet", "config", "worker"):
        assert f" {name} " in outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


def test_an_unknown_command_or_flag_names_the_likely_one(shell: Shell) -> None:
    assert "Did you mean status?" in shell.refuse(Exit.USAGE, "statsu")
    assert "Did you mean --origin?" in shell.refuse(Exit.USAGE, "config", "show", "--orign")
    assert 'Did you mean "list"?' in shell.refuse(Exit.USAGE, "task", "lst")
    line = shell.refuse(Exit.USAGE, "config", "check", "--p2p.max-peer", "3")
    assert "Did you mean --p2p.max-peers?" in line
    assert shell.refuse(Exit.USAGE, "bad\n\x1b[31m").isprintable() is False


def test_version_is_the_release(shell: Shell) -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert shell.read("version")["version"] == project["project"]["version"]
    assert shell.run("--version").out.strip() == project["project"]["version"]


def test_global_flags_may_stand_before_the_command(shell: Shell, tmp_path: Path) -> None:
    outcome = shell.run("--json", "--data-dir", str(tmp_path / "other"), "key", "list")
    assert json.loads(outcome.out) == {"items": []}
    outcome = shell.run(f"--data-dir={tmp_path}/other", "key", "list", "--json")
    assert json.loads(outcome.out) == {"items": []}


def test_init_makes_a_directory_that_a_second_init_keeps(shell: Shell, tmp_path: Path) -> None:
    password = write_password(tmp_path)
    words = ("init", "--new-network", "toy", "--password-file", password)
    made = shell.read(*words)
    paths = shell.paths
    assert made["network_name"] == "toy"
    assert made["peer"] == compute_peer_id(load_identity(paths.identity))
    (key,) = list_keys(paths.keys)
    assert unlock_key(key.path, "correct horse")
    genesis = read_genesis(paths.genesis)
    assert genesis.sealers == (key.address,)
    assert genesis.supply == 1_000_000 * 10**9
    assert paths.root.stat().st_mode & 0o777 == 0o700
    before = shell.look()
    assert shell.read("init") == made
    assert shell.look() == before
    shell.refuse(Exit.WRONG_NETWORK, "init", "--new-network", "other")
    assert shell.run("config", "check").code == 0


def test_init_founds_a_network_that_others_seal_too(shell: Shell, tmp_path: Path) -> None:
    friends = [tmp_path / name for name in ("one", "two", "three")]
    addresses = []
    for friend in friends:
        made = shell.read("init", "--unencrypted", "--data-dir", str(friend))
        addresses.append(made["accounts"][0])
    flags = [word for address in addresses for word in ("--sealer", address)]
    made = shell.read("init", "--new-network", "toy", "--unencrypted", *flags)
    assert made["sealers"] == sorted([*addresses, *made["accounts"]])
    assert read_genesis(shell.paths.genesis).sealers == tuple(map(bytes.fromhex, made["sealers"]))
    words = ("init", "--genesis", str(shell.paths.genesis), "--data-dir", str(friends[0]))
    assert "set sealer.enabled = true" in shell.run(*words).out
    shell.refuse(Exit.USAGE, "init", "--sealer", addresses[0], "--data-dir", str(friends[1]))
    other = str(tmp_path / "other")
    new = ("init", "--new-network", "x", "--unencrypted", "--data-dir", other)
    twice = shell.refuse(Exit.USAGE, *new, *flags, *flags)
    assert "bad_sealers" in twice


def test_init_joins_a_network_by_its_genesis_and_no_second_one(
    shell: Shell, tmp_path: Path
) -> None:
    shell.read("init", "--new-network", "toy", "--unencrypted")
    genesis = tmp_path / "genesis.cbor"
    genesis.write_bytes(shell.paths.genesis.read_bytes())
    there = str(tmp_path / "there")
    words = ("init", "--unencrypted", "--data-dir", there)
    joined = shell.read(*words, "--genesis", str(genesis))
    assert joined["network_name"] == "toy"
    other = str(tmp_path / "other")
    shell.read("init", "--new-network", "other", "--unencrypted", "--data-dir", other)
    line = shell.refuse(Exit.WRONG_NETWORK, *words, "--genesis", f"{other}/genesis.cbor")
    assert "genesis_mismatch" in line
    genesis.write_bytes(b"\x80")
    assert "genesis_malformed" in shell.refuse(Exit.USAGE, "init", "--genesis", str(genesis))
    genesis.unlink()
    assert "genesis_missing" in shell.refuse(Exit.USAGE, "init", "--genesis", str(genesis))


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("init", "--new-network", "x"), Exit.KEY, "password_required"),
        (("init", "--new-network", "x" * 40, "--unencrypted"), Exit.USAGE, "bad_network_name"),
        (("init", "--new-network", "x", "--supply", "-1"), Exit.USAGE, "bad_amount"),
        (("init", "--new-network", "x", "--params", "mini"), Exit.USAGE, "unknown_params"),
        (("init", "--new-network", "x", "--no-key"), Exit.USAGE, "no_key"),
        (("init", "--new-network", "x", "--genesis", "y"), Exit.USAGE, "two_networks"),
        (("run",), Exit.USAGE, "data_dir_missing"),
        (("run", "--config", "/none.toml"), Exit.USAGE, "config_missing"),
        (("status",), Exit.NOT_RUNNING, "not_running"),
        (("stop",), Exit.NOT_RUNNING, "not_running"),
        (("peers",), Exit.NOT_RUNNING, "not_running"),
        (("peers", "add", "127.0.0.1:7030"), Exit.USAGE, "bad_multiaddr"),
        (("account", "xyz"), Exit.USAGE, "bad_address"),
        (("account", "00ff"), Exit.USAGE, "bad_address"),
        (("task", "list", "--publisher", "0" * 63), Exit.USAGE, "bad_address"),
        (("task", "list"), Exit.NOT_RUNNING, "not_running"),
        (
            ("task", "publish", "T", "--description", "D", "--reward", "5", *CATEGORY),
            Exit.NOT_RUNNING,
            "not_running",
        ),
        (("key", "show", "zz"), Exit.USAGE, "bad_id"),
        (("key", "show", "00ff"), Exit.FAILED, "unknown_key"),
        (("key", "import", "/none.json"), Exit.KEY, "key_missing"),
        (("key", "new"), Exit.KEY, "password_required"),
        (("key", "new", "--password-file", "/none"), Exit.KEY, "key_missing"),
        (("config", "check", "--p2p.max-peers", "no"), Exit.USAGE, "wrong_type"),
        (("config", "check", "--p2p.listen", "x"), Exit.USAGE, "bad_multiaddr"),
        (("config", "check", "--rpc.host", "0.0.0.0"), Exit.USAGE, "rpc_exposed"),
        (("worker", "test", "'"), Exit.USAGE, "bad_command"),
        (("worker", "test", "x", "--kind", "poetry"), Exit.USAGE, "unknown_task_type"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(
    shell: Shell, words: tuple[str, ...], code: Exit, expected: str
) -> None:
    assert expected in shell.refuse(code, *words)


def test_a_wrong_password_does_not_start_a_node(shell: Shell, tmp_path: Path) -> None:
    shell.read(
        "init", "--new-network", "toy", "--password-file", write_password(tmp_path, "correct")
    )
    wrong = tmp_path / "passwords" / "two"
    create_private(wrong, b"another\n")
    assert "wrong_password" in shell.refuse(Exit.KEY, "run", "--password-file", str(wrong))
    wrong.chmod(0o644)
    line = shell.refuse(Exit.KEY, "run", "--password-file", str(wrong))
    assert "key_readable_by_others" in line


@pytest.mark.parametrize(
    ("what", "how", "code", "expected"),
    [
        ("identity.key", "chmod", Exit.KEY, "key_readable_by_others"),
        ("identity.key", "unlink", Exit.KEY, "key_missing"),
        ("identity.key", "damage", Exit.KEY, "key_malformed"),
        ("genesis.cbor", "unlink", Exit.USAGE, "genesis_missing"),
        ("genesis.cbor", "damage", Exit.USAGE, "genesis_malformed"),
        ("config.toml", "damage", Exit.USAGE, "config_syntax"),
        ("keys/{key}.json", "chmod", Exit.KEY, "key_readable_by_others"),
        ("keys/{key}.json", "unlink", Exit.KEY, "key_missing"),
        ("keys/{key}.json", "damage", Exit.KEY, "key_malformed"),
    ],
)
def test_a_node_does_not_start_on_a_bad_file(
    shell: Shell, what: str, how: str, code: Exit, expected: str
) -> None:
    made = shell.read("init", "--new-network", "toy", "--unencrypted")
    path = shell.paths.root / what.format(key=made["accounts"][0])
    match how:
        case "chmod":
            path.chmod(0o644)
        case "unlink":
            path.unlink()
        case "damage":
            path.write_bytes(b"\xff")
    assert expected in shell.refuse(code, "run")


def test_a_second_node_on_one_directory_is_refused(shell: Shell) -> None:
    shell.read("init", "--new-network", "toy", "--unencrypted")
    with NodeLock.acquire(shell.paths.lock, started_ms=1, version="0.1.0"):
        assert "data_dir_in_use" in shell.refuse(Exit.DATA_DIR_IN_USE, "run")


def test_two_keys_need_a_choice(shell: Shell) -> None:
    shell.read("init", "--new-network", "toy", "--unencrypted")
    shell.read("key", "new", "--unencrypted")
    assert "which_key" in shell.refuse(Exit.KEY, "run", "--roles.account", "")


def test_keys_go_out_and_in_as_files(shell: Shell, tmp_path: Path) -> None:
    password = write_password(tmp_path)
    made = shell.read("key", "new", "--password-file", password, "--description", "cold")
    assert made["encrypted"]
    assert shell.read("key", "list")["items"] == [made]
    short = made["address"][:8]
    assert shell.read("key", "show", short) == made
    target = str(tmp_path / "away" / "key.json")
    shell.read("key", "export", short, target, "--password-file", password)
    there = ("--data-dir", str(tmp_path / "there"))
    taken = shell.read("key", "import", target, "--password-file", password, *there)
    assert (taken["address"], taken["uuid"]) == (made["address"], made["uuid"])
    outcome = shell.run("key", "list")
    assert made["address"] in outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


def test_the_environment_may_name_the_password_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINESYNC_PASSWORD_FILE", write_password(tmp_path))
    made = shell.read("key", "new")
    assert unlock_key(Path(made["path"]), "correct horse")
    monkeypatch.setenv("MINESYNC_PASSWORD_FILE", str(tmp_path / "none"))
    assert "key_missing" in shell.refuse(Exit.KEY, "key", "new")


def test_config_show_tells_where_each_value_comes_from(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINESYNC_RPC_PORT", "9000")
    values = shell.read("config", "show", "--origin", "--p2p.max-peers", "12", "--rpc.no-enabled")
    by_key = {entry["key"]: (entry["value"], entry["origin"]) for entry in values["items"]}
    assert by_key["p2p.max_peers"] == (12, "flag --p2p.max-peers")
    assert by_key["rpc.enabled"] == (False, "flag --rpc.enabled")
    assert by_key["rpc.port"] == (9000, "environment MINESYNC_RPC_PORT")
    assert by_key["log.level"] == ("info", "default")
    assert "MINESYNC_RPC_PORT" in shell.run("config", "show", "--origin").out


def test_an_unknown_key_in_file_or_environment_stops_every_use(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.read("init", "--new-network", "toy", "--unencrypted")
    monkeypatch.setenv("MINESYNC_P2P_MAX_PEER", "3")
    assert "did you mean MINESYNC_P2P_MAX_PEERS?" in shell.refuse(Exit.USAGE, "config", "check")
    monkeypatch.delenv("MINESYNC_P2P_MAX_PEER")
    shell.paths.config.write_text("[p2p]\nmax_peer = 3\n")
    for words in (("config", "check"), ("config", "show"), ("run",)):
        assert "did you mean p2p.max_peers?" in shell.refuse(Exit.USAGE, *words)


def test_config_docs_and_file_explain_every_option(shell: Shell) -> None:
    assert "| max_peers |" in shell.run("config", "docs").out
    text = shell.run("config", "file").out
    shell.paths.root.mkdir(mode=0o700)
    shell.paths.config.write_text(text)
    assert shell.run("config", "check").code == 0
