"""A real process is killed while it writes: what it acknowledged is there, and nothing is half."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.rocks import RocksEngine

NETWORK = b"testnet0"
ROWS = 20
ROUNDS = 5

WRITER = """
import sys
from pathlib import Path
from storage.engine import Batch
from storage.rocks import RocksEngine

engine = RocksEngine(Path(sys.argv[1]), network=b"testnet0")
number = sum(1 for _ in engine.scan("meta"))
while True:
    batch = Batch()
    for row in range(20):
        table = ("transactions", "author_chains")[row % 2]
        batch.put(table, number.to_bytes(8, "big") + bytes([row]), bytes(300))
    batch.put("meta", number.to_bytes(8, "big"), b"")
    engine.write(batch, sync=True)
    print(number, flush=True)
    number += 1
"""


@pytest.mark.wire
def test_every_acknowledged_batch_survives_kill_9_and_none_is_half(tmp_path: Path) -> None:
    chance = random.Random(1)
    acknowledged = -1
    for _ in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(1, 400)):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            # What it said before it died counts as well.
            for line in writer.stdout:
                acknowledged = int(line) if line.endswith("\n") else acknowledged
        engine = RocksEngine(tmp_path / "db", network=NETWORK)
        batches = [int.from_bytes(key, "big") for key, _ in engine.scan("meta")]
        assert batches == list(range(len(batches)))
        assert acknowledged < len(batches) <= acknowledged + 2
        for table in ("transactions", "author_chains"):
            rows = [key[:8] for key, _ in engine.scan(table)]
            assert len(rows) == len(batches) * ROWS // 2
        engine.close()
