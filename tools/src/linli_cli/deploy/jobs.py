"""`linli job`: what prepares a deployment at every start; each runs in a container of its own and ends.

All are safe to run again, and each is given only the secrets that it needs.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from linli.shards import BadShards, Shards
from linli_cli.console import Trouble
from linli_cli.deploy import keys, placement
from linli_cli.home import APPS
from linli_cli.stack import database, gateway, streams
from linli_cli.stack.tls import Tls

_SECRETS = Path("/run/secrets")
_VOLUMES = Path("/volumes")
_GATEWAY_SEES = Path("/etc/traefik")
"""Where the gateway finds the volume that this job writes to."""
_CERTIFICATES = Path("/certificates/acme.json")
_HTTPS = 443

app = typer.Typer(add_completion=False)


@app.callback()
def _group() -> None:
    """Prepare a deployment; containers do this at every start 部署任务."""


@app.command()
def configure() -> None:
    """Write the settings of gateway and broker, as this version of the services needs them 生成网关与消息服务配置."""
    addresses = {name: f"http://{name}:8000" for name in APPS}
    broker = streams.server_configuration(
        streams.subscriptions(),
        keys.broker_passwords(_SECRETS),
        listen="0.0.0.0:4222",
        monitor="127.0.0.1:8222",
        store="/data",
    )
    port = int(os.environ.get("LINLI_PORT") or _HTTPS)
    tls = Tls.wished(secure=":8443", plain=":8081", port=port, store=_CERTIFICATES)
    for path, content in (
        ("gateway/traefik.yml", gateway.static(":8080", "127.0.0.1:8082", _GATEWAY_SEES / "routes.yml", tls)),
        ("gateway/routes.yml", gateway.routes(addresses, tls)),
        ("broker-settings/nats.conf", broker),
    ):
        draft = _VOLUMES / f"{path}.draft"
        draft.touch(mode=0o600)
        draft.write_text(gateway.as_json(content), encoding="utf-8")
        draft.replace(_VOLUMES / path)


@app.command()
def provision() -> None:
    """Make databases, logins and rights on every server, unless that would hide some rows 创建数据库与账号."""
    asyncio.run(_provision(_shards()))


async def _provision(shards: Shards) -> None:
    from linli.bootstrap import provision  # noqa: PLC0415 each job loads what it needs

    url, passwords = keys.superuser_url(_SECRETS), keys.database_passwords(_SECRETS)
    await placement.check(url, shards)
    await provision(url, APPS, passwords)
    for address in shards.addresses:
        await provision(Shards.at(url, address), placement.SHARDED, passwords)
    await placement.remember(url, shards)


@app.command()
def migrate() -> None:
    """Bring every service's tables up to date, on every server 升级数据库结构."""
    shards = _shards()
    for service in APPS:
        url = (_SECRETS / f"{service}_owner_url").read_text().strip()
        for server in shards.servers if service in placement.SHARDED else (None,):
            database.migrate_one(service, Shards.at(url, server))


@app.command(name="streams")
def make_streams(
    replicas: Annotated[int, typer.Option(min=1, max=5, help="On how many servers each stream is 副本数")] = 1,
) -> None:
    """Make the event streams and their consumers 创建事件流."""
    asyncio.run(streams.ensure((_SECRETS / f"{streams.ADMIN}_nats_url").read_text().strip(), replicas))


def _shards() -> Shards:
    try:
        return Shards.parse(os.environ.get("LINLI_SHARDS", ""))
    except BadShards as error:
        raise Trouble(error.english, error.chinese) from error
