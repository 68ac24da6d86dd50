"""The directory of a devnet: what is written, read back, refused and deleted."""

import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from devnet import founding
from devnet.errors import DevnetError
from devnet.founding import assign_roles, found_devnet
from devnet.groups import parse_groups
from devnet.layout import UNFINISHED, Devnet, find_root
from devnet.manifests.lineup import choose_dials
from devnet.processes import ProcessRef
from node.config_load import load_config
from node.identity import compute_peer_id, load_identity
from node.keystore import list_keys, unlock_key
from node.network import read_genesis


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return found_devnet(tmp_path / "net", 5, 7)


def test_a_devnet_reads_back_as_it_was_written(devnet: Devnet) -> None:
    again = Devnet.load(devnet.root)
    assert again.roster == devnet.roster
    assert again.names == ("n1", "n2", "n3", "n4", "n5")
    assert [peer.role for peer in again.roster.peers] == ["validator"] * 3 + ["miner"] * 2
    assert [peer.name for peer in again.roster.peers if peer.seals] == ["n1"]


def test_a_script_finds_every_port_path_and_process_in_one_private_file(devnet: Devnet) -> None:
    devnet.record_process("n2", ProcessRef(4_321, "mark"))
    path = devnet.root / "devnet.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    peers = json.loads(path.read_text())["peers"]
    assert peers["n2"]["pid"] == 4_321
    assert peers["n1"]["pid"] is None
    assert peers["n2"]["url"] == f"http://127.0.0.1:{peers['n2']['rpc_port']}"
    assert Path(peers["n2"]["data_dir"]) == devnet.root / "n2"
    ports = [peer[kind] for peer in peers.values() for kind in ("p2p_port", "rpc_port")]
    assert len(set(ports)) == 10


def test_processes_are_remembered_until_they_are_forgotten(devnet: Devnet) -> None:
    devnet.record_process("n2", ProcessRef(4_321, "mark"))
    devnet.record_process("n5", ProcessRef(4_322, "other"))
    assert Devnet.load(devnet.root).read_processes() == {
        "n2": ProcessRef(4_321, "mark"),
        "n5": ProcessRef(4_322, "other"),
    }
    devnet.forget_processes()
    assert devnet.read_processes() == {}


def test_every_peer_has_what_a_node_asks_for(devnet: Devnet) -> None:
    for peer in devnet.roster.peers:
        paths = devnet.data_paths(peer.name)
        config = load_config(paths.config, {}).config
        assert read_genesis(paths.genesis).network.hex() == devnet.roster.network
        assert compute_peer_id(load_identity(paths.identity)) == peer.peer_id
        (key,) = list_keys(paths.keys)
        assert key.address.hex() == peer.account == config.roles.account
        assert unlock_key(key.path, None)
        assert config.rpc.port == peer.rpc_port
        assert config.dev.faults
        assert config.sealer.enabled is peer.seals
        assert (config.roles.miner, config.roles.validator) == (
            peer.role == "miner",
            peer.role == "validator",
        )


def test_peers_dial_only_those_before_them(devnet: Devnet) -> None:
    for place, peer in enumerate(devnet.roster.peers):
        dialed = load_config(devnet.data_paths(peer.name).config, {}).config.p2p.bootstrap
        assert dialed == tuple(one.address for one in devnet.roster.peers[:place])


@pytest.mark.parametrize("count", [2, 8, 9, 128])
def test_dials_reach_everybody_and_stay_few(count: int) -> None:
    dials = {place: list(choose_dials(place, count)) for place in range(count)}
    assert dials[0] == []
    for place in range(1, count):
        assert dials[place] == sorted(set(dials[place]))
        assert all(0 <= dialed < place for dialed in dials[place])
        assert 1 <= len(dials[place]) <= 7


def test_one_seed_is_one_network_and_another_is_another(tmp_path: Path) -> None:
    first = found_devnet(tmp_path / "a", 3, 7)
    same = found_devnet(tmp_path / "b", 3, 7)
    other = found_devnet(tmp_path / "c", 3, 8)
    assert first.roster.network == same.roster.network != other.roster.network
    assert [peer.account for peer in first.roster.peers] == [
        peer.account for peer in same.roster.peers
    ]


def test_parameters_can_be_chosen(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 1, 7, {"epoch_ms": 250})
    params = read_genesis(devnet.genesis_path).params
    assert (params.epoch_ms, params.late_epochs) == (250, 60)


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"epoch": 1}, "unknown_param"),
        ({"reward_min": 1}, "unknown_param"),
        ({"reviewers_min": 1}, "bad_param"),
    ],
)
def test_parameters_that_cannot_be_are_refused_before_anything_is_written(
    tmp_path: Path, overrides: dict[str, int], code: str
) -> None:
    with pytest.raises(DevnetError) as refused:
        found_devnet(tmp_path / "net", 1, 7, overrides)
    assert refused.value.code == code
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("count", "validators"), [(1, 1), (3, 3), (4, 3), (5, 3), (7, 3), (8, 4), (10, 5), (128, 5)]
)
def test_there_are_enough_validators_for_three_reviews(count: int, validators: int) -> None:
    roles = assign_roles(count)
    assert len(roles) == count
    assert roles.count("validator") == validators


@pytest.mark.parametrize("count", [0, -1, 129])
def test_a_devnet_of_no_peers_or_too_many_is_refused(count: int) -> None:
    with pytest.raises(DevnetError):
        assign_roles(count)


def test_a_second_devnet_in_one_folder_is_refused(devnet: Devnet) -> None:
    with pytest.raises(DevnetError, match="devnet_exists"):
        found_devnet(devnet.root, 5, 8)


def test_a_folder_of_something_else_is_neither_used_nor_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DevnetError, match="not_a_devnet"):
        found_devnet(tmp_path, 5, 7)
    with pytest.raises(DevnetError, match="no_devnet"):
        Devnet.load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_that_only_has_the_name_of_our_mark_lets_nothing_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / UNFINISHED).write_text("chapter 3")
    with pytest.raises(DevnetError, match="not_a_devnet"):
        found_devnet(tmp_path, 5, 7)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", UNFINISHED}


def die_at(owner: object, name: str, call: int, work: Callable[[], object]) -> None:
    """Do the work in a child that ends without a word at that call of a function."""
    child = os.fork()
    if child == 0:
        calls = itertools.count(1)
        original = getattr(owner, name)

        def count_down(*args: object) -> object:
            return os._exit(9) if next(calls) == call else original(*args)

        setattr(owner, name, count_down)
        work()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize(("call", "found"), [(1, 0), (3, 2), (5, 4)])
def test_a_devnet_whose_making_was_cut_short_is_made_anew(
    tmp_path: Path, call: int, found: int
) -> None:
    root = tmp_path / "net"
    die_at(founding, "write_peer", call, lambda: found_devnet(root, 5, 7))
    assert len(list(root.glob("n*"))) == found
    with pytest.raises(DevnetError, match="no_devnet"):
        Devnet.load(root)
    assert found_devnet(root, 3, 8).names == ("n1", "n2", "n3")
    assert sorted(path.name for path in root.glob("n*")) == ["n1", "n2", "n3"]
    assert not (root / UNFINISHED).exists()


@pytest.mark.parametrize("call", [1, 3, 6])
def test_a_devnet_whose_deletion_was_cut_short_makes_room_for_another(
    devnet: Devnet, call: int
) -> None:
    die_at(shutil, "rmtree", call, devnet.delete)
    assert any(devnet.root.iterdir())
    assert found_devnet(devnet.root, 3, 8).names == ("n1", "n2", "n3")
    assert not (devnet.root / "n4").exists()


def test_a_devnet_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(founding, "write_peer", fail)
    with pytest.raises(OSError, match="no space"):
        found_devnet(tmp_path / "net", 3, 7)
    assert list((tmp_path / "net").iterdir()) == []


def test_deleting_removes_the_whole_folder(devnet: Devnet) -> None:
    devnet.delete()
    assert not devnet.root.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "minesync-devnet/3"}', '{"format": "minesync-devnet/1"}']
)
def test_a_damaged_description_is_named(devnet: Devnet, text: str) -> None:
    (devnet.root / "devnet.json").write_text(text)
    with pytest.raises(DevnetError, match="devnet_malformed"):
        Devnet.load(devnet.root)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("n1,n2|n3,n4,n5", (("n1", "n2"), ("n3", "n4", "n5"))),
        ("n1, n2 | n3", (("n1", "n2"), ("n3",), ("n4", "n5"))),
        ("n4", (("n4",), ("n1", "n2", "n3", "n5"))),
    ],
)
def test_groups_are_read_and_the_rest_stays_together(
    devnet: Devnet, text: str, groups: tuple[tuple[str, ...], ...]
) -> None:
    assert parse_groups(devnet.names, text) == groups


@pytest.mark.parametrize("text", ["", "n6|n1", "n1|n1,n2", "n1,n2,n3,n4,n5", "n1||n2"])
def test_groups_that_make_no_sense_are_refused(devnet: Devnet, text: str) -> None:
    with pytest.raises(DevnetError):
        parse_groups(devnet.names, text)


def test_the_last_lines_of_a_log_are_found(devnet: Devnet) -> None:
    assert devnet.read_log_tail("n1", 5) == []
    devnet.log_path("n1").write_text("".join(f"line {place}\n" for place in range(2_000)))
    assert devnet.read_log_tail("n1", 2) == ["line 1998", "line 1999"]


def test_events_are_kept_a_line_each(devnet: Devnet) -> None:
    devnet.note_event("kill", peer="n2")
    devnet.note_event("heal")
    events = [json.loads(line) for line in devnet.events_path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["kill", "heal"]
    assert events[0]["peer"] == "n2"


def test_the_folder_comes_from_the_flag_then_the_environment_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINESYNC_DEVNET_DIR", raising=False)
    assert find_root() == tmp_path / ".devnet"
    monkeypatch.setenv("MINESYNC_DEVNET_DIR", "/elsewhere")
    assert find_root() == Path("/elsewhere")
    assert find_root(Path("/flag")) == Path("/flag")


def test_several_peers_seal_each_with_its_own_key(tmp_path: Path) -> None:
    devnet = found_devnet(tmp_path / "net", 5, 7, sealers=4)
    genesis = read_genesis(devnet.genesis_path)
    sealing = [peer for peer in devnet.roster.peers if peer.seals]
    assert [peer.name for peer in sealing] == ["n1", "n2", "n3", "n4"]
    assert genesis.sealers == tuple(sorted(bytes.fromhex(peer.account) for peer in sealing))
    for peer in devnet.roster.peers:
        config = load_config(devnet.data_paths(peer.name).config).config
        assert config.sealer.enabled is peer.seals


@pytest.mark.parametrize("sealers", [0, 6, 32])
def test_no_more_peers_can_seal_than_there_are(tmp_path: Path, sealers: int) -> None:
    with pytest.raises(DevnetError, match="bad_sealers"):
        found_devnet(tmp_path / "net", 5, 7, sealers=sealers)
