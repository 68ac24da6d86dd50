"""Five processes over libp2p: from the call that submits to visible everywhere; and a burst."""

import json
import socket
import subprocess
import sys
from time import monotonic
from typing import Any

from tests.benchmarks.common import report

PEERS = 5
SINGLES = 200
GAP_S = 0.05
BURST = 2_000
PINGS = 2_000


class Process:
    """One peer in a process of its own."""

    def __init__(self, place: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.propagation_peer", str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.address = self.read()["address"]

    def tell(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        try:
            self.tell(stop=True)
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def spread(processes: list[Process], count: int, gap_s: float) -> tuple[list[float], float]:
    """Publish at the first peer and wait until all the others have everything.

    Returns:
        For each transaction the seconds until the last peer had it, sorted; and the seconds from
        the first call to the last arrival.
    """
    processes[0].tell(publish=count, gap_s=gap_s)
    for process in processes[1:]:
        process.tell(**{"await": count})
    started = processes[0].read()["started"]
    arrived = [process.read()["arrived"] for process in processes[1:]]
    last = {tx_id: max(times[tx_id] for times in arrived) for tx_id in started}
    took = sorted(last[tx_id] - start for tx_id, start in started.items())
    return took, max(last.values()) - min(started.values())


def measure_loopback_ms() -> float:
    """Return the median round trip of 400 bytes over a loopback socket, in milliseconds."""
    listener = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    took = []
    for _ in range(PINGS):
        start = monotonic()
        one.sendall(b"x" * 400)
        other.sendall(other.recv(400, socket.MSG_WAITALL))
        one.recv(400, socket.MSG_WAITALL)
        took.append(monotonic() - start)
    for connection in (one, other, listener):
        connection.close()
    return sorted(took)[PINGS // 2] * 1_000


def main() -> None:
    processes: list[Process] = []
    try:
        for place in range(PEERS):
            processes.append(Process(place))
        for place, process in enumerate(processes):
            process.tell(dial=[other.address for other in processes[:place]])
            process.read()
        spread(processes, 20, GAP_S)
        singles, _ = spread(processes, SINGLES, GAP_S)
        burst, burst_s = spread(processes, BURST, 0.0)
    finally:
        for process in processes:
            process.end()
    report(
        "propagation",
        singles[len(singles) // 2] * 1_000,
        "ms",
        measure_loopback_ms(),
        "median round trip of 400 bytes over a loopback socket",
        p99_ms=singles[len(singles) * 99 // 100] * 1_000,
        burst_transactions=BURST,
        burst_p50_ms=burst[len(burst) // 2] * 1_000,
        burst_p99_ms=burst[len(burst) * 99 // 100] * 1_000,
        burst_visible_everywhere_ms=burst_s * 1_000,
        burst_per_second=BURST / burst_s,
        processes=PEERS,
    )


if __name__ == "__main__":
    main()
