"""The platform that is broken: an embedded stack of its own, with a door between any two parts that talk."""

import asyncio
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
import psutil

from chaos.proxy import Proxy
from linli.shards import Shards
from linli_cli.archive.stores import Stores
from linli_cli.home import APPS, CONSOLE, SERVICES, Home
from linli_cli.stack import database, gateway, ready
from linli_cli.stack.programs import configure
from linli_cli.stack.supervisor import Supervisor

_LINLI = Path(sys.executable).with_name("linli")
_PORTS = 56
_FIRST_DOOR = 30
_NATS_SIZE, _POSTGRES_SIZE = 256 * 2**20, 1536 * 2**20
_WAYS = {"postgres": APPS, "nats": SERVICES, "gateway": APPS}


@dataclass
class Stack:
    """A running stack.

    Attributes:
        home: its secrets and ports.
        doors: by who talks and to whom; the gateway talks to the services, they talk to the stores.
        small: the parts whose data lie on a file system that can be filled.
        left_out: what can't be done here, and why.
    """

    home: Home
    doors: dict[tuple[str, str], Proxy] = field(default_factory=dict)
    small: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def around(self, part: str) -> list[Proxy]:
        """List the doors that a part goes through, and others to it."""
        return [door for ends, door in self.doors.items() if part in ends]

    def data(self, part: str) -> Path:
        """Where a store keeps its data."""
        return self.home.data / part

    def processes(self, part: str) -> list[psutil.Process]:
        """Find a part's processes, the first of them first; none while it is being started again."""
        state = Supervisor(self.home).states()[part]
        try:
            process = psutil.Process(state.pid)
            return [process, *process.children(recursive=True)] if state.pid else []
        except psutil.NoSuchProcess:
            return []

    def stores(self) -> Stores:
        """Give its stores, beside all doors."""
        os.environ["LINLI_SHARDS"] = ""
        return Stores.of(self.home)

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """Connect to a service's database as its superuser, beside all doors."""
        connection = await asyncpg.connect(database.superuser_url(self.home, service), timeout=3, command_timeout=20)
        try:
            yield connection
        finally:
            await connection.close(timeout=3)

    def linli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run its command line.

        Raises:
            RuntimeError: with what it said.
        """
        done = subprocess.run(
            [str(_LINLI), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"linli {' '.join(arguments)}\n{done.stdout}\n{done.stderr}")
        return done


@asynccontextmanager
async def running(size: int) -> AsyncIterator[Stack]:
    """Start a stack, with doors and, where this may be done, with small disks; nothing of it stays.

    Args:
        size: how many times the usual size its small disks are.
    """
    root = Path(tempfile.mkdtemp(prefix="linli-chaos-"))
    root.chmod(0o711)
    stack = Stack(Home(root, _free_range()))
    os.environ.update(LINLI_HOME=str(root), LINLI_PORT=str(stack.home.port), LINLI_RATE_LIMIT="100000")
    try:
        stack.home.create()
        for part, least in (("nats", _NATS_SIZE), ("postgres", _POSTGRES_SIZE)):
            _mount(stack, part, least * size)
        await asyncio.to_thread(stack.linli, "up", "--empty")
        await asyncio.to_thread(stack.linli, "import", "divisions")
        await _put_doors(stack)
        yield stack
    finally:
        for door in stack.doors.values():
            door.close()
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            await asyncio.to_thread(stack.linli, "down")
        for part in stack.small:
            subprocess.run(["umount", str(stack.data(part))], check=False, capture_output=True, timeout=30)
        shutil.rmtree(root, ignore_errors=True)


def _mount(stack: Stack, part: str, size: int) -> None:
    why = ""
    if os.geteuid():
        why = "only root may mount 仅 root 可挂载"
    elif psutil.virtual_memory().available < 2 * size:
        why = "too little memory 内存不足"
    else:
        folder = stack.data(part)
        folder.mkdir(mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "linli-chaos", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        why = done.stderr.strip()
    if why:
        stack.left_out.append(f"disk of {part}: {why}")
    else:
        stack.small.append(part)


async def _put_doors(stack: Stack) -> None:
    """Put a door between any two parts, and have them go through it."""
    home, ports = stack.home, iter(range(stack.home.port + _FIRST_DOOR, stack.home.port + _PORTS))
    for store, port in (("postgres", home.postgres_port), ("nats", home.nats_port)):
        for app in _WAYS[store]:
            stack.doors[app, store] = Proxy(next(ports), port)
    for app in APPS:
        stack.doors["gateway", app] = Proxy(next(ports), home.service_port(app))
    for door in stack.doors.values():
        await door.open()
    programs = [
        replace(program, environment=_through(stack, program.name, dict(program.environment)))
        if program.name in APPS
        else program
        for program in configure(home)
    ]
    supervisor = Supervisor(home)
    await asyncio.to_thread(supervisor.start, programs)
    await asyncio.to_thread(supervisor.begin, *APPS)
    await ready.services(home, supervisor)
    addresses = {app: f"http://127.0.0.1:{stack.doors['gateway', app].port}" for app in APPS}
    (home.run / "routes.yml").write_text(gateway.as_json(gateway.routes(addresses)), encoding="utf-8")
    await ready.gateway(home, supervisor)


def _through(stack: Stack, app: str, environment: dict[str, str]) -> dict[str, str]:
    for name, store in (
        ("LINLI_DATABASE_URL", "postgres"),
        ("LINLI_RELAY_DATABASE_URL", "postgres"),
        ("LINLI_NATS_URL", "nats"),
    ):
        if name in environment and not (app == CONSOLE and store == "nats"):
            address = f"127.0.0.1:{stack.doors[app, store].port}"
            environment[name] = Shards.at(environment[name], address)
    return environment


def _free_range() -> int:
    for _ in range(100):
        base = random.randrange(26_000, 29_900, 60)
        probes = [socket.socket() for _ in range(_PORTS)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free range of ports")
