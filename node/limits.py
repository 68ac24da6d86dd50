"""The bounds of one node that are not the network's, with the relations between them.

Those of the transport are in `node.transport.limits`, those that all nodes share in
`protocol.params`.
"""

from protocol.transactions import WIRE_BYTES_MAX

RPC_BODY_BYTES_MAX = 1 << 20
RPC_HEADER_BYTES_MAX = 16 << 10
RPC_DEPTH_MAX = 16
RPC_BATCH_MAX = 20
RPC_DEADLINE_MS = 10_000
RPC_TOKEN_BYTES = 32
RPC_REPLY_BYTES_MAX = 16 << 20
"""What a client reads of one reply: a page of the largest rows, and room."""

PAGE_ITEMS_DEFAULT = 50
PAGE_ITEMS_MAX = 500

STOP_WAIT_MS_MAX = 30_000
"""How long `minesync stop` waits for a node to write down what it holds."""

assert RPC_BODY_BYTES_MAX >= 2 * 2 * WIRE_BYTES_MAX, "a signed transaction fits a body as hex"
assert PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX
assert PAGE_ITEMS_MAX * WIRE_BYTES_MAX <= RPC_REPLY_BYTES_MAX, "a full page fits a reply"
assert RPC_DEADLINE_MS <= STOP_WAIT_MS_MAX, "a stop outlasts the requests under way"
