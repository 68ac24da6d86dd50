"""The settings of libp2p that must hold before a transport runs, read back from where they act."""

from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL

from node.transport.base import GOSSIP_SEEN_S, TransportError
from node.transport.libp2p_gossip import (
    GOSSIP_HISTORY,
    GOSSIP_WINDOW,
    HEARTBEAT_S,
    MESH_DEGREE,
    MESH_DEGREE_HIGH,
    MESH_DEGREE_LOW,
    PRUNE_BACK_OFF_S,
    RPC_BYTES_MAX,
    BoundedGossipSub,
    RecentMessages,
)
from node.transport.libp2p_pubsub import BoundedPubsub, compute_message_id
from node.transport.libp2p_swarm import BoundedSwarm
from node.transport.libp2p_yamux import YAMUX_PROTOCOL
from node.transport.seen import SeenIds


def check_settings(
    swarm: BoundedSwarm, pubsub: BoundedPubsub, router: BoundedGossipSub, topic: str
) -> None:
    """Compare every setting with what is wanted.

    Raises:
        TransportError: guard_broken, naming the first that differs.
    """
    config = swarm.connection_config
    upgrader = swarm.upgrader
    settings: dict[str, tuple[object, object]] = {
        "security": (list(upgrader.security_multistream.transports), [NOISE_PROTOCOL]),
        "multiplexers": (list(upgrader.muxer_multistream.transports), [YAMUX_PROTOCOL]),
        "transports": (len(swarm.transport_manager.get_transports()), 1),
        "pre-shared key": (swarm.psk, None),
        "metrics channel": (swarm.metric_send_channel, None),
        "resource manager": (swarm._resource_manager, None),
        "dial retries": (swarm.retry_config.max_retries, 0),
        "connections kept up by the library": (
            (config.min_connections, config.low_watermark),
            (0, 0),
        ),
        "connections pruned by the library": (config.high_watermark, config.max_connections),
        "health monitoring": (config.enable_health_monitoring, False),
        "gossip protocols": (list(router.get_protocols()), [PROTOCOL_ID_V11]),
        "mesh degree": (
            (router.degree, router.degree_low, router.degree_high),
            (MESH_DEGREE, MESH_DEGREE_LOW, MESH_DEGREE_HIGH),
        ),
        "heartbeat": (router.heartbeat_interval, HEARTBEAT_S),
        "prune back-off": (router.prune_back_off, PRUNE_BACK_OFF_S),
        "adaptive gossip": (router.adaptive_gossip_enabled, False),
        "spam protection": (router.spam_protection_enabled, False),
        "eclipse protection": (router.eclipse_protection_enabled, False),
        "peer exchange": (router.do_px, False),
        "scoring": (router.scorer, None),
        "recent messages": (
            (type(router.mcache), router.mcache.window_size, router.mcache.history_size),
            (RecentMessages, GOSSIP_WINDOW, GOSSIP_HISTORY),
        ),
        "message id": (pubsub._msg_id_constructor, compute_message_id),
        "seen cache": (
            (type(pubsub.seen_messages), getattr(pubsub.seen_messages, "ttl_s", None)),
            (SeenIds, GOSSIP_SEEN_S),
        ),
        "signing": (pubsub.strict_signing, True),
        "largest RPC": (pubsub.max_inbound_rpc_size, RPC_BYTES_MAX),
        "topics": (pubsub.allowed_topics, {topic}),
    }
    for name, (found, wanted) in settings.items():
        if found != wanted:
            raise TransportError("guard_broken", f"{name}: {found}", wanted)
