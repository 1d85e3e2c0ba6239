"""The inbox (收件箱): what a service does when others tell of something, once for each event.

A handler gets a transaction that holds the event's inbox row already: both commit together, or neither. What keeps
a copy of others' state needs no such row: it compares sequences, and takes many events at once.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from linli.db import Scope, Sessions, transaction
from linli.direct import fetch, write_out
from linli.events import Event
from linli.events.directory import UnitChanged
from linli.known_units import keep_units

E = TypeVar("E", bound=Event)
On = Callable[[AsyncSession, E], Awaitable[None]]
Keep = Callable[[AsyncSession, list[E]], Awaitable[None]]
Around = Callable[[Event], AbstractContextManager[Any]]
_Handler = Callable[[AsyncSession, list[E], Around], Awaitable[None]]

_NOTE: Final = (
    "INSERT INTO inbox (district, consumer, event_id) SELECT $1, $2, unnest($3::uuid[])"
    " ON CONFLICT DO NOTHING RETURNING event_id"
)


def stream_of(contract: type[Event]) -> str:
    """Name the stream that keeps a contract's events; states have one of their own, as they are kept differently."""
    return contract.publisher.upper() + ("_STATE" if contract.state else "")


def inbox_of(service: str, contract: type[Event]) -> str:
    """Name a service's inbox of a publisher's events: one, whichever durable consumers they came by."""
    return f"{service}-{contract.publisher}"


@dataclass(frozen=True)
class Consumer:
    """A durable consumer: what one service hears from one publisher.

    Attributes:
        service: who hears.
        name: of the durable, `<service>-<publisher>`, or `<service>-<state>s` for a copy of states; it ends with the
            release that first listened to these, unless that was the first.
        stream: where it reads.
        contracts: the events it filters for.
    """

    service: str
    name: str
    stream: str
    contracts: tuple[type[Event], ...]

    @property
    def inbox(self) -> str:
        """Under which name the service's inbox notes what it acted on."""
        return inbox_of(self.service, self.contracts[0])

    @property
    def keeps_state(self) -> bool:
        """Whether it takes many events at once and needs no inbox rows."""
        return self.contracts[0].state

    @property
    def subjects(self) -> list[str]:
        """What it filters for."""
        return [contract.subject_for("*", "*") for contract in self.contracts]


class Subscriptions:
    """What one service listens to.

    Args:
        service: its name.
        known_units: whether the chassis keeps the `known_unit` table up to date.
    """

    def __init__(self, service: str, *, known_units: bool = False) -> None:
        self.service = service
        self.known_units = known_units
        self._handlers: dict[type[Event], _Handler[Any]] = {}
        self._since: dict[type[Event], str] = {}
        if known_units:
            self.state(UnitChanged)(keep_units)

    def on(self, contract: type[E], *, since: str = "") -> Callable[[On[E]], On[E]]:
        """Register what to do when this happens: `async def handler(session, event)`, once for each event.

        Args:
            contract: the event.
            since: the release that first listened to it, such as `"0.2"`; empty for the first release. It gets a
                durable consumer of its own: while an upgrade runs, code of the release before pulls the old ones too,
                and would put what it does not know among the dead letters.
        """

        def register(handler: On[E]) -> On[E]:
            async def one_by_one(session: AsyncSession, events: list[E], around: Around) -> None:
                new = await self._new(session, events)
                for event in events:
                    if event.id in new:
                        new.remove(event.id)  # it may be there twice, when it was delivered again
                        with around(event):
                            await handler(session, event)
                            await write_out(session)
                        # What one event read is not what the next one finds: it may have been changed by a statement.
                        session.expunge_all()

            self._add(contract, one_by_one, state=False)
            self._since[contract] = since
            return handler

        return register

    def state(self, contract: type[E]) -> Callable[[Keep[E]], Keep[E]]:
        """Register what keeps a copy of states: `async def keep(session, events)`, all of one district."""

        def register(handler: Keep[E]) -> Keep[E]:
            async def at_once(session: AsyncSession, events: list[E], _: Around) -> None:
                await handler(session, events)

            self._add(contract, at_once, state=True)
            return handler

        return register

    def _add(self, contract: type[E], handler: _Handler[E], *, state: bool) -> None:
        if contract in self._handlers:
            raise ValueError(f"{self.service} handles {contract.type} already")
        if contract.state != state:
            raise ValueError(f"{contract.type} is {'a state' if contract.state else 'no state'}")
        self._handlers[contract] = handler

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """The durable consumers this needs."""
        return tuple(self._consumers())

    def _consumers(self) -> Iterator[Consumer]:
        for contract in self._handlers:
            if contract.state:
                name = contract.type.split(".")[1]
                yield Consumer(self.service, f"{self.service}-{name}s", stream_of(contract), (contract,))
        happened = [contract for contract in self._handlers if not contract.state]
        for publisher, since in dict.fromkeys((contract.publisher, self._since[contract]) for contract in happened):
            contracts = tuple(one for one in happened if (one.publisher, self._since[one]) == (publisher, since))
            name = "-".join(filter(None, (self.service, publisher, since.replace(".", "_"))))
            yield Consumer(self.service, name, stream_of(contracts[0]), contracts)

    async def handle(self, sessions: Sessions, events: Sequence[Event], around: Around = nullcontext) -> None:
        """Act on events of one contract and one district, in one transaction that sees the district.

        Args:
            sessions: the service's.
            events: all of them are handled, or none.
            around: gives a context for the handling of each, when they are handled one by one.
        """
        async with transaction(sessions, Scope.of_district(events[0].district)) as session:
            await self._handlers[type(events[0])](session, list(events), around)

    async def _new(self, session: AsyncSession, events: Sequence[Event]) -> set[UUID]:
        """Note that events were handled, and tell which were not before."""
        district, inbox = events[0].district, inbox_of(self.service, type(events[0]))
        # In one order, so that two who are told of the same do not wait for each other.
        noted = await fetch(session, _NOTE, district, inbox, sorted(event.id for event in events))
        return {row["event_id"] for row in noted}
