"""Seats under any order of booking, cancelling and editing, on the real database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar
from uuid import UUID

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bookings import operations
from bookings.models import Booking, Session, State
from bookings.problems import AlreadyBooked, FewerSeatsThanBooked, SessionFull
from linli.db import Scope, Sessions, create_engine, create_sessions, transaction
from linli.problems import Problem
from linli.security import Principal
from linli.testing import Stage

STREET = 310104003 * 10**9
STAFF = Scope.of_unit(STREET)
T = TypeVar("T")
UseCase = Callable[[AsyncSession], Awaitable[T]]


async def in_transaction(sessions: Sessions, scope: Scope, use_case: UseCase[T]) -> T:
    async with transaction(sessions, scope) as db:
        return await use_case(db)


class Seats(RuleBasedStateMachine):
    """Compares the service with a set of people and a number."""

    runner: ClassVar[asyncio.Runner]
    sessions: ClassVar[Sessions]
    centre: ClassVar[UUID]

    def run(self, scope: Scope, use_case: UseCase[T]) -> T:
        return self.runner.run(in_transaction(self.sessions, scope, use_case))

    def refused(self, scope: Scope, use_case: UseCase[None]) -> type[Problem] | None:
        try:
            self.run(scope, use_case)
        except Problem as problem:
            return type(problem)
        return None

    @initialize(seats=st.integers(1, 3))
    def schedule(self, seats: int) -> None:
        starts = datetime.now(UTC) + timedelta(days=1)

        async def use_case(db: AsyncSession) -> Session:
            centre = await operations.find_centre(db, self.centre)
            return await operations.schedule_session(
                db, centre, title="课", starts_at=starts, ends_at=starts + timedelta(hours=1), seats=seats
            )

        self.session = self.run(STAFF, use_case).id
        self.seats = seats
        self.seated: dict[int, UUID] = {}

    @rule(number=st.integers(1, 4))
    def book(self, number: int) -> None:
        person = resident(number)
        expected = AlreadyBooked if number in self.seated else SessionFull if len(self.seated) == self.seats else None
        booked: list[Booking] = []

        async def use_case(db: AsyncSession) -> None:
            booked.append(await operations.book_seat(db, person, self.session))

        assert self.refused(person.own, use_case) is expected
        if expected is None:
            self.seated[number] = booked[0].id

    @precondition(lambda self: self.seated)
    @rule(which=st.integers(0, 3))
    def cancel(self, which: int) -> None:
        number = sorted(self.seated)[which % len(self.seated)]
        booking = self.seated.pop(number)

        async def use_case(db: AsyncSession) -> None:
            await operations.cancel_booking(db, await operations.find_booking(db, booking))

        assert self.refused(resident(number).own, use_case) is None

    @rule(seats=st.integers(1, 4))
    def change_seats(self, seats: int) -> None:
        expected = FewerSeatsThanBooked if seats < len(self.seated) else None

        async def use_case(db: AsyncSession) -> None:
            session = await operations.find_session(db, self.session, to_change=True)
            await operations.change_session(db, session, title=None, starts_at=None, ends_at=None, seats=seats)

        assert self.refused(STAFF, use_case) is expected
        if expected is None:
            self.seats = seats

    @invariant()
    def booked_is_the_number_of_active_bookings(self) -> None:
        async def use_case(db: AsyncSession) -> tuple[Session, set[UUID]]:
            active = select(Booking.person).where(Booking.session_id == self.session, Booking.state == State.BOOKED)
            return await operations.find_session(db, self.session), set(await db.scalars(active))

        session, people = self.run(STAFF, use_case)
        assert people == {resident(number).id for number in self.seated}
        assert session.booked == len(people) <= session.seats == self.seats


def resident(number: int) -> Principal:
    return Principal(UUID(int=number), "test", frozenset({"resident"}), 310104 * 10**12, ())


async def prepare(stage: Stage, database: str, sessions: Sessions) -> UUID:
    """Make the street known and open a centre in it."""
    connection = await asyncpg.connect(stage.url("postgres", database))
    await connection.execute("INSERT INTO known_unit VALUES ($1, $2, 'street', 'x', true, 1)", 310104, STREET)
    await connection.close()
    staff = Principal(UUID(int=99), "test", frozenset({"street_admin"}), STREET, ())

    async def use_case(db: AsyncSession) -> UUID:
        return (await operations.create_centre(db, staff, unit=STREET, name="邻里中心", address="路1号")).id

    return await in_transaction(sessions, staff.scope, use_case)


def test_booked_always_counts_the_active_bookings(stage: Stage) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(stage.fresh_database("bookings"))
        engine = create_engine(stage.settings("bookings", database), "bookings")
        Seats.runner, Seats.sessions = runner, create_sessions({None: engine}, lambda _: None)
        Seats.centre = runner.run(prepare(stage, database, Seats.sessions))
        try:
            run_state_machine_as_test(
                Seats,
                settings=settings(
                    max_examples=20,
                    stateful_step_count=20,
                    phases=(Phase.generate, Phase.shrink),
                    deadline=None,
                    derandomize=True,
                    database=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(engine.dispose())
