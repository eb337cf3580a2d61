from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from deploy.local.kafka.errors import PortTaken
from deploy.local.ports import HOST, check_free, free_ports


def test_free_ports_are_free_and_different() -> None:
    """The requested number of different ports is returned, and each can be listened on."""
    ports = free_ports(6)
    for port in ports:
        check_free(port)

    assert 6 == len(set(ports))


def test_no_other_process_is_given_the_same_port() -> None:
    """A port that one process was given, and that nothing listens on yet, is not given to another process."""
    (given,) = free_ports(1)
    ask = f"from deploy.local import ports; ports._ORDERS[ports._CANDIDATES] = [{given}]; print(ports.free_ports(1))"

    other = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=30)

    assert "[]" == other.stdout.strip()


def test_a_taken_port_is_reported_with_its_process() -> None:
    """A taken port is refused; the error has the port and, on Linux, the process."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        by = rf" by process {os.getpid()} \(.+\)" if sys.platform == "linux" else ""

        with pytest.raises(PortTaken, match=rf"port {port} is taken{by}:"):
            check_free(port)
