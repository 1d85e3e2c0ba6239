"""What a machine needs before it can run the platform in containers."""

import os
import re
import socket
import subprocess

from linli_cli.console import Trouble

_LEAST_COMPOSE = (2, 20)
_LEAST_MEMORY = 3.5
"""GiB: what a machine sold with 4 GB shows."""
_SECONDS = 20


def compose() -> None:
    """Refuse when Docker Compose is missing or too old.

    Raises:
        Trouble: with the version needed.
    """
    try:
        done = subprocess.run(
            ["docker", "compose", "version", "--short"], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        found = re.match(r"v?(\d+)\.(\d+)", done.stdout)
    except (OSError, subprocess.TimeoutExpired):
        found = None
    if not found or tuple(map(int, found.groups())) < _LEAST_COMPOSE:
        needed = ".".join(map(str, _LEAST_COMPOSE))
        raise Trouble(
            f"Docker Compose {needed} or newer is needed; found: {found[0] if found else 'none'}.",
            f"需要 Docker Compose {needed} 或更高版本。",
        )


def memory() -> None:
    """Refuse when the machine has too little memory.

    Raises:
        Trouble: with what it has.
    """
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if total < _LEAST_MEMORY:
        raise Trouble(
            f"{_LEAST_MEMORY} GiB of memory are needed; this machine has {total:.1f}.",
            f"至少需要 {_LEAST_MEMORY} GiB 内存，本机仅有 {total:.1f} GiB。",
        )


def port(address: str, number: int) -> None:
    """Refuse when somebody listens on the port already, or nobody may.

    Raises:
        Trouble: with the way to take another.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, number))
    except OSError as error:
        raise Trouble(
            f"Port {number} on {address} can't be taken: {error.strerror}.",
            f"端口 {number}（{address}）不可用。",
            hint="Take another: linli init --port 9080  请换一个端口。",
        ) from error
