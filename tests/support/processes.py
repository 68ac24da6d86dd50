"""A real node in a process of its own, and people who sign elsewhere and submit through it."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from node.identity import create_identity
from node.keystore import create_key
from node.lockfile import read_lock
from node.paths import DataPaths
from node.private_files import make_private_folder
from node.rpc.client import RpcClient, connect
from protocol import kinds
from protocol.genesis import Genesis
from protocol.kinds.register_miner import RegisterMiner
from protocol.params import MINIMAL
from protocol.transactions import (
    ANCHOR_BYTES,
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from tests.support.builders import a_genesis, a_seed, a_signer
from tests.support.waiting import wait_until

PATIENCE_S = 30.0
EPOCH_MS = 250
_FLAGS = {
    "--p2p.listen": "/ip4/127.0.0.1/tcp/0",
    "--rpc.port": "0",
    "--rpc.requests-per-s": "1000",
    "--sync.status-interval-ms": "200",
}
"""What every node gets unless a test says otherwise."""


def a_quick_genesis(name: str = "wire") -> Genesis:
    """Return a network whose epochs are short; alice seals it."""
    params = replace(MINIMAL, epoch_ms=EPOCH_MS, late_epochs=20)
    return a_genesis(params=params, sealers=("alice",), name=name)


class NodeProcess:
    """`minesync run` in a process.

    Args:
        root: its data directory; made if there is none.
        genesis: of the network.
        owner: whose key it has; nobody's if empty.
    """

    def __init__(self, root: Path, genesis: Genesis, owner: str = "") -> None:
        self.paths = DataPaths(root)
        self.log = root.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self._client: RpcClient | None = None
        if not root.exists():
            make_private_folder(root)
            self.paths.genesis.write_bytes(genesis.to_bytes())
            create_identity(self.paths.identity)
            if owner:
                create_key(self.paths.keys, None, seed=a_seed(owner), allow_unencrypted=True)

    def start(self, *flags: str, entry: Sequence[str] = ("-m", "node")) -> None:
        """Start it; `wait_up` waits until it answers. `entry` is where its command line begins."""
        command = [sys.executable, *entry, "run", "--data-dir", str(self.paths.root)]
        for name, value in _FLAGS.items():
            if name not in flags:
                command += [name, value]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def wait_up(self) -> None:
        """Wait until the RPC answers."""
        process = self._require()

        def is_up() -> bool:
            assert process.poll() is None, self.log.read_text()[-4_000:]
            info = read_lock(self.paths.lock)
            return info is not None and info.pid == process.pid and bool(info.rpc_url)

        await wait_until(is_up, patience_s=PATIENCE_S)
        self._client = connect(self.paths)

    def call(self, method: str, **params: Any) -> Any:
        """Return the result of a method."""
        assert self._client is not None
        return self._client.call(method, **params)

    async def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something holds that the RPC is asked for."""
        with trio.fail_after(PATIENCE_S):
            while not is_so():
                await trio.sleep(0.05)

    @property
    def address(self) -> str:
        """Where others dial it."""
        return str(self.call("net_addresses")["items"][0])

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        process = self._require()
        if self._client is not None:
            self._client.close()
            self._client = None
        process.send_signal(number)
        return await self.wait_end()

    async def wait_end(self) -> int:
        """Return the exit code once it has ended."""
        process = self._require()
        await wait_until(lambda: process.poll() is not None, patience_s=PATIENCE_S)
        assert process.returncode is not None
        return process.returncode

    def kill(self) -> None:
        """End it whatever it does; for the end of a test."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.process is not None:
            self.kill_now()

    def kill_now(self) -> int:
        """Send SIGKILL if it lives, from any thread; return the exit code."""
        process = self._require()
        process.kill()
        return process.wait()

    def _require(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process


class LightAccount:
    """Somebody without a node: signs with his key and submits through the node of another."""

    def __init__(self, name: str, through: NodeProcess, genesis: Genesis) -> None:
        self.signer = a_signer(name)
        self._through = through
        self._network = genesis.network
        self._seq = 0
        self._head: bytes | None = None

    def submit(self, kind: str, payload: Any, subject: bytes | None = None) -> str:
        """Sign and submit; return the id of the transaction."""
        tx = self.sign(kind, payload, subject)
        self.send(tx)
        return tx.tx_id.hex()

    def sign(self, kind: str, payload: Any, subject: bytes | None = None) -> SignedTransaction:
        """Return the next transaction, signed and not sent."""
        state = self._through.call("state_root")
        if subject is None:
            is_task = kind == "publish_task"
            own = self.signer.address
            subject = compute_task_id(self._network, own, self._seq) if is_task else own
        header = Header(
            version=VERSION,
            network=self._network,
            kind=kinds.BY_NAME[kind].code,
            author=self.signer.address,
            seq=self._seq,
            prev=self._head,
            epoch=state["epoch"] + 1,
            anchor=bytes.fromhex(state["seal_hash"])[:ANCHOR_BYTES],
            subject=subject,
            refs=(),
        )
        return sign_transaction(header, payload, self.signer)

    def send(self, tx: SignedTransaction) -> None:
        """Submit what was signed; only then is it the last of the chain."""
        self._through.call("tx_submit", wire=tx.wire.hex())
        self._seq, self._head = tx.header.seq + 1, tx.tx_id

    def resume(self) -> None:
        """Go on after the last that the node stored: a call that failed may have come through."""
        own = self.signer.address.hex()
        last = self._through.call("account_history", address=own, limit=1)["items"]
        if last:
            self._seq, self._head = last[0]["seq"] + 1, bytes.fromhex(last[0]["tx_id"])

    def register(self, payload: RegisterMiner) -> str:
        """Register as a miner."""
        return self.submit("register_miner", payload)
