"""NATS JetStream, embedded or in a container: its server, its users with least rights, and the streams."""

import asyncio
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import nats

from linli_cli.console import step
from linli_cli.home import SERVICES, Home

if TYPE_CHECKING:
    from linli.inbox import Subscriptions

ADMIN = "admin"
"""The user who makes streams and consumers."""
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


def passwords(home: Home) -> dict[str, str]:
    """Give the password of every user of the broker."""
    return {user: home.secret(f"nats_{user}") for user in (*SERVICES, ADMIN)}


def server_configuration(
    services: "Iterable[Subscriptions]", passwords: Mapping[str, str], *, listen: str, monitor: str, store: str
) -> dict[str, object]:
    """Give the server's configuration; its format takes JSON without escaped letters.

    Args:
        services: what each listens to: it may do that, tell its own events, and nothing else.
        passwords: by user.
        listen: host and port for clients.
        monitor: host and port on which the server tells its state.
        store: folder of the streams.
    """
    from linli.streams import nats_permissions  # noqa: PLC0415 as above

    users: list[dict[str, object]] = [
        {"user": one.service, "password": passwords[one.service], "permissions": nats_permissions(one.service, one)}
        for one in services
    ]
    users.append({"user": ADMIN, "password": passwords[ADMIN]})
    return {
        "server_name": "linli",
        "listen": listen,
        "http": monitor,
        "jetstream": {
            "store_dir": store,
            "sync_interval": "always",  # an acknowledged event is on the disk
            "max_memory_store": 64 * 2**20,
        },
        "authorization": {"users": users},
    }


async def ensure(address: str, replicas: int = 1) -> None:
    """Create the streams and consumers that are missing, as the broker's administrator.

    Args:
        address: of the broker, with the administrator's password.
        replicas: on how many of its servers each stream is.
    """
    from linli.streams import ensure_streams  # noqa: PLC0415 as above

    async with asyncio.timeout(3 * _SECONDS):
        client = await nats.connect(address, connect_timeout=_SECONDS, max_reconnect_attempts=3)
        try:
            await ensure_streams(client.jetstream(timeout=_SECONDS), subscriptions(), replicas)
        finally:
            await client.close()


def streams() -> None:
    """Create or update the event streams and their consumers 创建或更新事件流."""
    home = Home.embedded()
    home.require()
    with step("Event streams are there", "事件流已就绪"):
        asyncio.run(ensure(url(home, ADMIN)))
