"""Where a platform keeps everything: databases as their superuser, the broker as its administrator, files, its key."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

import asyncpg
import nats
from nats.js import JetStreamContext

from linli.crypto import BadMasterKey, MasterKeys
from linli.shards import BadShards, Shards
from linli_cli.archive.places import Place
from linli_cli.console import Trouble
from linli_cli.deploy import keys
from linli_cli.home import Home
from linli_cli.stack import database, streams

_SECONDS = 10
_SETTINGS = {
    "application_name": "linli archive",
    # Rows as text are the same whatever the server's own settings.
    "timezone": "UTC",
    "datestyle": "ISO",
    "bytea_output": "hex",
    "statement_timeout": str(3_600_000),  # a large table takes its time; nothing takes for ever
    "idle_in_transaction_session_timeout": "0",  # a snapshot waits while others are read
    "lock_timeout": "30s",
}


@dataclass(frozen=True)
class Stores:
    """The platform's stores, for commands that see all districts.

    Attributes:
        broker: address of NATS, as its administrator.
        master: the key that wraps districts' data keys.
        shards: which district lives on which database server.
    """

    broker: str = field(repr=False)
    master: MasterKeys = field(repr=False)
    shards: Shards
    _superuser: str = field(repr=False)
    _files: str

    @classmethod
    def of(cls, home: Home) -> Self:
        """Find the stores of a platform: of the embedded stack, or from inside of a deployment in containers.

        Raises:
            Trouble: when they can't be reached from here.
        """
        if home.in_containers:
            raise Trouble(
                f"{home.root} runs in containers; its databases are reached from inside only.",
                f"{home.root} 以容器方式运行，数据库只能从内部访问。",
                hint=f"cd {home.root} && docker compose run --rm -T operator district ...",
            )
        try:
            shards = Shards.parse(os.environ.get("LINLI_SHARDS", ""))
            if home.inside:
                return cls(
                    broker=(home.secrets / f"{streams.ADMIN}_nats_url").read_text().strip(),
                    master=MasterKeys((home.secrets / "master_key").read_text().strip()),
                    shards=shards,
                    _superuser=keys.superuser_url(home.secrets),
                    _files=os.environ.get("LINLI_FILES", ""),
                )
            return cls(
                broker=streams.url(home, streams.ADMIN),
                master=MasterKeys(home.master_key()),
                shards=shards,
                _superuser=database.superuser_url(home),
                _files=os.environ.get("LINLI_FILES") or str(home.files),
            )
        except (BadShards, BadMasterKey) as error:
            raise Trouble(str(error), "设置有误，见上。") from error
        except OSError as error:
            raise Trouble(
                f"{error.filename} can't be read: {error.strerror}.", f"无法读取 {error.filename}。"
            ) from error

    def url(self, service: str, district: int) -> str:
        """Give the address of a service's database that a district lives in; the directory lives in one place."""
        address = None if service == "directory" else self.shards.of(district)
        return self._at(service, address)

    def everywhere(self, service: str) -> list[str]:
        """Give the addresses of a service's databases, on all servers."""
        addresses = () if service == "directory" else self.shards.addresses
        return [self._at(service, address) for address in (None, *addresses)]

    def _at(self, service: str, address: str | None) -> str:
        return Shards.at(urlsplit(self._superuser)._replace(path=f"/{service}").geturl(), address)

    @cached_property
    def files(self) -> Place:
        """The store in which tickets keeps photos and files.

        Raises:
            Trouble: when nobody has said where it is, or it can't be opened.
        """
        if not self._files:
            raise Trouble("LINLI_FILES does not say where files are kept.", "未用 LINLI_FILES 指定附件存储位置。")
        return Place(self._files, make=True)

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        """Connect to the broker.

        Raises:
            Trouble: when it does not answer.
        """
        try:
            client = await nats.connect(
                self.broker,
                connect_timeout=_SECONDS,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # it counts a first connection's, too, which come two seconds apart
                error_cb=_nothing_to_add,
            )
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise Trouble("The broker does not answer.", "消息服务没有响应。", hint="linli doctor") from error
        try:
            yield client.jetstream(timeout=_SECONDS)
        finally:
            await client.close()


async def _nothing_to_add(_: Exception) -> None:
    """Keep the client from printing what is raised anyway."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to a database as its superuser.

    Raises:
        Trouble: when it does not answer.
    """
    try:
        connection = await asyncpg.connect(url, timeout=_SECONDS, server_settings=_SETTINGS)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        parts = urlsplit(url)
        raise Trouble(
            f"The database {parts.path[1:]} at {parts.hostname}:{parts.port} does not answer: {error}",
            f"数据库 {parts.path[1:]}（{parts.hostname}:{parts.port}）没有响应。",
            hint="linli doctor",
        ) from error
    try:
        yield connection
    finally:
        await connection.close(timeout=_SECONDS)
