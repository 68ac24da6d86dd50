"""Where a node keeps what is its own: one folder per node and network.

The folder is private, and so is what is in it:

    config.toml    what the operator chose          genesis.cbor   the network, by its first hash
    identity.key   the name among peers             keys/*.json    accounts that sign and earn
    db/            the replicated state             answers/       answers not revealed yet
    votes/         votes not shown yet
    signed_seq     the highest numbers ever signed  sealed_epoch   the last epoch ever voted on
    sealer_diary.0, .1   what the sealer said last
    rpc.token      who reads it may command         node.lock      who runs here, where it answers
    backups/       copies of what was signed      logs/          if the operator asks for them
"""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP_NAME = "minesync"
DATA_DIR_VARIABLE = "MINESYNC_DATA_DIR"


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The names inside one data directory. Nothing here touches the disk."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration, TOML."""
        return self.root / "config.toml"

    @property
    def genesis(self) -> Path:
        """The genesis of the network, canonical bytes."""
        return self.root / "genesis.cbor"

    @property
    def identity(self) -> Path:
        """The seed of the node's own key, unencrypted: a node restarts unattended."""
        return self.root / "identity.key"

    @property
    def keys(self) -> Path:
        """The folder of account keys."""
        return self.root / "keys"

    @property
    def database(self) -> Path:
        """The folder of the database."""
        return self.root / "db"

    @property
    def backups(self) -> Path:
        """The folder of backups, unless the operator names another."""
        return self.root / "backups"

    @property
    def signed_seq(self) -> Path:
        """The signing marks: beside the database, because they must survive its loss."""
        return self.root / "signed_seq"

    @property
    def sealed_epoch(self) -> Path:
        """The highest epoch of which the sealer ever said anything, a file like `signed_seq`."""
        return self.root / "sealed_epoch"

    @property
    def sealer_diary(self) -> Path:
        """What the sealer said last: two files, written in turn, with endings .0 and .1."""
        return self.root / "sealer_diary"

    @property
    def answers(self) -> Path:
        """The folder of answers that were committed to and not revealed yet."""
        return self.root / "answers"

    @property
    def votes(self) -> Path:
        """The folder of votes that were committed to and not shown yet."""
        return self.root / "votes"

    @property
    def rpc_token(self) -> Path:
        """The bearer token of the RPC."""
        return self.root / "rpc.token"

    @property
    def lock(self) -> Path:
        """The lock that one running node holds."""
        return self.root / "node.lock"

    @property
    def logs(self) -> Path:
        """The folder of log files, if `log.file` is on."""
        return self.root / "logs"


def find_data_paths(data_dir: str | os.PathLike[str] | None = None) -> DataPaths:
    """Return the paths of `data_dir`, else of MINESYNC_DATA_DIR, else of the platform's place."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE) or platformdirs.user_data_path(APP_NAME)
    return DataPaths(Path(chosen).expanduser().absolute())
