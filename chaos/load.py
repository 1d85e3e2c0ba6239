"""People at work: tickets from report to rating, and a note of every step that was acknowledged."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt

from linli_cli.api import Api, ApiProblem, Login
from linli_cli.console import Trouble
from linli_cli.identity import Identities

COMMUNITY = "310104003001"
DISTRICT = "310104"
STEPS = ("open", "assign", "resolve", "close", "rate")
EVENTS = 13
"""Of a whole life: five steps, points, and seven messages in people's inboxes."""
_PEOPLE = 8
_AT_ONCE = 16


@dataclass
class Work:
    """What was done.

    Attributes:
        acknowledged: steps of each ticket by its title, as they were answered.
        troubles: how often a request was given up, by what was said.
        broken: what was said in refusals that the platform is to blame for.
        begun: how many tickets were reported, or tried to.
    """

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    begun: int = 0

    @property
    def steps(self) -> int:
        """How many steps were acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    def refused(self, problem: ApiProblem) -> None:
        """Note who is to blame for a refusal: nobody does anything wrong here, so whoever is not put off is wronged.

        That holds for what is tried again, too: a step that was done has its first answer again. Signing in alone has
        not: a person's token is exchanged once, and refused when the answer was lost.
        """
        if not problem.put_off and problem.body.get("error") != "invalid_grant":
            self.broken.append(problem.english)


@dataclass(frozen=True)
class People:
    """Who works: residents report, close and rate, the community's manager assigns and resolves."""

    residents: list[Login]
    manager: Login
    manager_id: str

    @classmethod
    async def sign_in(cls, identities: Identities) -> "People":
        """Sign everybody in, one after the other: the first makes the district's provider known."""
        manager = identities.login("community_manager", COMMUNITY)
        claims = jwt.decode(await manager(), options={"verify_signature": False})
        residents = [identities.login("resident", DISTRICT, f"chaos-{number}") for number in range(_PEOPLE)]
        for resident in residents:
            await resident()
        return cls(residents, manager, claims["sub"])


async def live(api: Api, people: People, title: str, done: Callable[[str], None]) -> str:
    """Take one ticket through its whole life; each step has one key, however often it is tried.

    Returns:
        Its id.
    """
    reporter, manager = api.by(people.residents[hash(title) % _PEOPLE]), api.by(people.manager)
    report = {"unit": COMMUNITY, "title": title, "description": "小区北门路灯三天不亮", "category": "lighting"}
    answer = await _step(reporter, "/tickets/v1/tickets", report)
    done("open")
    ticket: str = answer.json()["id"]
    moves: list[tuple[str, Api, dict[str, Any]]] = [
        ("assign", manager, {"assignee": people.manager_id}),
        ("resolve", manager, {}),
        ("close", reporter, {}),
        ("rate", reporter, {"rating": 5}),
    ]
    for move, who, body in moves:
        answer = await _step(who, f"/tickets/v1/tickets/{ticket}/{move}", body, answer.headers["ETag"])
        done(move)
    return ticket


async def _step(who: Api, path: str, body: object, etag: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": str(uuid4()), **({"If-Match": etag} if etag else {})}
    return await who.request("POST", path, json=body, headers=headers)


async def load(  # noqa: PLR0913 a load is these
    api: Api, people: People, work: Work, *, lives: int, within: float, enough: asyncio.Event
) -> None:
    """Live many lives, evenly over a time, and on until it is enough.

    Args:
        api: how to reach the platform.
        people: who works.
        work: notes what was done.
        lives: how many at least.
        within: seconds over which they are spread, without haste after a fault; the rest is lived at the end.
        enough: set when the last fault is over.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        title = f"chaos {number}"
        steps = work.acknowledged[title] = []
        try:
            await live(api, people, title, steps.append)
        except Trouble as trouble:
            work.troubles[trouble.english] += 1
            if isinstance(trouble, ApiProblem):
                work.refused(trouble)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as tasks:
        while work.begun < lives or not enough.is_set():
            await slots.acquire()
            if not enough.is_set():
                await asyncio.sleep(within / lives)
            tasks.create_task(one(work.begun))
            work.begun += 1
