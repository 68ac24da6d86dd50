"""libp2p over real sockets keeps the contract of transports."""

import hashlib
import socket
from contextlib import AbstractAsyncContextManager

import pytest

from node.transport.base import GossipValidator, Transport
from node.transport.libp2p_open import open_libp2p_transport
from node.transport.limits import TransportLimits
from tests.support.transport_contract import CONTRACT, LIMITS, Promise, take_all

pytestmark = pytest.mark.wire

NOBODY = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


class Libp2pWorld:
    def open(
        self,
        label: str,
        *,
        validate: GossipValidator = take_all,
        limits: TransportLimits = LIMITS,
    ) -> AbstractAsyncContextManager[Transport]:
        return open_libp2p_transport(
            seed=hashlib.sha256(label.encode()).digest(),
            listen="/ip4/127.0.0.1/tcp/0",
            topic="test",
            validate=validate,
            limits=limits,
        )

    def open_in_place_of(self, transport: Transport) -> AbstractAsyncContextManager[Transport]:
        return open_libp2p_transport(
            seed=bytes(32),
            listen=transport.addresses()[0].rpartition("/p2p/")[0],
            topic="test",
            validate=take_all,
        )

    def find_nobody(self) -> str:
        with socket.socket() as endpoint:
            endpoint.bind(("127.0.0.1", 0))
            return f"/ip4/127.0.0.1/tcp/{endpoint.getsockname()[1]}/p2p/{NOBODY}"


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_libp2p_keeps_its_promise(promise: Promise) -> None:
    await promise(Libp2pWorld())
