"""A listening socket handed down to a node is taken if it is the right one, and refused else."""

import os
import socket

import pytest

from node.rpc.inherited import BadInherited, take_inherited

HOST = "127.0.0.1"


def name_it(count: str = "1", pid: int | None = None) -> dict[str, str]:
    """Return what says that sockets were handed down, to this process unless another is named."""
    return {"LISTEN_PID": str(os.getpid() if pid is None else pid), "LISTEN_FDS": count}


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server((HOST, 0))


@pytest.mark.parametrize("wants_port", [True, False])
def test_a_listener_on_the_right_place_is_taken(listener: socket.socket, wants_port: bool) -> None:
    port = int(listener.getsockname()[1])
    number = listener.detach()
    taken = take_inherited(name_it(), HOST, port if wants_port else 0, number)
    assert taken is not None
    with taken:
        assert taken.getsockname() == (HOST, port)
        assert not taken.get_inheritable(), "a worker of the node must not hold its port"
        with socket.create_connection((HOST, port)):
            pass


def test_what_is_meant_for_another_process_is_left_alone(listener: socket.socket) -> None:
    with listener:
        for environment in ({}, name_it(pid=1), {"LISTEN_FDS": "1"}):
            assert take_inherited(environment, HOST, 0, listener.fileno()) is None
        assert listener.getsockname()[0] == HOST


@pytest.mark.parametrize("count", ["0", "2", "", "x"])
def test_any_number_of_sockets_but_one_is_refused(count: str) -> None:
    with pytest.raises(BadInherited, match="LISTEN_FDS"):
        take_inherited(name_it(count), HOST, 0)


def test_a_listener_on_another_place_is_refused(listener: socket.socket) -> None:
    port = int(listener.getsockname()[1])
    copies = [os.dup(listener.fileno()) for _ in range(2)]
    listener.close()
    with pytest.raises(BadInherited, match=f"a socket on {HOST}:{port}"):
        take_inherited(name_it(), HOST, port % 65_535 + 1, copies[0])
    with pytest.raises(BadInherited, match=f"a socket on {HOST}:{port}"):
        take_inherited(name_it(), "::1", port, copies[1])


def test_what_does_not_listen_on_tcp_is_refused() -> None:
    for kind, found in ((socket.SOCK_STREAM, "no listener"), (socket.SOCK_DGRAM, "no TCP")):
        held = socket.socket(socket.AF_INET, kind)
        held.bind((HOST, 0))
        with pytest.raises(BadInherited, match=found):
            take_inherited(name_it(), HOST, 0, held.detach())
    reading, writing = os.pipe()
    try:
        with pytest.raises(BadInherited, match="no socket"):
            take_inherited(name_it(), HOST, 0, reading)
    finally:
        os.close(reading)
        os.close(writing)
