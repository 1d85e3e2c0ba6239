"""What became of one ticket, or of one session with its seats: what must have arrived, and what has."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from linli_cli.demo_run import Actor


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
    """

    id: str
    title: str
    place: str
    trace_id: str
    expected: Counter[str]
    look: Look
    found: list[Happening] = field(default_factory=list)

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
    # The id says when the message was written (UUID version 7), `occurred_at` what it tells of.
    return [Happening(_born(row["id"]), "notifications", f"{row['kind']} → {role}", row["trace_id"]) for row in rows]


def _born(uuid7: str) -> datetime:
    return datetime.fromtimestamp((UUID(uuid7).int >> 80) / 1000, UTC)
