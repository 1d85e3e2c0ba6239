"""The platform that is measured: an embedded stack of its own, with the published divisions and no demo."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
import psutil

from linli.testing.servers import free_port
from linli_cli.home import Home
from linli_cli.identity import token_of
from linli_cli.stack import database, programs, streams
from linli_cli.stack.supervisor import Supervisor

_BIN = Path(sys.executable).parent
_READY_WITHIN = 40.0


@dataclass
class Platform:
    """A running stack.

    Attributes:
        home: its secrets and ports.
        seconds_to_start: of a start with everything in place.
    """

    home: Home
    seconds_to_start: float = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What its command line is told."""
        return {
            **os.environ,
            "LINLI_HOME": str(self.home.root),
            "LINLI_PORT": str(self.home.port),
            "LINLI_RATE_LIMIT": "100000",
        }

    def linli(self, *arguments: str) -> str:
        """Run the command line.

        Raises:
            RuntimeError: with what it said.
        """
        done = subprocess.run(
            [str(_BIN / "linli"), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"linli {' '.join(arguments)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    async def token(self, role: str, unit: str) -> str:
        """Sign in."""
        return await token_of(self.home, role, unit)

    def broker(self, user: str = streams.ADMIN) -> str:
        """Give the broker's address."""
        return streams.url(self.home, user)

    def owner(self, service: str) -> str:
        """Give the address by which a database's superuser finds it; the baselines know no roles."""
        return database.url(self.home, "postgres", service)

    @asynccontextmanager
    async def database(self, service: str, user: str = "postgres", **options: Any) -> AsyncIterator[asyncpg.Connection]:  # noqa: ANN401 the driver's own
        """Connect to a service's database."""
        connection = await asyncpg.connect(database.url(self.home, user, service), **options)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def process(self, app: str, environment: Mapping[str, str], ready: str) -> AsyncIterator[int]:
        """Run an app in a process of its own, as the stack does; gives its port."""
        port = free_port()
        command = [
            *(str(_BIN / "python"), "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)),
            *("--loop", "uvloop", "--http", "linli.draining:DrainingProtocol", "--no-access-log", "--no-server-header"),
            *(["--factory"] if app.endswith("create_app") else []),
        ]
        with (self.home.logs / f"bench-{port}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 started once
                command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=_BIN.parents[1]
            )
        try:
            await _answers(f"http://127.0.0.1:{port}{ready}")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    @contextmanager
    def standing_still(self, *services: str) -> Iterator[None]:
        """Let services stand still in the block: an endpoint is measured, and not what follows from it elsewhere."""
        states = Supervisor(self.home).states()
        first = [psutil.Process(states[service].pid) for service in services]
        processes = [process for one in first for process in (one, *one.children(recursive=True))]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    async def settled(self) -> None:
        """Wait until everybody has dealt with all that was told.

        Raises:
            TimeoutError: after five minutes.
        """
        client = await nats.connect(self.broker())
        js = client.jetstream()
        try:
            async with asyncio.timeout(300):
                for one in streams.subscriptions():
                    for consumer in one.consumers:
                        while (info := await js.consumer_info(consumer.stream, consumer.name)) and (
                            info.num_pending or info.num_ack_pending
                        ):
                            await asyncio.sleep(0.2)
        finally:
            await client.close()

    def settings(self, service: str, **others: str) -> dict[str, str]:
        """Give a service's environment."""
        return {**programs.environment(self.home, service), **others}


@contextmanager
def platform() -> Iterator[Platform]:
    """Start a platform, twice: the second start is measured."""
    root = Path(tempfile.mkdtemp(prefix="linli-bench-"))
    root.chmod(0o711)
    found = Platform(Home(root, _free_range()))
    try:
        found.linli("up", "--empty")
        found.linli("import", "divisions")
        found.linli("down")
        began = time.monotonic()
        found.linli("up", "--empty")
        found.seconds_to_start = time.monotonic() - began
        yield found
    finally:
        with suppress(RuntimeError):
            found.linli("down")
        shutil.rmtree(root, ignore_errors=True)


def _free_range() -> int:
    """Find a port whose next ones are hardly anybody's; the start says so if one is taken."""
    return 30_000 + (os.getpid() % 80) * 30


async def _answers(url: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(url)).is_success:
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} does not answer")
            await asyncio.sleep(0.1)
