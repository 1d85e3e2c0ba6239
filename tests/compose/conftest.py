"""A deployment in containers, made and started as a district does it; taken down in the end.

It needs a Docker engine and takes minutes: only `make compose-test` asks for it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LINLI = Path(sys.executable).with_name("linli")
SERVICES = ("directory", "residents", "tickets", "points", "bookings", "notifications", "console")
TAG = "compose-test"

collect_ignore_glob = [] if os.environ.get("LINLI_COMPOSE_TEST") else ["test_*.py"]


def run(*command: str, cwd: Path = PROJECT, timeout: float = 300, check: bool = True, **environment: str) -> str:
    """Run a command and give what it prints."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + ("" if check else done.stderr)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@dataclass
class Deployment:
    """The folder that `linli init` made, and the containers that run from it."""

    folder: Path
    port: int
    seconds_to_healthy: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, timeout: float = 300, check: bool = True) -> str:
        return run("docker", "compose", *arguments, cwd=self.folder, timeout=timeout, check=check)

    def linli(self, *arguments: str, check: bool = True) -> str:
        return run(str(LINLI), *arguments, check=check, LINLI_HOME=str(self.folder))

    def inside(self, service: str, *command: str, check: bool = True) -> str:
        return self.compose("exec", "-T", service, *command, check=check)

    def query(self, database: str, query: str) -> str:
        """Ask a service's database as superuser."""
        psql = ("psql", "-h", "/var/run/postgresql", "-U", "postgres")
        return self.inside("postgres", *psql, "-d", database, "-Atc", query)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What the engine knows of the running containers."""
        ids = self.compose("ps", "--quiet", *([service] if service else [])).split()
        found: list[dict[str, Any]] = json.loads(run("docker", "inspect", *ids)) if ids else []
        return found

    def crash(self, service: str) -> None:
        """Kill a container's process as the kernel would; `docker kill` would count as an order to stay down."""
        pid = self.containers(service)[0]["State"]["Pid"]
        run(*("docker", "run", "--rm", "--pid=host", "--user=0", f"linli:{TAG}", "sh", "-c", f"kill -9 {pid}"))

    def up(self, *arguments: str) -> float:
        """Start what is missing, wait until all of it is healthy, and give the seconds it took."""
        began = time.monotonic()
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "150", *arguments)
        except AssertionError as error:
            logs = self.compose("logs", "--tail", "15", "--no-color", check=False)
            raise AssertionError(f"{error}\n{logs}") from None
        return time.monotonic() - began


@pytest.fixture(scope="session")
def image() -> str:
    """Linli's image, built from this source."""
    run("make", "image")
    return f"linli:{TAG}"


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Deployment]:
    port = free_port()
    made = Deployment(tmp_path_factory.mktemp("district"), port)
    run(
        *(str(LINLI), "init", str(made.folder), "--port", str(port)),
        *("--project", f"linli-{uuid4().hex[:8]}", "--tag", image.split(":")[1]),
        "--observability",  # and no collector is ever there: whatever is tested below holds without it
    )
    try:
        made.seconds_to_healthy = made.up()
        yield made
    finally:
        made.compose("--profile", "*", "down", "--volumes", "--timeout", "15")
