"""What libp2p has to say, left to our own log.

libp2p logs a line for every packet a peer spoils, and some of its loggers bring handlers and levels
of their own. Here they lose both: warnings rise to the root logger, where `node.telemetry` writes
them within its budget of lines.
"""

import logging

# The loggers that libp2p and the libraries beneath it write to.
_LOGGER_NAMES = ("libp2p", "multiaddr", "noise", "aioquic", "quic", "zeroconf")

# They log at ERROR what reaches us as the error of a call, and what happens every day.
_CHATTY_LOGGER_NAMES = ("libp2p.protocol_muxer", "libp2p.host.basic_host", "libp2p.network.swarm")


def lead_loggers() -> None:
    """Take handlers and levels from libp2p's loggers; nothing below WARNING passes."""
    for name in _LOGGER_NAMES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY_LOGGER_NAMES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
