"""A machine whose `ip`, `tc` and `nft` are written here: namespaces, devices, queues, rules.

It takes what `devnet.namespaces.commands` writes and refuses what a kernel refuses: what is there
twice, what is not there, what it lacks. It passes the contract that the real programs pass.
"""

import copy
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from devnet.namespaces.runner import CommandError

KERNEL = frozenset({"netns", "bridge", "veth", "nft", "htb", "tbf", "u32", "numgen", "addr"})
"""What a kernel can do; `netem` besides, if it is rich."""
PROGRAMS = frozenset({"ip", "tc", "nft"})

_PAIR = re.compile(r"\{ (\S+) \. (\S+)(?: : jump (\S+))? \}")


@dataclass
class Space:
    """One namespace.

    Attributes:
        devices: by name, with the master and the addresses of each.
        peers: of a veth: the namespace and the name of its other end.
        queues: by (device, kind of thing, name): its text.
        cuts, ways, chains: of the table; `chains` is None without one.
    """

    devices: dict[str, list[str]] = field(default_factory=lambda: {"lo": []})
    peers: dict[str, tuple[str, str]] = field(default_factory=dict)
    queues: dict[tuple[str, str, str], str] = field(default_factory=dict)
    cuts: set[tuple[str, str]] = field(default_factory=set)
    ways: dict[tuple[str, str], str] = field(default_factory=dict)
    chains: dict[str, list[str]] | None = None


class FakeRunner:
    """Runs programs of a machine that is not there.

    Attributes:
        abilities: of its kernel.
        programs: those that are installed.
        spaces: its namespaces.
        ran: the words of every call.
    """

    def __init__(self, *lacks: str, abilities: frozenset[str] = KERNEL) -> None:
        self.abilities = abilities.difference(lacks)
        self.programs = PROGRAMS.difference(lacks)
        self.spaces: dict[str, Space] = {}
        self.ran: list[tuple[str, ...]] = []

    def run(self, words: Sequence[str], lines: Sequence[str] = ()) -> str:
        """See `devnet.namespaces.runner.Runner`."""
        self.ran.append(tuple(words))
        if words[0] not in self.programs:
            raise CommandError("no_program", words[0], f"a program {words[0]}")
        match list(words):
            case ["ip", "netns", "list"]:
                return "".join(f"{name} (id: 0)\n" for name in self.spaces)
            case ["ip", "netns", verb, name]:
                return self._netns(verb, name)
            case ["ip", "-n", name, "-batch", "-"]:
                space = self._find(name)
                return self._run_each(lines, lambda line: self._ip(name, space, line))
            case ["tc", "-n", name, "-batch", "-"]:
                space = self._find(name)
                return self._run_each(lines, lambda line: self._tc(space, line))
            case ["ip", "netns", "exec", name, "nft", *rest]:
                space = self._find(name)
                if "nft" not in self.programs:
                    raise self._refuse('exec of "nft" failed: No such file or directory')
                if rest != ["-f", "-"]:
                    return self._show(space)
                return self._load(name, lines)
        raise self._refuse(f"unknown: {words}")

    def _refuse(self, said: str) -> CommandError:
        return CommandError("command_failed", said, "something else")

    def _require(self, holds: bool, said: str) -> None:
        if not holds:
            raise self._refuse(said)

    def _run_each(self, lines: Sequence[str], run: Callable[[list[str]], None]) -> str:
        # Like the real ones: what stands before a line that is refused has happened.
        for line in lines:
            run(line.split())
        return ""

    def _find(self, name: str) -> Space:
        self._require(name in self.spaces, f'Cannot open network namespace "{name}"')
        return self.spaces[name]

    def _netns(self, verb: str, name: str) -> str:
        self._require("netns" in self.abilities, "Operation not permitted")
        self._require((name in self.spaces) == (verb == "del"), f"{name}: File exists, or not")
        if verb == "add":
            self.spaces[name] = Space()
            return ""
        for device in list(self.spaces[name].peers):
            self._unplug(name, device)
        del self.spaces[name]
        return ""

    def _unplug(self, name: str, device: str) -> None:
        other, far = self.spaces[name].peers.pop(device)
        del self.spaces[name].devices[device]
        queues = self.spaces[name].queues
        self.spaces[name].queues = {at: text for at, text in queues.items() if at[0] != device}
        if far in self.spaces[other].peers:
            self._unplug(other, far)

    def _ip(self, name: str, space: Space, words: list[str]) -> None:
        match words:
            case ["link", "add", "name", device, "type", kind, *rest]:
                self._require(kind in self.abilities, "Unknown device type")
                self._require(device not in space.devices, "File exists")
                space.devices[device] = []
                if kind == "veth":
                    far, other = rest[2], rest[4]
                    self._find(other).devices[far] = []
                    space.peers[device] = (other, far)
                    self.spaces[other].peers[far] = (name, device)
            case ["link", "set", device, *_]:
                self._require(device in space.devices, f'Cannot find device "{device}"')
            case ["link", "del", device]:
                self._require(device in space.peers, f'Cannot find device "{device}"')
                self._unplug(name, device)
            case ["addr", "add", address, "dev", device]:
                self._require("addr" in self.abilities, "Not supported")
                self._require(address not in space.devices[device], "File exists")
                space.devices[device].append(address)
            case _:
                raise self._refuse(f"Object {words} is unknown")

    def _tc(self, space: Space, words: list[str]) -> None:
        what, verb = words[:2]
        device = words[words.index("dev") + 1]
        self._require(device in space.devices, f'Cannot find device "{device}"')
        for kind in ("htb", "tbf", "u32", "netem"):
            self._require(kind not in words or kind in self.abilities, f"{kind} is unknown")
        name = {"qdisc": "handle", "class": "classid", "filter": "prio"}[what]
        own = words[words.index(name) + 1] if name in words else "root"
        if what == "qdisc" and verb == "del":
            places = [place for place in space.queues if place[0] == device]
            self._require(bool(places), "No such file or directory")
            for place in places:
                del space.queues[place]
            return
        place = (device, what, own)
        if verb == "del":
            self._require(place in space.queues, "No such file or directory")
            used = [text for text in space.queues.values() if f"flowid {own}" in f"{text} "]
            self._require(what != "class" or not used, "Device or resource busy")
            below = [at for at, text in space.queues.items() if at[1] == "qdisc" and own in text]
            for at in [place, *below] if what == "class" else [place]:
                del space.queues[at]
            return
        self._require(verb == "replace" or place not in space.queues, "File exists")
        if what != "qdisc":
            self._require((device, "qdisc", "1:") in space.queues, "Parent does not exist")
        space.queues[place] = " ".join(words[2:])

    def _load(self, name: str, lines: Sequence[str]) -> str:
        # All or nothing.
        self._require("nft" in self.abilities, "Operation not supported")
        space = copy.deepcopy(self._find(name))
        if lines and lines[0].startswith("table"):
            space.chains = space.chains or {}
        else:
            self._run_each(lines, lambda words: self._nft(space, words))
        self.spaces[name] = space
        return ""

    def _nft(self, space: Space, words: list[str]) -> None:
        chains = space.chains
        if chains is None:
            raise self._refuse("No such file or directory")
        pair = _PAIR.search(" ".join(words))
        match [*words[:2], words[4]]:
            case ["add", "element", "cuts"] if pair:
                space.cuts.add((pair[1], pair[2]))
            case ["delete", "element", "cuts"] if pair:
                self._require((pair[1], pair[2]) in space.cuts, "No such element")
                space.cuts.remove((pair[1], pair[2]))
            case ["flush", "set", "cuts"]:
                space.cuts.clear()
            case ["add", "element", "ways"] if pair:
                self._require(pair[3] in chains, "No such chain")
                space.ways[(pair[1], pair[2])] = pair[3]
            case ["delete", "element", "ways"] if pair:
                self._require((pair[1], pair[2]) in space.ways, "No such element")
                del space.ways[(pair[1], pair[2])]
            case ["add", "chain", chain]:
                chains.setdefault(chain, [])
            case ["flush", "chain", chain]:
                chains[chain].clear()
            case ["delete", "chain", chain]:
                self._require(chain not in space.ways.values(), "Device or resource busy")
                del chains[chain]
            case ["add", "rule", chain]:
                self._require("numgen" in self.abilities, "No such file or directory")
                chains[chain].append(" ".join(words[5:]))
            case _:
                raise self._refuse("syntax error")

    def _show(self, space: Space) -> str:
        self._require(space.chains is not None, "No such file or directory")
        cuts = [{"concat": list(pair)} for pair in sorted(space.cuts)]
        ways = [
            [{"concat": list(pair)}, {"jump": {"target": chain}}]
            for pair, chain in sorted(space.ways.items())
        ]
        items = [
            {"metainfo": {"json_schema_version": 1}},
            {"set": {"name": "cuts", **({"elem": cuts} if cuts else {})}},
            {"map": {"name": "ways", **({"elem": ways} if ways else {})}},
        ]
        return json.dumps({"nftables": items})
