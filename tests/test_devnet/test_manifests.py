"""Manifests: read strictly, refused with the place and a hint, written so that they read back."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet.errors import DevnetError
from devnet.founding import found
from devnet.layout import Devnet
from devnet.manifests.fields import DURATION, OFFSET, SHARE, SIZE, BadValue, Kind
from devnet.manifests.generate import make_random_manifest
from devnet.manifests.lineup import LinkPlan, line_up, list_link_plans
from devnet.manifests.reader import (
    ManifestError,
    find_manifest,
    list_shipped,
    load_manifest,
    read_manifest,
)
from devnet.manifests.relations import check_relations
from devnet.manifests.schema import build_schema
from devnet.manifests.tables import PROVIDERS, Manifest
from devnet.manifests.writer import write_manifest
from node.cli import run_command
from node.config_load import load_config
from node.exits import Exit
from node.network import read_genesis
from node.transport.fault_rules import LinkRule

WHERE = "net.toml"
FIVE = """
[defaults]
role = "validator"
config.sync.sessions_max = 2
[node.n1]
[node.n2]
config.sync.status_interval_ms = 900
[node.n3]
role = "miner"
[group.far]
count = 2
role = "miner"
"""


def read(text: str) -> Manifest:
    return read_manifest(text, WHERE)


def refuse(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        check_relations(read(text), WHERE)
    return caught.value


@given(st.integers(0, 1 << 32))
def test_every_manifest_that_is_made_up_is_valid_and_reads_back(seed: int) -> None:
    manifest = make_random_manifest(seed)
    text = write_manifest(manifest, "made up")
    assert read(text) == manifest
    assert write_manifest(make_random_manifest(seed), "made up") == text
    for provider in PROVIDERS:
        check_relations(replace(manifest, devnet=replace(manifest.devnet, provider=provider)))


@pytest.mark.parametrize("name", list_shipped())
def test_every_manifest_that_is_shipped_is_valid_on_both_providers(name: str) -> None:
    manifest = load_manifest(name)
    assert read(write_manifest(manifest)) == manifest
    assert manifest.check
    for provider in PROVIDERS:
        check_relations(replace(manifest, devnet=replace(manifest.devnet, provider=provider)))


def test_the_shipped_manifests_are_those_that_were_promised() -> None:
    promised = "byzantine churn ci five late-joiner mixed-roles partition slow-links solo three"
    assert list_shipped() == tuple(promised.split())


def test_what_a_node_does_not_say_its_defaults_do() -> None:
    manifest = read(FIVE)
    lineup = line_up(manifest)
    assert lineup.names == ("n1", "n2", "n3", "far1", "far2")
    roles = ["validator", "validator", "miner", "miner", "miner"]
    assert [one.table.role for one in lineup.nodes] == roles
    assert manifest.node["n2"].config == {
        "sync.sessions_max": 2,
        "sync.status_interval_ms": 900,
    }
    assert lineup.resolve(["far", "n1"]) == ("n1", "far1", "far2")
    assert lineup.publishers == ("n3", "far1", "far2")
    assert [one.name for one in lineup.nodes if one.seals] == ["n1"]
    assert read(write_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (
            "[nod.n1]",
            "unknown_table",
            "[nod] in net.toml, wanted a known table; did you mean node?",
        ),
        ("[node.N1]", "malformed", "[node.N1] in net.toml: 'N1'"),
        ("[node.n1]\nrol = 1", "unknown_key", "[node.n1] rol in net.toml, wanted a known key; did"),
        ("[node.n1]\nrole = 1", "wrong_type", "[node.n1] role in net.toml: 1, wanted validator or"),
        ("[node.n1]\nrole = 'mine'", "not_a_choice", "'mine', wanted validator or miner or"),
        ("[node.n1]\nconfig.syn.x = 1", "unknown_key", "syn, wanted a section; did you mean sync?"),
        ("[node.n1]\nconfig.sync.x = 1", "unknown_key", "sync.x, wanted an option"),
        ("[node.n1]\nconfig.p2p.max_peers = 0", "out_of_range", "p2p.max_peers = 0"),
        ("[node.n1]\nstart_at = 5", "wrong_type", "start_at in net.toml: 5, wanted a time such as"),
        ("[node.n1]\nstart_at = '5 s'", "malformed", "'5 s', wanted a time such as 500ms"),
        ("[group.n]", "missing_key", "[group.n] count in net.toml: nothing, wanted 1 to 128"),
        ("[group.n]\ncount = 129", "out_of_range", "[group.n] count in net.toml: 129, wanted 1 to"),
        ("[genesis]\nparams = { epoch_m = 1 }", "unknown_key", "did you mean epoch_ms?"),
        ("[[check]]\nexpr = 'epoch >> 1'", "bad_condition", "[[check]] 1 expr in net.toml: '>' at"),
        ("[devnet]\nprovider = 'kube'", "not_a_choice", "'kube', wanted process or sim"),
        ("[[event]]\nat = '1s'", "missing_key", "[[event]] 1 do in net.toml: nothing"),
        ("[event]\ndo = 'kill'", "wrong_type", "wanted tables [[event]]"),
        ("node = 3", "wrong_type", "[node] in net.toml: 3, wanted a table"),
        ("x =", "manifest_syntax", "net.toml: "),
        (
            "[node.n1]\nexe = 'a\tb'",
            "out_of_range",
            "exe in net.toml: 3 characters, wanted at most",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, code: str, line: str) -> None:
    error = refuse(text)
    assert error.code == code
    assert line in str(error)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "bad_relation", "0 nodes, wanted 1 to 128"),
        ("[group.a]\ncount = 128\n[node.n]", "bad_relation", "129 nodes, wanted 1 to 128"),
        ("[node.n1]\n[group.n]\ncount = 1", "name_twice", "n1 in net.toml"),
        ("[node.any]", "name_twice", "any in net.toml"),
        ("[node.n1]\nzone = 'eu'", "unknown_name", "[node.n1] zone in net.toml: eu"),
        ("[node.n1]\ndials = ['n2']\n[node.n2]", "bad_relation", "n1 and n2 dial each other"),
        ("[genesis]\nsealers = ['n2']\n[node.n1]", "unknown_name", "n2, wanted n1"),
        ("[node.n1]\nstart_at = '1s'", "bad_relation", "no node that starts at once"),
        ("[node.n1]\nconfig.rpc.port = 1", "bad_relation", "rpc.port, wanted rpc_port"),
        ("[node.n1]\nrole='miner'\nbyzantine=['flood']", "bad_relation", "wanted no honest role"),
        (
            "[devnet]\nnetwork='namespaces'\nprovider='sim'\n[node.n1]",
            "bad_relation",
            "network = namespaces, and provider = sim",
        ),
        (
            "[group.n]\ncount=2\n[[link]]\nbetween=['n1','n2']\nloss='1%'",
            "bad_relation",
            "[[link]] 1 in net.toml: loss, and network = loopback, wanted network = namespaces",
        ),
        ("[node.n1]\nexe = 'python'", "bad_relation", "wanted an absolute path"),
        ("[node.n1]\np2p_port = 2000\nrpc_port = 2000", "bad_relation", "port 2000 of two"),
        ("[devnet]\nbase_port = 80\n[node.n1]", "bad_relation", "80, wanted 1024 to 65534"),
        ("[node.n1]\n[load]\ntasks = 1", "bad_relation", "0 nodes of role miner, wanted 2"),
        ("[node.n1]\n[[check]]\nexpr = 'epoch > 1 on n2'", "unknown_name", "n2, wanted n1"),
        ("[node.n1]\n[[link]]\nbetween=['n1','n1']", "bad_relation", "a link like any other"),
        ("[node.n1]\n[zones.a]\nto = {b = '1s'}", "unknown_name", "[zones.a] to in net.toml: b"),
        (
            "[node.n1]\n[zones.a]\nto = {b = '1s'}\n[zones.b]\nto = {a = '2s'}",
            "bad_relation",
            "a to b in two lengths",
        ),
        (
            "[devnet]\nprovider = 'sim'\n[group.n]\ncount = 2\n"
            "[[event]]\ndo = 'corrupt'\nat = '1s'\ntarget = ['n1']",
            "bad_relation",
            "[[event]] 1 in net.toml: corrupt, wanted provider = process",
        ),
        (
            "[node.n1]\n[[event]]\ndo = 'corrupt'\nat = '1s'\ntarget = ['n1']",
            "bad_relation",
            "corrupt, of a node that is alone, wanted another one",
        ),
        (
            "[devnet]\nprovider = 'sim'\n[node.n1]\nconfig.store.cache_mib = 9",
            "bad_relation",
            "store.cache_mib, wanted provider = process",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(text: str, code: str, line: str) -> None:
    error = refuse(text)
    assert error.code == code
    assert line in str(error)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ("do = 'heal'", "at and when, wanted one of them"),
        ("do = 'heal'\nat = '1s'\nwhen = 'epoch > 1'", "at and when, wanted one of them"),
        ("do = 'kill'\nat = '1s'", "no target"),
        ("do = 'kill'\nat = '1s'\ntarget = ['n7']", "n7, wanted n1, n2"),
        ("do = 'heal'\nat = '1s'\ntarget = ['n1']", "a target, wanted none for heal"),
        ("do = 'restart'\nat = '1s'\ntarget = ['n1']\nfor = '1s'", "for, wanted kill or stop"),
        ("do = 'disk_full'\nat = '1s'\ntarget = ['n1']", "disk_full for ever, wanted for"),
        ("do = 'upgrade'\nat = '1s'\ntarget = ['n1']", "exe or env, wanted one of them"),
        ("do = 'kill'\nat = '1s'\ntarget = ['n1']\nenv.A = 'b'", "exe or env, wanted one of them"),
        ("do = 'upgrade'\nat = '1s'\ntarget = ['n1']\nexe = 'python'", "exe, wanted an absolute"),
        ("do = 'drop_topic'\nat = '1s'\ntarget = ['n1']", "drop_topic for ever, wanted for"),
        ("do = 'partition'\nat = '1s'", "groups, wanted them for partition"),
        ("do = 'partition'\nat = '1s'\ngroups = 'n1,n2'", "groups in net.toml: everybody in one"),
        ("do = 'clock'\nat = '1s'\ntarget = ['n1']", "offset, wanted it for clock"),
        ("do = 'heal'\nat = '1s'\nloss = '5%'", "what a link is like, wanted do = link"),
        (
            "do = 'link'\nat = '1s'\ntarget = ['n1','n2']\nloss = '5%'",
            "wanted network = namespaces",
        ),
        ("do = 'load'\nat = '1s'", "tasks, wanted them for load"),
        ("do = 'heal'\nat = '1s'\nlatency = '1s'", "what a link is like, wanted do = link"),
        ("do = 'heal'\nat = '1s'\none_way = true", "one_way, wanted link, partition"),
        ("do = 'link'\nat = '1s'\ntarget = ['n1']\nlatency = '1s'", "target, wanted two ends"),
        ("do = 'heal'\nwhen = 'epoch > 1 on n9'", "n9, wanted n1, n2"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused(event: str, line: str) -> None:
    assert line in str(refuse(f"[node.n1]\n[node.n2]\n[[event]]\n{event}"))


def test_zones_and_links_become_rules_for_each_way() -> None:
    manifest = read("""
        [zones.eu]
        inside = "2ms"
        jitter = "1ms"
        to = { us = "40ms" }
        [zones.us]
        [node.a]
        zone = "eu"
        [node.b]
        zone = "eu"
        [node.c]
        zone = "us"
        [node.d]
        [[link]]
        between = ["c", "eu"]
        bandwidth = "64kB"
        one_way = true
    """)
    plans = list_link_plans(manifest, check_relations(manifest))
    assert plans == {
        ("a", "b"): LinkPlan(LinkRule(latency_ms=2, jitter_ms=1)),
        ("b", "a"): LinkPlan(LinkRule(latency_ms=2, jitter_ms=1)),
        ("a", "c"): LinkPlan(LinkRule(latency_ms=40, jitter_ms=1)),
        ("b", "c"): LinkPlan(LinkRule(latency_ms=40, jitter_ms=1)),
        ("c", "a"): LinkPlan(LinkRule(bandwidth=64_000)),
        ("c", "b"): LinkPlan(LinkRule(bandwidth=64_000)),
    }


@given(st.integers(0, 10**12))
def test_amounts_with_a_unit_read_back(amount: int) -> None:
    for kind in (DURATION, OFFSET, SIZE):
        try:
            typed = kind.read(kind.write(amount))
        except BadValue:
            # More digits than a person would write.
            assert amount >= 10**9
        else:
            assert typed == amount
    assert OFFSET.read(OFFSET.write(-7)) == -7


@pytest.mark.parametrize(
    ("kind", "text", "typed"),
    [
        (DURATION, "2m", 120_000),
        (DURATION, "0s", 0),
        (OFFSET, "-1h", -3_600_000),
        (OFFSET, "30s", 30_000),
        (SIZE, "3kB", 3_000),
        (SIZE, "1MB", 1_000_000),
        (SHARE, "20%", 200),
        (SHARE, "0.5%", 5),
        (SHARE, "0%", 0),
    ],
)
def test_amounts_are_written_as_people_do(kind: Kind, text: str, typed: int) -> None:
    assert kind.read(text) == typed


def test_a_devnet_is_founded_as_its_manifest_says(tmp_path: Path) -> None:
    manifest = read(
        FIVE
        + """
        [genesis]
        balance = 7
        spare_accounts = 2
        sealers = ["n1", "far"]
        params = { late_epochs = 9 }
        [devnet]
        seed = 3
        [node.odd]
        clock_offset = "-2s"
        rpc_port = 18999
        env = { LC_ALL = "C" }
        """
    )
    devnet = found(tmp_path / "net", manifest)
    again = Devnet.load(devnet.root)
    assert again.roster == devnet.roster
    assert again.read_manifest() == manifest
    assert [peer.name for peer in again.roster.peers if peer.seals] == ["n1", "far1", "far2"]
    genesis = read_genesis(devnet.genesis_path)
    assert genesis.params.late_epochs == 9
    assert {one.balance for one in genesis.allocations} == {7 * 10**9}
    assert len(genesis.allocations) == 6 + 2
    config = load_config(devnet.data_paths("n2").config, {}).config
    assert (config.sync.sessions_max, config.sync.status_interval_ms) == (2, 900)
    odd = again.peer("odd")
    assert (odd.rpc_port, odd.env) == (18_999, {"LC_ALL": "C"})
    config = load_config(devnet.data_paths("odd").config, {}).config
    assert (config.dev.clock_offset_ms, config.rpc.port) == (-2_000, 18_999)


def check_schema(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> None:
    """Check the part of JSON Schema that decides which keys there may be."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        patterns = list(schema.get("patternProperties", {}).values())
        further = schema.get("additionalProperties")
        assert set(schema.get("required", ())) <= set(value)
        for key, item in value.items():
            if key in schema.get("properties", {}):
                check_schema(schema["properties"][key], item, root)
            elif patterns:
                check_schema(patterns[0], item, root)
            else:
                assert isinstance(further, dict), key
                check_schema(further, item, root)
    elif isinstance(value, list):
        assert schema["type"] == "array"
        for item in value:
            check_schema(schema["items"], item, root)
    elif "enum" in schema:
        assert value in schema["enum"]
    else:
        kinds = {bool: "boolean", int: "integer", str: "string"}
        assert schema["type"] == kinds[type(value)]


@pytest.mark.parametrize("name", list_shipped())
def test_the_schema_knows_every_key_of_every_shipped_manifest(name: str) -> None:
    schema = build_schema()
    check_schema(schema, tomllib.loads(find_manifest(name).read_text()), schema)


def test_the_commands_print_schema_manifests_and_random_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["devnet", "schema"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == build_schema()
    assert run_command(["devnet", "manifests"]) == Exit.OK
    assert capsys.readouterr().out.split() == list(list_shipped())
    assert run_command(["devnet", "gen", "--seed", "5"]) == Exit.OK
    assert read(capsys.readouterr().out) == make_random_manifest(5)


@pytest.mark.parametrize("text", ["100%", "5", "1.25%", "-1%", "5 %", ""])
def test_a_share_is_less_than_all(text: str) -> None:
    with pytest.raises(BadValue, match="a share such as 5%"):
        SHARE.read(text)


def test_links_of_namespaces_may_lose_packets() -> None:
    manifest = read("""
        [devnet]
        network = "namespaces"
        [group.n]
        count = 2
        [[link]]
        between = ["n1", "n2"]
        loss = "12.5%"
        one_way = true
    """)
    assert read(write_manifest(manifest)) == manifest
    plans = list_link_plans(manifest, check_relations(manifest))
    assert plans == {("n1", "n2"): LinkPlan(loss=125)}


def test_a_machine_without_the_programs_founds_nothing_in_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    root = tmp_path / "net"
    with pytest.raises(DevnetError, match=r"no_namespaces: .*network = \"loopback\""):
        found(root, read("[devnet]\nnetwork = 'namespaces'\n[node.n1]"))
    assert not root.exists()


@pytest.mark.parametrize("words", [["up", "fivee"], ["run", "fivee"], ["run", "no/such.toml"]])
def test_a_manifest_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run_command(["devnet", *words, "--dir", str(tmp_path / "net")]) == Exit.USAGE
    assert "no_manifest" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


def test_fixed_ports_are_counted_from_the_first(tmp_path: Path) -> None:
    text = "[devnet]\nbase_port = 18700\n[group.n]\ncount = 2\n[node.odd]\np2p_port = 18800\n"
    devnet = found(tmp_path / "net", read(text))
    assert [(peer.name, peer.p2p_port, peer.rpc_port) for peer in devnet.roster.peers] == [
        ("odd", 18_800, 18_701),
        ("n1", 18_702, 18_703),
        ("n2", 18_704, 18_705),
    ]
