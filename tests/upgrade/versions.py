"""A platform of real processes, whose services run in the released version, in this one, or in both."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
from nats.js.api import ConsumerInfo
from tests.upgrade.release import PROJECT, sources, unpack
from tests.upgrade.sink import Sink, listening

from linli.testing import eventually, free_port
from linli_cli.api import Api
from linli_cli.home import SERVICES, Home
from linli_cli.identity import Identities
from linli_cli.stack import database, streams

OLD = "old"
NEW = "new"
BOTH = (OLD, NEW)
_JOB = Path(__file__).with_name("job.py")
_READY_WITHIN = 240
_JOB_WITHIN = 240


@dataclass
class Version:
    """One version's code, and its services where they run."""

    name: str
    project: Path
    programs: dict[str, dict[str, Any]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def path(self) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join(map(str, sources(self.project)))}


@dataclass
class Platform:
    """PostgreSQL, NATS and the services of two versions; a client's requests alternate between those that serve."""

    home: Home
    versions: dict[str, Version]
    sink: Sink
    serving: tuple[str, ...] = (OLD,)
    asked: Counter[str] = field(default_factory=Counter)
    """How many requests each side has not answered yet."""
    _turns: dict[str, Iterator[str]] = field(default_factory=lambda: defaultdict(lambda: cycle(BOTH)))
    _stores: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30, trust_env=False))

    async def job(self, version: str, task: str) -> str:
        """Run a version's job to its end."""
        one = self.versions[version]
        told = {"LINLI_HOME": str(self.home.root), "LINLI_PORT": str(self.home.port)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(_JOB), task, str(one.project)),
            env={**os.environ, **one.path, **told},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(_JOB_WITHIN):
            out, err = await process.communicate()
        assert process.returncode == 0, f"{version} {task}: {err.decode()}"
        return out.decode()

    async def configure(self, version: str) -> None:
        """Have a version's configuration written, and learn how its services are started."""
        programs = json.loads(await self.job(version, "configure"))
        self.versions[version].programs = {program["name"]: program for program in programs}

    def services(self, version: str) -> list[str]:
        return [name for name, one in self.versions[version].programs.items() if one["group"] == "services"]

    def start_stores(self) -> None:
        database.initialise(self.home)
        programs = self.versions[OLD].programs
        self._stores = [self._start(programs["postgres"], "-c", "fsync=off"), self._start(programs["nats"])]

    def reload_broker(self) -> None:
        """Let the broker read its users again, as `linli upgrade` does."""
        self._stores[1].send_signal(signal.SIGHUP)

    def _start(self, program: dict[str, Any], *options: str, **environment: str) -> subprocess.Popen[bytes]:
        known = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TZ") if name in os.environ}
        with (self.home.logs / f"{environment.get('LINLI_BESIDE', program['name'])}.log").open("ab") as log:
            return subprocess.Popen(
                [*program["command"], *options],
                env={**known, **program["environment"], **environment},
                cwd=self.home.root,
                user=program["user"] or None,
                group=program["user"] or None,
                extra_groups=[] if program["user"] else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def start(self, version: str) -> None:
        """Start a version's services on ports of their own, and wait until they take requests."""
        one = self.versions[version]
        one.ports = {name: free_port() for name in self.services(version)}
        jwks = f"http://127.0.0.1:{one.ports['directory']}/directory/.well-known/jwks.json"
        for name, port in one.ports.items():
            program = dict(one.programs[name])
            program["command"] = [str(port) if part == str(program["port"]) else part for part in program["command"]]
            one.running[name] = self._start(
                program,
                **one.path,
                LINLI_JWKS_URL=jwks,
                OTEL_EXPORTER_OTLP_ENDPOINT=f"{self.sink.url}/{version}",
                LINLI_BESIDE=f"{name}-{version}",
            )
        await asyncio.gather(*(self._ready(version, name) for name in one.ports))

    async def _ready(self, version: str, name: str) -> None:
        one = self.versions[version]
        deadline = time.monotonic() + _READY_WITHIN
        while True:
            with suppress(httpx.TransportError):
                if (await self._client.get(f"http://127.0.0.1:{one.ports[name]}/readyz")).is_success:
                    return
            if one.running[name].poll() is not None or time.monotonic() > deadline:
                words = (self.home.logs / f"{name}-{version}.log").read_text()[-4000:]
                raise AssertionError(f"{version} {name} does not become ready:\n{words}")
            await asyncio.sleep(0.1)

    async def stop(self, version: str) -> dict[str, int]:
        """End a version's services as an upgrade does; gives their exit codes."""
        running = self.versions[version].running
        for process in running.values():
            process.terminate()
        codes = {name: await asyncio.to_thread(process.wait, 30) for name, process in running.items()}
        for name in running:
            # uvicorn raises the signal again at its end, so the exit code does not tell whether it came to it.
            words = (self.home.logs / f"{name}-{version}.log").read_text()
            assert "Application shutdown complete" in words, words[-2000:]
        running.clear()
        return codes

    async def call(  # a request as httpx takes it
        self,
        method: str,
        path: str,
        login: str,
        *,
        side: str = "",
        **options: Any,  # noqa: ANN401
    ) -> httpx.Response:
        """Send a request to one side, or to whose turn it is."""
        service = path.split("/")[1]
        while side not in self.serving:
            side = next(self._turns[service])
        headers = {"Authorization": f"Bearer {login}", **options.pop("headers", {})}
        url = f"http://127.0.0.1:{self.versions[side].ports[service]}{path}"
        self.asked[side] += 1
        try:
            return await self._client.request(method, url, headers=headers, **options)
        finally:
            self.asked[side] -= 1

    async def token(self, role: str, unit: str, *, side: str) -> str:
        """Get a token that one side's directory issues."""
        async with Api(f"http://127.0.0.1:{self.versions[side].ports['directory']}") as api:
            return await Identities(self.home, api).login(role, unit)()

    @asynccontextmanager
    async def rows(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """Look into a service's database as superuser."""
        connection = await asyncpg.connect(database.superuser_url(self.home, service))
        try:
            yield connection
        finally:
            await connection.close()

    async def consumers(self) -> dict[str, list[str]]:
        """List the broker's durable consumers with the subjects each is told."""
        _, infos = await self._broker()
        return {one.name: sorted(one.config.filter_subjects or [str(one.config.filter_subject)]) for one in infos}

    async def quiet(self) -> bool:
        """Tell whether all that was done has been told, and all that was told has been heard."""
        before, _ = await self._broker()
        for service in SERVICES:
            async with self.rows(service) as database:
                if await database.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
                    return False
        after, infos = await self._broker()
        return before == after and not any(one.num_pending or one.num_ack_pending for one in infos)

    async def _broker(self) -> tuple[int, list[ConsumerInfo]]:
        """Give how many events there have been, and how the durable consumers are."""
        client = await nats.connect(streams.url(self.home, streams.ADMIN))
        try:
            js = client.jetstream(timeout=30)
            infos = await js.streams_info()
            told = sum(info.state.last_seq for info in infos)
            return told, [one for info in infos for one in await js.consumers_info(str(info.config.name))]
        finally:
            await client.close()

    def spans(self, service: str, version: str) -> list[dict[str, Any]]:
        return self.sink.spans[version, service]

    async def close(self) -> None:
        await self._client.aclose()
        processes = [*self._stores, *(one for version in self.versions.values() for one in version.running.values())]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)


@asynccontextmanager
async def released() -> AsyncIterator[Platform]:
    """Run the released version on empty databases."""
    folder = _open_folder()
    versions = {NEW: Version(NEW, PROJECT), OLD: Version(OLD, unpack(folder / "released"))}
    with listening() as sink:
        platform = Platform(Home(folder / "home", _free_range()), versions, sink)
        try:
            await platform.configure(OLD)
            platform.start_stores()
            await eventually(lambda: _answers(platform.home), within=60)
            await platform.job(OLD, "prepare")
            await platform.start(OLD)
            yield platform
        finally:
            await platform.close()
            shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    # Not under pytest's folder: as root the database runs as another user, who must pass through.
    folder = Path(tempfile.mkdtemp(prefix="linli-upgrade-"))
    folder.chmod(0o711)
    return folder


async def _answers(home: Home) -> bool:
    with suppress(OSError, asyncpg.PostgresError):
        await (await asyncpg.connect(database.superuser_url(home), timeout=5)).close()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", home.nats_port)) == 0
    return False


def _free_range() -> int:
    """Find a port with 24 free ones behind it, where no other test looks for one."""
    for base in random.sample(range(5_000, 7_975, 25), 50):
        with suppress(OSError):
            for port in range(base, base + 25):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
    raise RuntimeError("no free range of ports")
