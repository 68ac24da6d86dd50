"""Where a configuration comes from, and what is said of a wrong one."""

import tomllib
from pathlib import Path

import pytest

from node.config import OPTIONS, Config, check_config
from node.config_load import build_config, load_config
from node.config_show import list_docs, list_values, render_commented, render_docs
from node.exits import Exit, find_exit
from node.options import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refuse(
    file: Path | None = None,
    environment: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
    *,
    must_exist: bool = False,
) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(file, environment, flags, must_exist=must_exist)
    assert find_exit(caught.value) is Exit.USAGE
    assert "\n" not in str(caught.value)
    assert caught.value.found
    assert caught.value.wanted
    return caught.value


def test_without_anything_the_defaults_hold() -> None:
    loaded = load_config()
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}


def test_flags_come_before_the_environment_before_the_file_before_the_default(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, "[p2p]\nmax_peers = 30\noutbound_peers = 1\n[rpc]\nport = 1\n")
    environment = {"MINESYNC_P2P_MAX_PEERS": "40", "MINESYNC_RPC_PORT": "2"}
    loaded = load_config(file, environment, {"p2p.max_peers": "50"})
    assert loaded.config.p2p.max_peers == 50
    assert loaded.config.rpc.port == 2
    assert loaded.config.p2p.outbound_peers == 1
    assert loaded.config.log.level == "info"
    assert loaded.origins["p2p.max_peers"] == "flag --p2p.max-peers"
    assert loaded.origins["rpc.port"] == "environment MINESYNC_RPC_PORT"
    assert loaded.origins["p2p.outbound_peers"] == f"file {file}"
    assert loaded.origins["log.level"] == "default"


def test_values_of_every_type_are_read_from_every_place(tmp_path: Path) -> None:
    peer = "/ip4/10.0.0.1/tcp/7030/p2p/12D3KooWEVUezuyT5kqxLUPqTJKCLLsFFSqFQEUaoXDbJ67855ws"
    file = write(tmp_path, f'[p2p]\nbootstrap = ["{peer}"]\n[log]\nfile = true\n')
    assert load_config(file).config.p2p.bootstrap == (peer,)
    assert load_config(file).config.log.file is True
    environment = {"MINESYNC_P2P_BOOTSTRAP": f"{peer}, {peer}", "MINESYNC_LOG_FILE": "no"}
    assert load_config(file, environment).config.p2p.bootstrap == (peer, peer)
    assert load_config(file, environment).config.log.file is False
    assert load_config(flags={"dev.clock_offset_ms": "-1500"}).config.dev.clock_offset_ms == -1500


def test_an_unknown_key_is_an_error_that_names_the_likely_one(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, "[p2p]\nmax_peer = 3\n"))
    assert error.code == "unknown_key"
    assert "p2p.max_peer in" in error.found
    assert "did you mean p2p.max_peers?" in error.wanted


def test_an_unknown_section_is_an_error_that_names_the_likely_one(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, "[p2]\nmax_peers = 3\n"))
    assert error.code == "unknown_section"
    assert "did you mean p2p?" in error.wanted


def test_an_unknown_variable_of_ours_is_an_error_and_others_are_not_looked_at() -> None:
    error = refuse(environment={"MINESYNC_P2P_MAX_PEER": "3"})
    assert error.code == "unknown_variable"
    assert "did you mean MINESYNC_P2P_MAX_PEERS?" in error.wanted
    fine = {"PATH": "/bin", "MINESYNC_DATA_DIR": "/x", "MINESYNC_DEVNET_PORT": "1"}
    assert load_config(environment=fine).config == Config()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[p2p]\nmax_peers = '3'\n", "wrong_type"),
        ("[p2p]\nmax_peers = true\n", "wrong_type"),
        ("[p2p]\nmax_peers = 3.5\n", "wrong_type"),
        ("[p2p]\nmax_peers = 0\n", "out_of_range"),
        ("[p2p]\nmax_peers = 100000\n", "out_of_range"),
        ("[log]\nfile = 1\n", "wrong_type"),
        ("[log]\nformat = 'xml'\n", "not_a_choice"),
        ("[log]\nlevel = 'loud'\n", "bad_log_level"),
        ("[log]\nlevel = 'info,P2P=debug'\n", "bad_log_level"),
        ("[p2p]\nbootstrap = 'x'\n", "wrong_type"),
        ("[p2p]\nbootstrap = [1]\n", "wrong_type"),
        ("[p2p]\nbootstrap = ['127.0.0.1:7030']\n", "bad_multiaddr"),
        ("[p2p]\nlisten = '/ip4/300.0.0.1/tcp/1'\n", "bad_multiaddr"),
        ("[p2p]\nlisten = '/ip4/0.0.0.0/tcp/65536'\n", "bad_multiaddr"),
        ("[rpc]\nhost = 'example.org'\n", "bad_host"),
        ("[rpc]\nhost = '0.0.0.0'\n", "rpc_exposed"),
        ("[roles]\naccount = 'abc'\n", "bad_address"),
        ('[worker]\ncommand = "python \'solve.py"\n', "bad_command"),
        ("p2p = 3\n", "wrong_type"),
        ("p2p = [\n", "config_syntax"),
        ("[p2p]\nmax_peers = 3\nmax_peers = 4\n", "config_syntax"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(tmp_path: Path, text: str, code: str) -> None:
    assert refuse(write(tmp_path, text)).code == code


@pytest.mark.parametrize("text", ["", "many", "3.0", "0x10", "99999999999999999999", "³"])
def test_a_flag_that_is_no_integer_is_refused(text: str) -> None:
    error = refuse(flags={"p2p.max_peers": text})
    assert error.code in ("wrong_type", "out_of_range")
    assert "--p2p.max-peers" in error.found


def test_a_flag_that_is_no_option_is_refused() -> None:
    assert refuse(flags={"p2p.maxpeers": "1"}).code == "unknown_key"


def test_a_file_that_is_no_text_or_too_long_or_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe")
    assert refuse(file).code == "config_syntax"
    file.write_bytes(b"#" * 300_000)
    assert refuse(file).code == "config_too_long"
    assert refuse(tmp_path / "none.toml", must_exist=True).code == "config_missing"
    assert refuse(tmp_path).code == "config_unreadable"
    assert load_config(tmp_path / "none.toml").config == Config()


def test_a_hostile_value_is_cut_and_escaped_in_the_message(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, '[log]\nformat = "' + "a" * 300 + '\\u001b[31m"\n'))
    assert "\x1b" not in str(error)
    assert len(str(error)) < 400


def test_an_exposed_rpc_has_to_be_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path, "[rpc]\nhost = '0.0.0.0'\nexpose = true\n")
    assert load_config(file).config.rpc.host == "0.0.0.0"
    assert load_config(flags={"rpc.host": "::1"}).config.rpc.host == "::1"


def test_every_option_has_a_sentence_bounds_and_a_default_within_them() -> None:
    for spec in OPTIONS.values():
        assert spec.meta.doc.endswith((".", ";"))
        if spec.kind is int:
            assert spec.meta.least < spec.meta.most, spec.key
            assert spec.meta.least <= spec.default <= spec.meta.most, spec.key
        elif spec.kind is not bool:
            default = list(spec.default) if spec.kind is tuple else spec.default
            assert spec.read_value(default, "a test") == spec.default
    check_config(Config())


def test_the_commented_file_is_read_back_to_the_same_configuration(tmp_path: Path) -> None:
    values = {
        "p2p.listen": "/ip4/127.0.0.1/tcp/0",
        "log.file": True,
        "worker.command": "python 'a \"b\\\\'\x7f",
    }
    config = build_config(values)
    text = render_commented(config)
    assert load_config(write(tmp_path, text)).config == config
    assert set(tomllib.loads(text)) == {spec.section for spec in OPTIONS.values()}


def test_the_reference_and_the_listing_name_every_option() -> None:
    reference = render_docs()
    keys = [entry["key"] for entry in list_values(load_config())]
    assert keys == [entry["key"] for entry in list_docs()] == list(OPTIONS)
    for spec in OPTIONS.values():
        assert f"| {spec.name} |" in reference
        assert spec.meta.doc in reference
