"""Network namespaces of this machine, as tests look at them: who is there, what gets through."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devnet.errors import DevnetError
from devnet.namespaces.runner import SystemRunner, check_machine
from tests.support.runner_contract import list_namespaces

LIMIT_S = 60.0
PAYLOAD = 1_000

SEND = """
import json, socket, sys, time
host, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(count):
        sock.sendto(bytes(size), (host, 9))
"""
CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
"""
TAKE = """
import socket, sys, time
with socket.create_server((sys.argv[1], 5001)) as server:
    print("here", flush=True)
    stream, _ = server.accept()
    total, began = len(stream.recv(1 << 16)), time.monotonic()
    first = total
    while data := stream.recv(1 << 16):
        total += len(data)
    print(total - first, time.monotonic() - began, flush=True)
"""
GIVE = """
import socket, sys
with socket.create_connection((sys.argv[1], 5001)) as stream:
    stream.sendall(bytes(int(sys.argv[2])))
"""


def explain_lack() -> str:
    """Return why this machine cannot have a devnet in namespaces; nothing if it can."""
    try:
        check_machine()
    except DevnetError as error:
        return str(error)
    return ""


needs_namespaces = pytest.mark.skipif(bool(explain_lack()), reason=explain_lack())


def list_there() -> set[str]:
    """Return the namespaces of this machine."""
    return list_namespaces(SystemRunner())


def list_own(switch: str) -> set[str]:
    """Return those of a devnet, by the name of its switch."""
    return {name for name in list_there() if name == switch or name.startswith(f"{switch}-")}


@contextmanager
def nothing_left(switch: str) -> Iterator[None]:
    """Hold that no namespace of a devnet is there before the block, nor after it."""
    assert not list_own(switch)
    yield
    assert not list_own(switch)


def run_in(namespace: str, script: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a namespace to its end."""
    return subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-S", "-c", script, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
    )


def can_connect(namespace: str, host: str, port: int, limit_s: float = 0.5) -> bool:
    """Tell whether a TCP connection can be made from a namespace."""
    return run_in(namespace, CONNECT, host, port, limit_s).returncode == 0


def send_packets(namespace: str, host: str, count: int) -> None:
    """Send so many UDP packets to an address, as fast as they go."""
    sent = run_in(namespace, SEND, host, count, PAYLOAD)
    assert sent.returncode == 0, sent.stderr


def measure_rate(source: str, target: str, host: str, size: int) -> float:
    """Send bytes over TCP from a namespace to one with an address; return bytes a second."""
    words = ["ip", "netns", "exec", target, sys.executable, "-S", "-c", TAKE, host]
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8") as taker:
        try:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "here\n"
            given = run_in(source, GIVE, host, size)
            assert given.returncode == 0, given.stderr
            total, seconds = taker.stdout.readline().split()
        finally:
            taker.kill()
    return int(total) / float(seconds)


def read_drops(switch: str) -> dict[str, int]:
    """Return how many packets the rules of each chain of a switch have dropped."""
    words = ["ip", "netns", "exec", switch, "nft", "-j", "list", "table", "bridge", "minesync"]
    drops: dict[str, int] = {}
    for item in json.loads(SystemRunner().run(words))["nftables"]:
        rule = item.get("rule")
        if rule is not None and {"drop": None} in rule["expr"]:
            counters = [part["counter"]["packets"] for part in rule["expr"] if "counter" in part]
            drops[rule["chain"]] = drops.get(rule["chain"], 0) + sum(counters)
    return drops
