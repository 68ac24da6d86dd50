"""What the tables of a manifest must say of each other, and of the provider that is to run it."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from devnet.conditions import ANY, list_leaves, parse_condition
from devnet.errors import DevnetError
from devnet.functions import is_function
from devnet.genesis import make_params
from devnet.groups import parse_groups
from devnet.layout import OWN_FOLDERS
from devnet.manifests.lineup import PLAIN, Lineup, line_up, name_members, plan_link
from devnet.manifests.reader import ManifestError
from devnet.manifests.tables import (
    LASTING,
    MINER,
    NAMESPACES,
    NODES_MAX,
    OBSERVER,
    PASSING,
    PORT_LEAST,
    PORT_MOST,
    REAL,
    SIM,
    TARGETED,
    VALIDATOR,
    EventTable,
    LinkFields,
    Manifest,
    NodeTable,
)
from node.text import suggest
from protocol.charter_records import SEALERS_MAX

MINERS_MIN = 2
"""For work: one publishes, another answers."""

SET_BY_DEVNET = {
    "p2p.listen": "p2p_port",
    "p2p.bootstrap": "dials",
    "rpc.enabled": "nothing: the devnet needs it",
    "rpc.host": "nothing: a devnet is on loopback",
    "rpc.port": "rpc_port",
    "rpc.expose": "nothing: a devnet is on loopback",
    "roles.account": "nothing: each node has an account",
    "roles.miner": "role",
    "roles.validator": "role",
    "sealer.enabled": "genesis.sealers",
    "sealer.account": "nothing: each node has an account",
    "dev.faults": "nothing: faults are what a devnet is for",
    "dev.clock_offset_ms": "clock_offset",
}
"""Options of a node that a field of the manifest decides."""
REAL_ONLY = (
    "p2p.",
    "rpc.",
    "log.",
    "store.",
    "worker.command",
    "worker.scorer_command",
    "worker.grace_ms",
    "worker.failures_max",
    "worker.rest_ms",
)
"""Beginnings of options that mean nothing without a process, a disk, a socket or a program."""


def check_relations(manifest: Manifest, where: str = "the manifest") -> Lineup:
    """Return who takes part, if everything fits together.

    Args:
        manifest: each of its values is right by itself.
        where: its file, for errors.

    Raises:
        ManifestError: `name_twice`, `unknown_name`, `bad_relation`, `bad_param`.
    """
    return _Checker(manifest, where).check()


class _Checker:
    def __init__(self, manifest: Manifest, where: str) -> None:
        self._manifest = manifest
        self._where = where

    def check(self) -> Lineup:
        manifest = self._manifest
        self._check_names()
        self._check_network()
        known = self._list_names()
        self._require_known("[genesis] sealers", manifest.genesis.sealers, known)
        for place, own in self._list_tables():
            self._require_known(f"{place} dials", own.dials or (), known)
            if own.zone:
                self._require_known(f"{place} zone", [own.zone], manifest.zones)
            self._check_node(place, own)
        lineup = line_up(manifest)
        self._check_sealers(lineup)
        self._check_perturbed(lineup)
        self._check_dials(lineup)
        self._check_zones()
        self._check_ports(lineup)
        for number, link in enumerate(manifest.link, start=1):
            self._require_known(f"[[link]] {number} between", link.between, known)
            if plan_link(link) == PLAIN:
                raise self._error(f"[[link]] {number}", "a link like any other", "a latency, ...")
            self._check_loss(f"[[link]] {number}", link)
        for number, event in enumerate(manifest.event, start=1):
            self._require_known(f"[[event]] {number} target", event.target, known)
            self._check_event(f"[[event]] {number}", event, lineup)
        for number, one in enumerate(manifest.check, start=1):
            self._check_condition(f"[[check]] {number} expr", one.expr, lineup)
        try:
            make_params(manifest.genesis.params)
        except DevnetError as error:
            found = f"[genesis] params in {self._where}: {error.found}"
            raise ManifestError(error.code, found, error.wanted) from error
        self._check_work(lineup)
        return lineup

    def _check_network(self) -> None:
        devnet = self._manifest.devnet
        if devnet.network == NAMESPACES and devnet.provider == SIM:
            found = f"network = {NAMESPACES}, and provider = {SIM}"
            raise self._error("[devnet]", found, "processes, which live in namespaces")

    # ------------------------------------------------------------------------- who there is

    def _list_tables(self) -> Iterable[tuple[str, NodeTable]]:
        for name, own in self._manifest.node.items():
            yield f"[node.{name}]", own
        for name, group in self._manifest.group.items():
            yield f"[group.{name}]", group

    def _list_names(self) -> list[str]:
        manifest = self._manifest
        names = [*manifest.node, *manifest.group, *manifest.zones]
        for group, own in manifest.group.items():
            names += name_members(group, own)
        return names

    def _check_names(self) -> None:
        names = self._list_names()
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            wanted = "each name once, for a node, a group or a zone"
            raise ManifestError("name_twice", f"{twice[0]} in {self._where}", wanted)
        for name in (ANY, *OWN_FOLDERS):
            if name in names:
                raise ManifestError(
                    "name_twice", f"{name} in {self._where}", "a name of no meaning"
                )
        count = len(self._manifest.node) + sum(one.count for one in self._manifest.group.values())
        if not 1 <= count <= NODES_MAX:
            raise self._error("[node] and [group]", f"{count} nodes", f"1 to {NODES_MAX}")

    def _check_node(self, place: str, own: NodeTable) -> None:
        if own.start_at_ms and own.start_when:
            raise self._error(place, "start_at and start_when", "one of them")
        if own.byzantine and own.role != OBSERVER:
            raise self._error(place, f"byzantine and role = {own.role}", "no honest role")
        for key in own.config:
            if key in SET_BY_DEVNET:
                raise self._error(f"{place} config", key, SET_BY_DEVNET[key])
        if self._manifest.devnet.provider == SIM:
            real = [
                key
                for key, value in own.config.items()
                if key.startswith(REAL_ONLY) and not is_function(str(value))
            ]
            real += [key for key in ("exe", "env") if getattr(own, key)]
            if real:
                raise self._error(place, real[0], "provider = process, where it means something")
        if own.exe and not Path(own.exe).is_absolute():
            raise self._error(f"{place} exe", own.exe, "an absolute path")

    def _check_perturbed(self, lineup: Lineup) -> None:
        for one in lineup.nodes:
            if "disconnect" in one.table.perturb and len(lineup.nodes) == 1:
                found = "disconnect, of a node that is alone"
                raise self._error(f"[node.{one.name}] perturb", found, "another node")

    def _check_sealers(self, lineup: Lineup) -> None:
        sealing = sum(one.seals for one in lineup.nodes)
        if sealing > SEALERS_MAX:
            raise self._error("[genesis] sealers", f"{sealing} sealers", f"at most {SEALERS_MAX}")
        if all(one.is_late for one in lineup.nodes):
            raise self._error("[node]", "no node that starts at once", "one at least")
        for one in lineup.nodes:
            if one.table.start_when:
                place = f"[node.{one.name}] start_when"
                self._check_condition(place, one.table.start_when, lineup)

    def _check_dials(self, lineup: Lineup) -> None:
        dials = {one.name: set(one.dials) for one in lineup.nodes}
        for one in lineup.nodes:
            both = next((other for other in one.dials if one.name in dials[other]), None)
            if both is not None:
                found = f"{one.name} and {both} dial each other"
                raise self._error("dials", found, "one end of each link that dials")

    def _check_zones(self) -> None:
        zones = self._manifest.zones
        for name, zone in zones.items():
            self._require_known(f"[zones.{name}] to", zone.to, zones)
            if name in zone.to:
                raise self._error(f"[zones.{name}] to", name, "inside, for its own nodes")
            for other, latency_ms in zone.to.items():
                if zones[other].to.get(name, latency_ms) != latency_ms:
                    found = f"{name} to {other} in two lengths"
                    raise self._error("[zones]", found, "one, or [[link]] with one_way")

    def _check_ports(self, lineup: Lineup) -> None:
        base = self._manifest.devnet.base_port
        if base and not PORT_LEAST <= base <= PORT_MOST + 1 - 2 * len(lineup.nodes):
            wanted = f"{PORT_LEAST} to {PORT_MOST + 1 - 2 * len(lineup.nodes)}"
            raise self._error("[devnet] base_port", str(base), wanted)
        fixed = [port for one in lineup.nodes for port in (one.table.p2p_port, one.table.rpc_port)]
        twice = [port for port, count in Counter(fixed).items() if port and count > 1]
        if twice:
            raise self._error("[node]", f"port {twice[0]} of two", "a port of its own for each")

    # --------------------------------------------------------------------- what is to happen

    def _check_event(self, place: str, event: EventTable, lineup: Lineup) -> None:
        rules: tuple[tuple[bool, str, str], ...] = (
            ((event.at_ms is None) == (not event.when), "at and when", "one of them"),
            (event.do in TARGETED and not event.target, "no target", "whom it is done to"),
            (event.do == "link" and len(event.target) != 2, "target", "two ends"),
            (
                bool(event.target) and event.do not in (*TARGETED, "link"),
                "a target",
                f"none for {event.do}",
            ),
            (event.for_ms is not None and event.do not in LASTING, "for", " or ".join(LASTING)),
            (event.for_ms is None and event.do in PASSING, f"{event.do} for ever", "for"),
            (
                (event.do == "upgrade") != bool(event.exe or event.env),
                "exe or env",
                "one of them for upgrade",
            ),
            (bool(event.exe) and not Path(event.exe).is_absolute(), "exe", "an absolute path"),
            (
                event.do in REAL and self._manifest.devnet.provider == SIM,
                event.do,
                "provider = process, where it means something",
            ),
            (
                event.do == "corrupt" and len(lineup.nodes) == 1,
                "corrupt, of a node that is alone",
                "another one, from which it refills",
            ),
            ((event.do == "partition") != bool(event.groups), "groups", "them for partition"),
            ((event.do == "clock") != bool(event.offset_ms), "offset", "it for clock"),
            ((event.do == "load") != bool(event.tasks), "tasks", "them for load"),
            (
                plan_link(event) != PLAIN and event.do != "link",
                "what a link is like",
                "do = link",
            ),
            (event.one_way and event.do not in ("link", "partition"), "one_way", "link, partition"),
        )
        for is_wrong, found, wanted in rules:
            if is_wrong:
                raise self._error(place, found, wanted)
        self._check_loss(place, event)
        if event.when:
            self._check_condition(f"{place} when", event.when, lineup)
        if event.groups:
            try:
                groups = parse_groups(lineup.names, event.groups, lineup.sets)
            except DevnetError as error:
                raise self._error(f"{place} groups", error.found, error.wanted) from error
            if event.one_way and len(groups) != 2:
                raise self._error(f"{place} groups", f"{len(groups)} groups", "two for one_way")

    def _check_loss(self, place: str, fields: LinkFields) -> None:
        if fields.loss and self._manifest.devnet.network != NAMESPACES:
            found = f"loss, and network = {self._manifest.devnet.network}"
            raise self._error(place, found, f"network = {NAMESPACES} in [devnet]")

    def _check_condition(self, place: str, text: str, lineup: Lineup) -> None:
        for leaf in list_leaves(parse_condition(text)):
            places = [name for name in leaf.places if name != ANY]
            self._require_known(f"{place}: {text}", places, lineup.names)

    def _check_work(self, lineup: Lineup) -> None:
        tasks = self._manifest.load.tasks
        tasks += sum(event.tasks for event in self._manifest.event)
        if not tasks:
            return
        roles = Counter(one.table.role for one in lineup.nodes)
        params = make_params(self._manifest.genesis.params)
        needs: tuple[tuple[str, int], ...] = (
            (MINER, MINERS_MIN),
            (VALIDATOR, params.reviewers_min),
        )
        for role, least in needs:
            if roles[role] < least:
                raise self._error("[load] tasks", f"{roles[role]} nodes of role {role}", str(least))
        if not lineup.publishers:
            raise self._error("[load] tasks", "no miner that publishes", "one at least")

    def _require_known(self, place: str, names: Iterable[str], known: Iterable[str]) -> None:
        listed = list(known)
        for name in names:
            if name not in listed:
                wanted = (", ".join(listed[:8]) or "none is there") + suggest(name, listed)
                raise ManifestError("unknown_name", f"{place} in {self._where}: {name}", wanted)

    def _error(self, place: str, found: str, wanted: str) -> ManifestError:
        return ManifestError("bad_relation", f"{place} in {self._where}: {found}", wanted)
