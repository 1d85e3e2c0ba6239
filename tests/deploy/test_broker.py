"""The broker's settings for Kubernetes, on real servers: three that begin as the StatefulSet's pods would."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client
from tests.deploy.manifests import K8S, SCALED, Resource, one

from linli.broker import inbox_prefix
from linli.streams import nats_permissions
from linli.testing import free_port
from linli_cli.stack import streams

SERVERS = range(3)


@dataclass
class Cluster:
    """Three running servers."""

    processes: list[subprocess.Popen[bytes]]
    ports: dict[str, list[int]]
    passwords: dict[str, str]

    def url(self, user: str, server: int = 0) -> str:
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.ports['4222'][server]}"

    async def connect(self, user: str, server: int = 0) -> Client:
        return await nats.connect(
            self.url(user, server), inbox_prefix=inbox_prefix(user), connect_timeout=5, max_reconnect_attempts=3
        )


def _conf_of_users() -> str:
    lines = [
        "# Who may say and hear what: least rights, as linli.streams.nats_permissions gives them; see the test.",
        *("include ./secret/passwords.conf", "", "authorization {", "  users: ["),
    ]
    for one_of in streams.subscriptions():
        lines.append(f"    {{ user: {one_of.service}, password: $password_{one_of.service}, permissions: {{")
        for verb, rights in nats_permissions(one_of.service, one_of).items():
            lines += [
                f"      {verb}: {{ allow: [",
                *(f"        {json.dumps(right)}" for right in rights["allow"]),
                "      ] }",
            ]
        lines.append("    } }")
    return "\n".join([*lines, f"    {{ user: {streams.ADMIN}, password: $password_admin }}", "  ]", "}", ""])


def test_the_users_have_the_rights_that_the_services_need() -> None:
    # When it fails: the text on the right is what the file should be.
    assert (K8S / "components/nats/users.conf").read_text("utf-8") == _conf_of_users()


@pytest.fixture
async def cluster(cluster_secrets: dict[str, Resource], tmp_path: Path) -> AsyncIterator[Cluster]:
    settings = one(SCALED, "ConfigMap", "nats")["data"]
    secret = {name: base64.b64decode(value).decode() for name, value in cluster_secrets["nats"]["data"].items()}
    ports = {name: [free_port() for _ in SERVERS] for name in ("4222", "6222", "8222")}
    processes = []
    for server in SERVERS:
        folder = tmp_path / f"nats-{server}"
        (folder / "secret").mkdir(parents=True)
        for name, text in {**settings, **{f"secret/{name}": text for name, text in secret.items()}}.items():
            # Each pod has a machine of its own; here they share one.
            for peer in SERVERS:
                text = text.replace(f"nats-{peer}.nats-peers:6222", f"127.0.0.1:{ports['6222'][peer]}")  # noqa: PLW2901
            for port, of_server in ports.items():
                text = text.replace(f"0.0.0.0:{port}", f"127.0.0.1:{of_server[server]}")  # noqa: PLW2901
            text = text.replace("/data", f"{folder}/data").replace("/tmp/nats.pid", f"{folder}/pid")  # noqa: PLW2901, S108
            (folder / name).write_text(text)
        processes.append(
            subprocess.Popen(  # noqa: ASYNC220 it returns at once
                [Path(sys.executable).with_name("nats-server"), "--config", folder / "nats.conf"],
                env={"POD": f"nats-{server}"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    passwords = dict(line.removeprefix("password_").split(": ") for line in secret["passwords.conf"].splitlines())
    running = Cluster(processes, ports, {user: password.strip('"') for user, password in passwords.items()})
    try:
        async with asyncio.timeout(90):
            await _ready(running)
        yield running
    finally:
        for process in processes:
            process.kill()
            process.wait(10)


async def _ready(cluster: Cluster) -> None:
    """Wait for the probe that the pods have."""
    (container,) = one(SCALED, "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        for port in cluster.ports["8222"]:
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}{container['startupProbe']['httpGet']['path']}")
                    if answer.is_success:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)


async def test_three_servers_keep_every_event_when_one_is_lost(cluster: Cluster) -> None:
    await streams.ensure(cluster.url(streams.ADMIN), replicas=3)
    admin = await cluster.connect(streams.ADMIN, 1)
    tickets = await cluster.connect("tickets", 1)
    try:
        info = await admin.jetstream().stream_info("TICKETS")
        assert info.config.num_replicas == 3
        cluster.processes[0].kill()
        for number in range(20):
            async with asyncio.timeout(40):  # another server may first have to become the stream's leader
                while True:
                    try:
                        await tickets.jetstream().publish(f"linli.tickets.310104.opened.v{number}", b"", timeout=2)
                        break
                    except (nats.errors.Error, TimeoutError):
                        await asyncio.sleep(0.2)
        info = await admin.jetstream(timeout=10).stream_info("TICKETS")
        assert info.state.messages >= 20
        with pytest.raises(nats.errors.Error):
            await tickets.jetstream().publish("linli.points.310104.awarded.v1", b"", timeout=1)
    finally:
        await tickets.close()
        await admin.close()
