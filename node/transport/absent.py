"""Keeps out what py-libp2p imports and this node never speaks: P-256 keys, by way of fastecdsa.

fastecdsa is published as source only and builds against GMP's headers, which a plain machine does
not have. The one thing libp2p needs it for is secio, which no transport of ours offers; a peer that
comes with a P-256 key is refused, as it would be with the library there. It is kept out everywhere,
so that a machine that happens to have it behaves like one that does not.
"""

import sys
from types import ModuleType
from typing import Any

NAMES = ("fastecdsa", "fastecdsa.encoding", "fastecdsa.encoding.sec1")


class _Absent:
    """Stands for any class or function of the library; to call it is an error."""

    def __getattr__(self, name: str) -> "_Absent":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("P-256 keys are not spoken here")


class _AbsentModule(ModuleType):
    """Stands for a module of the library."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent()


def keep_out() -> None:
    """Put stand-ins where the import would look; a second call changes nothing."""
    for name in NAMES:
        if not isinstance(sys.modules.get(name), _AbsentModule):
            sys.modules[name] = _AbsentModule(name)
