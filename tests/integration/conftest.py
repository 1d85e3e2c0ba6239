"""A whole platform, started as anybody starts it; the tests know its HTTP, its NATS and its SQL, and no code of it."""

import base64
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

LINLI = Path(sys.executable).with_name("linli")
SERVICES = ("directory", "residents", "tickets", "points", "bookings", "notifications")


@dataclass
class Platform:
    """The running platform.

    Attributes:
        url: the gateway's address.
        home: where its secrets and logs are.
    """

    url: str
    home: Path
    port: int
    _tokens: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What the command line is told; tests ask more often than the gateway lets one address ask."""
        own = {"LINLI_HOME": str(self.home), "LINLI_PORT": str(self.port), "LINLI_RATE_LIMIT": "100000"}
        return {**os.environ, **own}

    def linli(self, *arguments: str, timeout: float = 120, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        done = subprocess.run(
            [str(LINLI), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, f"linli {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def token(self, role: str, unit: str) -> str:
        """Give a token of a role at a unit, kept for half of its life."""
        until, token = self._tokens.get((role, unit), (0.0, ""))
        if time.monotonic() > until:
            token = self.linli("token", "--role", role, "--unit", unit).stdout.strip()
            self._tokens[role, unit] = (time.monotonic() + 300, token)
        return token

    def client(self, role: str | None = None, unit: str = "310104003", **headers: str) -> httpx.AsyncClient:
        """Give an HTTP client that calls through the gateway."""
        if role:
            headers["Authorization"] = f"Bearer {self.token(role, unit)}"
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def person(self, role: str, unit: str) -> str:
        """Give the id of the person whom `client(role, unit)` calls as."""
        claims = self.token(role, unit).split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """Connect to a service's database as superuser."""
        password = (self.home / "secrets" / "postgres").read_text()
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port + 20, user="postgres", password=password, database=service
        )
        try:
            yield connection
        finally:
            await connection.close()

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Ask the console what the services recorded of a trace."""
        headers = {"Authorization": f"Bearer {self.token('operator', '0')}"}
        url = f"{self.url}/console/v1/traces/{trace_id}"
        answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        spans: list[dict[str, Any]] = answer.raise_for_status().json()["spans"]
        return spans


def _free_range() -> int:
    """Find a port with 24 free ones behind it, which nobody else finds as long as this process lives."""
    for _ in range(100):
        # Below 32768, where no outgoing connection takes a port between this look and the start,
        # and above 30024, where no stack of the command line's tests is.
        base = random.randrange(30_100, 32_700, 30)  # noqa: S311 any will do
        probes = [socket.socket() for _ in range(26)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        else:
            # The last one stays bound: it takes a platform seconds to listen, in which another worker looks for ports.
            probes.pop().detach()
            return base
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free range of ports")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """Start a platform with the real divisions and the demo's street, and stop it at the end."""
    home = Path(tempfile.mkdtemp(prefix="linli-"))
    home.chmod(0o711)
    port = _free_range()
    found = Platform(f"http://127.0.0.1:{port}", home, port)
    try:
        found.linli("up", timeout=300)
        yield found
    finally:
        found.linli("down", check=False)
        shutil.rmtree(home, ignore_errors=True)
