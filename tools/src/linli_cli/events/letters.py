"""Dead letters (死信) of all services, through their API and in the name of the platform's operator."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble
from linli_cli.home import SERVICES, Home
from linli_cli.identity import Identities

_PAGE: Final = 200


@dataclass(frozen=True)
class Letter:
    """A dead letter and who keeps it."""

    service: str
    facts: dict[str, Any]

    @property
    def open(self) -> bool:
        """Whether nobody has dealt with it."""
        return not (self.facts["replayed_at"] or self.facts["discarded_at"])


def operator(home: Home, api: Api) -> Api:
    """Call in the name of the platform's operator."""
    return api.by(Identities(home, api).login("operator", "0"))


async def listed(
    api: Api, services: Sequence[str], *, within: str = "", closed: bool, most: int
) -> tuple[list[Letter], dict[str, Trouble]]:
    """List the newest dead letters.

    Args:
        api: the operator's.
        services: whose.
        within: one district's alone.
        closed: also those that were replayed or discarded.
        most: how many at most.

    Returns:
        The letters of the services that answered, and by name why the others' are missing.

    Raises:
        Trouble: when none answered.
    """
    silent: dict[str, Trouble] = {}

    async def of(service: str) -> list[Letter]:
        try:
            return await _of(api, service, within, closed, most)
        except Trouble as trouble:
            silent[service] = trouble
            return []

    letters = [letter for some in await asyncio.gather(*map(of, services)) for letter in some]
    if len(silent) == len(services):
        raise next(iter(silent.values()))
    return sorted(letters, key=lambda letter: str(letter.facts["died_at"]), reverse=True)[:most], silent


async def _of(api: Api, service: str, within: str, closed: bool, most: int) -> list[Letter]:  # noqa: FBT001 named by its caller
    params: dict[str, str | int] = {"limit": _PAGE, **({"within": within} if within else {})}
    if not closed:
        params["state"] = "pending"
    found: list[Letter] = []
    while len(found) < most:
        page = (await api.get(f"/{service}/v1/dead-letters", **params)).json()
        letters = (Letter(service, facts) for facts in page["items"])
        # The release before doesn't know the state, and lists all.
        found += [letter for letter in letters if closed or letter.open]
        if not page["next"]:
            break
        params["cursor"] = page["next"]
    return found


async def read(api: Api, service: str, letter: UUID) -> Letter:
    """Read one."""
    return Letter(service, (await api.get(_path(service, letter))).json())


async def settle(api: Api, service: str, letter: str, how: str) -> str:
    """Have one handled again (`replay`), or say that it never will be (`discard`).

    Returns:
        Why it still can't be handled; empty when it was.
    """
    try:
        await api.post(f"{_path(service, letter)}/{how}", None)
    except ApiProblem as problem:
        if problem.status != HTTPStatus.CONFLICT:
            raise
        return problem.english
    return ""


def _path(service: str, letter: UUID | str) -> str:
    return f"/{known(service)}/v1/dead-letters/{letter}"


def known(service: str) -> str:
    """Give a service's name back.

    Raises:
        Trouble: when there is no such service.
    """
    if service not in SERVICES:
        names = ", ".join(SERVICES)
        raise Trouble(f"There is no service {service}; there are {names}.", f"没有服务 {service}，可用：{names}。")
    return service
