"""A district's OAuth2 clients, one for administrators and one a street, and the file that keeps their secrets."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from linli_cli.api import Api
from linli_cli.console import Trouble

_APPS = "/directory/v1/apps"
_STANDARD = Path("-")


class Done(Enum):
    """What was done about a client."""

    MADE = "made 新建"
    THERE = "there 已有"
    RENEWED = "new secret 新密钥"
    UNKNOWN = "no secret 无密钥"


@dataclass(frozen=True)
class Client:
    """A client that a district should have."""

    unit: str
    name: str
    role: str


class Secrets:
    """The clients' secrets in a file that only its owner reads: the directory keeps hashes, and shows each once.

    Args:
        file: where they are kept; `-` prints them in the end instead.
        token_url: where tokens are to be had.

    Raises:
        Trouble: when it can't be kept there, before any secret is made.
    """

    def __init__(self, file: Path, token_url: str) -> None:
        self.place = file
        self.printed = file == _STANDARD
        self._content: dict[str, Any] = {"token_url": token_url, "clients": []}
        if self.printed:
            return
        with suppress(FileNotFoundError):
            try:
                self._content["clients"] = json.loads(file.read_text(encoding="utf-8"))["clients"]
            except FileNotFoundError:
                raise
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Trouble(f"{file} can't be read as clients' secrets.", f"无法读取密钥文件 {file}。") from error
        self._write()

    def __contains__(self, client_id: str) -> bool:
        return any(one["client_id"] == client_id for one in self._content["clients"])

    def keep(self, client: Client, client_id: str, secret: str) -> None:
        """Keep a secret, at once: it is not shown again."""
        known = [one for one in self._content["clients"] if one["client_id"] != client_id]
        entry = {
            "unit": client.unit,
            "name": client.name,
            "role": client.role,
            "client_id": client_id,
            "client_secret": secret,
        }
        self._content["clients"] = [*known, entry]
        self._write()

    def show(self) -> None:
        """Print them, if that was asked for."""
        if self.printed:
            sys.stdout.write(self._text())

    def _write(self) -> None:
        if self.printed:
            return
        draft = self.place.with_name(f"{self.place.name}.part")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(self._text())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.place)
        except OSError as error:
            raise Trouble(
                f"Secrets can't be kept in {self.place}: {error.strerror}.",
                f"无法将密钥写入 {self.place}。",
                hint="--secrets FILE names another place, --secrets - prints them.  可用 --secrets 指定其他位置。",
            ) from error

    def _text(self) -> str:
        return json.dumps(self._content, ensure_ascii=False, indent=2) + "\n"


async def register(
    operator: Api, district: str, wanted: Iterable[Client], secrets: Secrets, *, renew: bool
) -> list[tuple[Client, str, Done]]:
    """Make the clients that are missing.

    Args:
        operator: the platform's own.
        district: 6 digits.
        wanted: what there should be.
        secrets: keeps new secrets.
        renew: whether clients whose secret is not kept get a new one; their old one ends.

    Returns:
        Every client with its id and what was done.
    """
    there: dict[tuple[str, str], str] = {}
    async for app in every(operator, _APPS, within=district):
        if app["active"] and len(app["roles"]) == 1:
            there.setdefault((app["unit"], app["roles"][0]), app["client_id"])
    found = []
    for client in wanted:
        client_id = there.get((client.unit, client.role))
        if client_id is None:
            body = {"unit": client.unit, "name": client.name, "roles": [client.role]}
            made = (await operator.post(_APPS, body)).json()
            secrets.keep(client, made["client_id"], _of(made))
            found.append((client, made["client_id"], Done.MADE))
        elif client_id in secrets:
            found.append((client, client_id, Done.THERE))
        elif renew:
            etag = (await operator.get(f"{_APPS}/{client_id}")).headers["ETag"]
            path = f"{_APPS}/{client_id}/rotate-secret"
            secret = _of((await operator.request("POST", path, headers={"If-Match": etag})).json())
            secrets.keep(client, client_id, secret)
            found.append((client, client_id, Done.RENEWED))
        else:
            found.append((client, client_id, Done.UNKNOWN))
    return found


def _of(made: dict[str, Any]) -> str:
    if not made["secret"]:
        raise Trouble(
            f"The answer with the secret of {made['unit']} was lost.",
            f"{made['unit']} 的密钥应答丢失。",
            hint="Run it again with --new-secrets.  请加 --new-secrets 重新执行。",
        )
    return str(made["secret"])


async def every(api: Api, path: str, **params: str | int) -> AsyncIterator[dict[str, Any]]:
    """Read a list to its end."""
    while True:
        page = (await api.get(path, limit=200, **params)).json()
        for one in page["items"]:
            yield one
        if not page["next"]:
            return
        params["cursor"] = page["next"]
