"""minesync version."""

import platform

from node.commands.common import COMMON, Common, emit, show_pairs
from node.version import VERSION
from protocol.transactions import VERSION as TRANSACTION_VERSION


def version(*, common: Common = COMMON) -> None:
    """Print the version of this release, of its transactions and of Python."""
    data = {
        "version": VERSION,
        "transaction_version": TRANSACTION_VERSION,
        "python": platform.python_version(),
    }
    emit(common, data, lambda console: show_pairs(console, data.items()))
