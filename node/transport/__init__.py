"""The waist to the network, and what stands behind it: libp2p with its guards, memory, faults."""

from node.transport.absent import keep_out

# Before any file here imports libp2p: the order of imports is what this is about.
keep_out()
