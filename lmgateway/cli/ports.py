"""Which program listens on a port, and what to do if the gateway can't."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import psutil

from ..errors import CannotListen


def listeners(port: int) -> list[psutil.Process]:
    """Return the processes that listen on this TCP port. Other users' may be hidden."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
        }
        return [psutil.Process(pid) for pid in sorted(pids)]
    except (psutil.Error, OSError):  # a container may hide parts of /proc
        return []


def is_gateway(process: psutil.Process) -> bool:
    """True for a process of lmgateway. Raises psutil.Error."""
    return any(Path(argument).stem == "lmgateway" for argument in process.cmdline()[:3])


def holder_of(port: int) -> str | None:
    """Return the name and id of a process that listens on this port."""
    for process in listeners(port):
        try:
            name = "lmgateway" if is_gateway(process) else process.name()
        except psutil.Error:
            continue
        return f"{name} (process {process.pid})"
    return None


def how_to_find(port: int) -> str:
    """Return the command that shows the program on this port to an administrator."""
    if sys.platform == "win32":
        return f"Get-Process -Id (Get-NetTCPConnection -LocalPort {port} -State Listen).OwningProcess"
    if sys.platform == "darwin":
        return f"sudo lsof -nP -iTCP:{port} -sTCP:LISTEN"
    return f"sudo ss -ltnp 'sport = :{port}'"


def explain(failure: CannotListen) -> str:
    """Return the failure's message, with the program that has the port, and with what to do."""
    port = failure.port
    match failure.errno:
        case errno.EADDRINUSE if (holder := holder_of(port)) is not None:
            return f"{failure}, by {holder}. Choose another port with --port, or end that program."
        case errno.EADDRINUSE:
            how = f"`{how_to_find(port)}` shows by which program"
            return f"{failure}. Choose another port with --port, or end the program that has it: {how}."
        case errno.EACCES:
            return f"{failure}. A port below 1024 may need more rights: choose another one with --port."
        case errno.EADDRNOTAVAIL:
            return f"{failure}. Choose an address of this machine with --host; 0.0.0.0 is all of them."
    return str(failure)
