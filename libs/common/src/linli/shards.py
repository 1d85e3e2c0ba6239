"""Shards (分片): which district lives on which database server, when one server no longer holds them all.

`LINLI_SHARDS` is the same for the whole platform and holds no secret: every server has the same databases, logins and
passwords. Rows start with their district, so a district is whole on its server and nothing is asked of two at once.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

Server = str | None
"""A database server by its `host:port`; None is the one of the services' own settings."""

_ADDRESS: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]):[1-9][0-9]{0,4}")
_DISTRICTS: Final = range(100_000, 1_000_000)
_LAST_PORT: Final = 0xFFFF
_EXAMPLE: Final = '{"postgres-2:5432": [310104, 310115]}'


class BadShards(ValueError):  # noqa: N818 it says what is bad
    """LINLI_SHARDS can't be used.

    Attributes:
        english: why, and what it looks like.
        chinese: the same.
    """

    def __init__(self, reason: str, reason_zh: str) -> None:
        self.english = f"LINLI_SHARDS can't be used: {reason}. It looks like {_EXAMPLE}"
        self.chinese = f"分片设置 LINLI_SHARDS 有误：{reason_zh}，格式如 {_EXAMPLE}"
        super().__init__(f"{self.english}\n{self.chinese}")


@dataclass(frozen=True, slots=True)
class Shards:
    """Where districts live that do not live on the server of `LINLI_DATABASE_URL`, as all others do.

    Attributes:
        addresses: `host:port` of every further server, also of one that has no district yet.
    """

    addresses: tuple[str, ...] = ()
    _of: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the setting; nothing means one server.

        Raises:
            BadShards: when it is no map of addresses to districts, or names an address or a district twice.
        """
        of: dict[int, str] = {}
        addresses: list[str] = []
        for address, districts in _read(text) if text.strip() else ():
            if address in addresses:
                raise BadShards(f"{address} is named twice", f"{address} 出现两次")
            addresses.append(address)
            for district in districts:
                if district in of:
                    raise BadShards(f"district {district} is named twice", f"区 {district} 出现两次")
                of[district] = address
        return cls(tuple(addresses), of)

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every database server, the one of the services' own settings first."""
        return (None, *self.addresses)

    def of(self, district: int) -> Server:
        """Tell on which server a district lives; 0 is the platform itself."""
        return self._of.get(district)

    def on(self, server: Server) -> list[int]:
        """List the districts that are named for a server."""
        return [district for district, there in self._of.items() if there == server]

    @staticmethod
    def at(url: str, server: Server) -> str:
        """Give a database's URL on another server: same database, login and password."""
        if server is None:
            return url
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        # libpq also takes the server from here, and it would win.
        query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in {"host", "port"}])
        return parts._replace(netloc=f"{user}{at}{server}", query=query).geturl()

    @staticmethod
    def address(url: str) -> str:
        """Give the `host:port` that a URL names; empty for a socket."""
        return urlsplit(url).netloc.rpartition("@")[2]


def _read(text: str) -> Iterator[tuple[str, list[int]]]:
    try:
        # A list of pairs: of two equal keys a dict would drop the first, and its districts with it.
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        raise BadShards(f"it is no JSON ({error})", "不是有效的 JSON") from None
    if not text.lstrip().startswith("{"):
        raise BadShards("it is no JSON object", "不是 JSON 对象")
    for address, districts in pairs:
        if not _ADDRESS.fullmatch(address) or int(address.rpartition(":")[2]) > _LAST_PORT:
            raise BadShards(f"{address!r} is no host:port", f"{address!r} 不是 主机:端口")
        if not isinstance(districts, list):
            raise BadShards(f"{address} has no list of districts", f"{address} 缺少区的列表")
        for district in districts:
            if not isinstance(district, int) or district not in _DISTRICTS:
                raise BadShards(f"{district!r} is no district of six digits", f"{district!r} 不是六位区划代码")
        yield address, districts
