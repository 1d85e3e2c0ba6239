"""NATS JetStream of the embedded stack: its server, its users with least rights, and the streams."""

import asyncio
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import nats

from linli_cli.console import step
from linli_cli.home import SERVICES, Home

if TYPE_CHECKING:
    from linli.inbox import Subscriptions

_SECONDS = 10


def url(home: Home, user: str) -> str:
    """Give the address with a user's password."""
    return f"nats://{user}:{home.secret(f'nats_{user}')}@127.0.0.1:{home.nats_port}"


def subscriptions() -> "list[Subscriptions]":
    """Collect what every service listens to."""
    from linli.inbox import Subscriptions  # noqa: PLC0415 slow to load, and only some commands need it

    return [
        import_module(f"{name}.subscribers").subscriptions if find_spec(f"{name}.subscribers") else Subscriptions(name)
        for name in SERVICES
    ]


def server_configuration(home: Home, services: "Iterable[Subscriptions]") -> dict[str, object]:
    """Give the server's configuration; its format takes JSON."""
    from linli.streams import nats_permissions  # noqa: PLC0415 as above

    users: list[dict[str, object]] = [
        {
            "user": one.service,
            "password": home.secret(f"nats_{one.service}"),
            "permissions": nats_permissions(one.service, one),
        }
        for one in services
    ]
    users.append({"user": "admin", "password": home.secret("nats_admin")})
    return {
        "server_name": "linli",
        "listen": f"127.0.0.1:{home.nats_port}",
        "http": f"127.0.0.1:{home.monitor_port}",
        "jetstream": {
            "store_dir": str(home.data / "nats"),
            "sync_interval": "always",  # an acknowledged event is on the disk
            "max_memory_store": 64 * 2**20,
        },
        "authorization": {"users": users},
    }


async def ensure(home: Home) -> None:
    """Create the streams and consumers that are missing."""
    from linli.streams import ensure_streams  # noqa: PLC0415 as above

    async with asyncio.timeout(3 * _SECONDS):
        client = await nats.connect(url(home, "admin"), connect_timeout=_SECONDS, max_reconnect_attempts=3)
        try:
            await ensure_streams(client.jetstream(timeout=_SECONDS), subscriptions())
        finally:
            await client.close()


def streams() -> None:
    """Create or update the event streams and their consumers 创建或更新事件流."""
    home = Home.find()
    home.require()
    with step("Event streams are there", "事件流已就绪"):
        asyncio.run(ensure(home))
