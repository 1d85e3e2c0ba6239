"""What became of one ticket, or of one session with its seats: what must have arrived, and what has."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from linli_cli.api import Api, ApiProblem
from linli_cli.demo_run import Actor

_LOOK_EVERY: Final = 0.2


@dataclass(frozen=True, order=True)
class Happening:
    """Something that a service shows to have happened."""

    at: datetime
    service: str
    what: str
    trace_id: str | None

    @property
    def kind(self) -> str:
        """What is counted."""
        return f"{self.service} {self.what}"


Look = Callable[[], Awaitable[list[Happening]]]


@dataclass
class Story:
    """What is expected, each so many times, and what was found when one last looked.

    Attributes:
        id: of the ticket or session.
        title: for people.
        place: its unit.
        trace_id: the one trace that all of it belongs to.
        expected: how often each kind of happening must be there, exactly.
        look: reads what there is.
        told_after: milliseconds from the request that began it to the end of the first notification's work.
    """

    id: str
    title: str
    place: str
    trace_id: str
    expected: Counter[str]
    look: Look
    found: list[Happening] = field(default_factory=list)
    told_after: float | None = None

    async def refresh(self) -> None:
        """Look again."""
        self.found = sorted(await self.look())

    @property
    def missing(self) -> Counter[str]:
        """What has not arrived."""
        return self.expected - Counter(one.kind for one in self.found)

    @property
    def doubled(self) -> Counter[str]:
        """What there is too much of."""
        return Counter(one.kind for one in self.found) - self.expected

    @property
    def strayed(self) -> int:
        """How many happenings belong to another trace."""
        return sum(one.trace_id != self.trace_id for one in self.found if one.service != "bookings")

    @property
    def complete(self) -> bool:
        """Whether everything is there, once, and in its trace."""
        return not self.missing and not self.doubled and not self.strayed

    def as_json(self) -> dict[str, Any]:
        """Write it for `--json`."""
        return {
            "id": self.id,
            "title": self.title,
            "unit": self.place,
            "trace_id": self.trace_id,
            "expected": dict(self.expected),
            "missing": dict(self.missing),
            "doubled": dict(self.doubled),
            "strayed": self.strayed,
            "events": [
                {"at": one.at.isoformat(), "service": one.service, "what": one.what, "trace_id": one.trace_id}
                for one in self.found
            ],
        }


async def inbox(actor: Actor, subject: str, role: str) -> list[Happening]:
    """Read what somebody was told about a ticket or booking."""
    rows = await actor.items("/notifications/v1/inbox", subject=subject)
    return [
        Happening(
            datetime.fromisoformat(row["occurred_at"]), "notifications", f"{row['kind']} → {role}", row["trace_id"]
        )
        for row in rows
    ]


async def told_after(operator: Api, ticket: str, deadline: float) -> float | None:
    """Measure how long it took until somebody was told of a ticket; an inbox says only what it tells of, and not when.

    Args:
        operator: may read what the console keeps.
        ticket: its id.
        deadline: until when (`time.monotonic`) spans are waited for, which come in batches.

    Returns:
        Milliseconds from the request that opened it; None when the console knows too little.
    """
    while True:
        try:
            items = (await operator.get(f"/console/v1/subjects/{ticket}", limit=200)).json()["items"]
        except ApiProblem as problem:
            if problem.status != HTTPStatus.NOT_FOUND:
                raise
            items = []
        begun = [_at(one) for one in items if one["kind"] == "request"]
        told = [
            _at(one) + timedelta(milliseconds=one["duration"])
            for one in items
            if (one["service"], one["kind"]) == ("notifications", "effect")
        ]
        if begun and told:
            return (min(told) - min(begun)).total_seconds() * 1000
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(_LOOK_EVERY)


def _at(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["at"])
