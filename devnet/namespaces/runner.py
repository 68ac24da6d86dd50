"""Runs the system's own programs: `ip`, `tc` and `nft`. Says what this machine lacks for them."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from devnet.errors import DevnetError

LIMIT_S = 20.0
"""For one program; each takes milliseconds unless the machine is ill."""
LOOPBACK = 'or network = "loopback", which needs nothing of all this'
PACKAGES = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables"}
"""The programs, and in which package of a distribution each usually is."""

_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
"""What `ip netns`, setns(2) and nftables ask for, with their bits: capabilities(7)."""


class CommandError(DevnetError):
    """A program of the system refused; `found` is what it said."""


class Runner(Protocol):
    """Runs programs of the system."""

    def run(self, words: Sequence[str], lines: Sequence[str] = ()) -> str:
        """Run a program to its end; return what it printed.

        Args:
            words: its name and arguments.
            lines: its standard input.

        Raises:
            CommandError: `no_program`, `command_failed`.
        """
        ...


class SystemRunner:
    """Runs them on this machine."""

    def run(self, words: Sequence[str], lines: Sequence[str] = ()) -> str:
        """See `Runner`."""
        text = "".join(f"{line}\n" for line in lines)
        try:
            done = subprocess.run(
                words, input=text, capture_output=True, encoding="utf-8", timeout=LIMIT_S
            )
        except FileNotFoundError as error:
            raise CommandError("no_program", words[0], _name_package(words[0])) from error
        except subprocess.TimeoutExpired as error:
            found = f"{words[0]}: not over after {LIMIT_S:g} s"
            raise CommandError("command_failed", found, " ".join(words)) from error
        if done.returncode:
            said = " / ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
            found = f"{words[0]}: {said or f'exit code {done.returncode}'}"
            raise CommandError("command_failed", found, " ".join(words))
        return done.stdout


def check_machine() -> None:
    """Check that this machine can have a devnet in namespaces, as far as one can tell beforehand.

    What only the kernel knows shows when it is asked for the first time.

    Raises:
        DevnetError: `no_namespaces`; the line says what is missing.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        status = ""
    lack = find_lack(sys.platform, status, {name for name in PACKAGES if shutil.which(name)})
    if lack is not None:
        found, wanted = lack
        raise DevnetError("no_namespaces", found, f"{wanted}; {LOOPBACK}")


def find_lack(
    platform: str, status: str, programs: set[str] | frozenset[str]
) -> tuple[str, str] | None:
    """Return what keeps a machine from having namespaces, and what to do; None: nothing does.

    Args:
        platform: as `sys.platform`.
        status: of this process, as the kernel tells it: proc_pid_status(5).
        programs: those that are there.
    """
    if platform != "linux":
        return f"{platform}, not Linux", "Linux"
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    own = int(fields.get("CapEff", "0").strip(), 16)
    lacking = [name for name, bit in _CAPABILITIES.items() if not own >> bit & 1]
    if lacking:
        return f"a process without {' and '.join(lacking)}", "root (sudo)"
    for name in PACKAGES:
        if name not in programs:
            return f"no program {name}", _name_package(name)
    return None


def _name_package(name: str) -> str:
    package = PACKAGES.get(name)
    return f"{name} from the package {package}" if package else f"a program {name}"
