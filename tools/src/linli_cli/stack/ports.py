"""Ports and processes on this machine: what is taken, by whom, and what a dead supervisor left behind."""

import errno
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.stack.supervisor import MARK, State


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Refuse when one of the ports is taken, before anything is started.

    Args:
        ports: names of the parts with the port each needs.

    Raises:
        Trouble: names the port, who holds it, and LINLI_PORT.
    """
    taken = [(name, port) for name, port in ports if not _free(port)]
    if not taken:
        return
    holders = _holders({port for _, port in taken})
    raise Trouble(
        "\n".join(f"Port {port} ({name}) is taken{holders.get(port, '')}." for name, port in taken),
        "\n  ".join(f"端口 {port}（{name}）已被占用{holders.get(port, '')}。" for name, port in taken),
        hint="Nothing was started. End that program, or move the whole stack: LINLI_PORT=9080 make up\n"
        "没有启动任何进程。请关闭占用端口的程序，或换用端口：LINLI_PORT=9080 make up",
    )


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no holder
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def _holders(ports: set[int]) -> dict[int, str]:
    """Name who listens on the ports, as far as this user may know."""
    found: dict[int, str] = {}
    for process in psutil.process_iter(["name", "username"]):
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports:
                found[connection.laddr.port] = f": {process.info['name']} (pid {process.pid})"
    return found


def orphans(home: Home) -> list[psutil.Process]:
    """Find the main processes of this stack that run without a supervisor, because it was killed."""
    found: dict[int, tuple[psutil.Process, int]] = {}
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home.root):
                found[process.pid] = process, process.ppid()
        except psutil.Error:  # gone just now, or somebody else's
            continue
    return [process for process, parent in found.values() if parent not in found]


def abandoned(home: Home) -> dict[str, State]:
    """Give, by name, the parts that run without a supervisor."""
    found: dict[str, State] = {}
    for process in orphans(home):
        with suppress(psutil.Error):  # gone just now
            name = process.environ().get("SUPERVISOR_PROCESS_NAME")  # supervisord tells it to what it starts
            if name:
                seconds = int(time.time() - process.create_time())
                found[name] = State(name, "", "RUNNING", process.pid, seconds)
    return found
