"""Real sockets and real processes, in real time."""

# First of all: it keeps out what libp2p would import and a plain machine does not have.
import node.transport  # noqa: F401
