"""Ports for processes that bind them seconds after the choice, or again after a death."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress

FIRST, SLICE, SLICES = 20_000, 400, 24
"""Below what the system gives to those who ask for any port, so that nobody gets one between the choice and the use."""


def _own() -> int:
    """The slice of this test process: by its number among those of one run, else by its process id."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    return int(number) if number.isdecimal() else os.getpid()


_ports = itertools.cycle(range(FIRST + _own() % SLICES * SLICE, FIRST + (_own() % SLICES + 1) * SLICE))


def own_port() -> int:
    """A port of loopback that is free, and that this process does not choose again soon. Raises OSError when all of
    its slice are taken."""
    for port in itertools.islice(_ports, SLICE):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
