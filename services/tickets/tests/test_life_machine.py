"""A ticket is moved at random, legally and not, by several people and by time: it never leaves the table of moves."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, STREET, employ
from services.tickets.tests.test_moves import legal
from services.tickets.tests.test_whistles import staffed

from linli import clockwork
from linli.testing import Running
from linli.testing.machines import walk
from tickets import clocks
from tickets.models.moves import POOR, TAKEN_UP, Clock, Level, Move, State

WORDS = {"note": "说明"}
PEOPLES = (
    Move.ASSIGN,
    Move.ASK,
    Move.ANSWER,
    Move.ESCALATE,
    Move.RETURN,
    Move.HAND_DOWN,
    Move.RESOLVE,
    Move.CLOSE,
    Move.REOPEN,
    Move.RATE,
    Move.WITHDRAW,
    Move.FOLD,
    Move.SPLIT,
    Move.WHISTLE,
    Move.NOTE,
)
"""What people do; the rest follows."""
BELOW = {STREET: COMMUNITY, COMMUNITY: GRID, GRID: MICRO}
ENDS = {Move.WITHDRAW, Move.FOLD}
AGAIN = {
    Move.ASSIGN: {"urn:linli:problem:ticket-already-assigned", "urn:linli:problem:nobody-there"},
    Move.WHISTLE: {"urn:linli:problem:already-called"},
}
"""What is possible, and not to be done twice; nor given to the worker by who reaches none of his offices above it."""
ACTORS = ("reporter", "neighbour", "worker", "community", "street", "district")


class Life(RuleBasedStateMachine):
    """One ticket, the people around it, and what the table says of it."""

    tickets: Running
    loop: asyncio.AbstractEventLoop
    people: dict[str, tuple[httpx.AsyncClient, UUID]]
    ticket: str | None = None
    same: str | None = None
    """What the neighbour reported of the same, folded into it."""
    ended: tuple[str, ...] = ()
    """Those that were withdrawn, and went on as what the neighbour had reported."""
    state: State | None = None
    running: set[str] = set()  # noqa: RUF012 replaced, never changed

    def wait_for(self, work: Any) -> Any:  # noqa: ANN401
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=15)

    @initialize(unit=st.sampled_from((MICRO, GRID, COMMUNITY, STREET)))
    def open(self, unit: str) -> None:
        reporter = self.people["reporter"][0]
        body = {"unit": unit, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
        answer = self.wait_for(reporter.post("/tickets/v1/tickets", json=body))
        assert answer.status_code == 201
        self.ticket = answer.json()["id"]
        self.other: str = self.wait_for(reporter.post("/tickets/v1/tickets", json=body)).json()["id"]

    @rule(
        actor=st.sampled_from(ACTORS),
        move=st.sampled_from(PEOPLES),
        rating=st.integers(1, 5),
    )
    def try_a_move(self, actor: str, move: Move, rating: int) -> None:
        self.make(actor, move, rating, self.read(actor))

    @rule(choice=st.integers(0, 11), rating=st.integers(1, 5), end=st.integers(0, 7))
    def go_on(self, choice: int, rating: int, end: int) -> None:
        """Make a legal move, so that walks get far from where they begin, and seldom one that ends them."""
        ends = {Move.FOLD} if self.same else ENDS
        may = {
            move: actor
            for actor in ("district", "worker", "reporter")
            for move in self.read(actor).get("possible", [])
            if move in PEOPLES and move != Move.NOTE and (end == 0 or move not in ends)
        }
        if may:
            move = sorted(may)[choice % len(may)]
            self.make(may[move], Move(move), rating, {"possible": [move]})

    def make(self, actor: str, move: Move, rating: int, before: dict[str, Any]) -> None:
        bodies: dict[Move, dict[str, Any]] = {
            Move.ASSIGN: {"assignee": str(self.people["worker"][1])},
            Move.RATE: {"rating": rating},
            Move.FOLD: {"into": self.other},
            Move.WHISTLE: {"departments": ["lamps"]},
            Move.SPLIT: {"parts": [{"title": "灯", "description": "灯"}, {"title": "路", "description": "路"}]},
        }
        if move is Move.HAND_DOWN:
            bodies[move] = {"unit": BELOW.get(self.read("district")["unit"], MICRO)}
        client = self.people[actor][0]
        answer = self.wait_for(
            client.post(
                f"/tickets/v1/tickets/{self.ticket}/{move.value}",
                json=bodies.get(move, WORDS),
                headers={"If-Match": "*"},
            )
        )
        if before.get("status") == 404:
            assert answer.status_code in {403, 404}
        elif move.value in before["possible"]:
            # What is said to be possible is, but for what the body names.
            again = answer.is_error and answer.json()["type"] in AGAIN.get(move, ())
            assert answer.is_success or again, (before, move, answer.text)
            if move is Move.WITHDRAW and self.same:
                self.go_on_with_the_same()
        else:
            assert answer.status_code in {403, 409}, (before, move, answer.text)

    def go_on_with_the_same(self) -> None:
        """Walk on with the neighbour's report, whose reporter he is."""
        assert self.ticket
        self.ended = (*self.ended, self.ticket)
        self.ticket, self.same = self.same, None
        reporter, neighbour = self.people["reporter"], self.people["neighbour"]
        self.people = {**self.people, "reporter": neighbour, "neighbour": reporter}
        assert self.read("reporter")["state"] in {State.OPEN, State.ASSIGNED}

    @precondition(lambda self: self.same is None and self.state in {State.OPEN, State.ASSIGNED, State.WAITING})
    @rule()
    def fold_the_same_into_it(self) -> None:
        """Have the neighbour report the same, and somebody see that it is."""
        body = {"unit": MICRO, "title": "灯不亮", "description": "北门路灯不亮"}
        self.same = str(self.wait_for(self.people["neighbour"][0].post("/tickets/v1/tickets", json=body)).json()["id"])
        path, into = f"/tickets/v1/tickets/{self.same}/fold", {"into": self.ticket}
        manager = self.people["district"][0]
        assert self.wait_for(manager.post(path, json=into, headers={"If-Match": "*"})).status_code == 200

    @precondition(lambda self: self.state in {State.OPEN, State.ASSIGNED})
    @rule()
    def hand_it_down(self) -> None:
        """Have the district lay it into a unit below, if there is one."""
        self.make("district", Move.HAND_DOWN, 1, self.read("district"))

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 11))
    def let_a_clock_run_out(self, choice: int) -> None:
        """Fire a clock as the clockwork would; nobody sleeps."""
        running = sorted(self.running)
        self.wait_for(self.fire(running[choice % len(running)]))

    @precondition(lambda self: self.state is State.SPLIT)
    @rule()
    def end_the_parts(self) -> None:
        """Resolve all parts of a ticket that was split."""
        manager = self.people["district"][0]
        params = {"parent": self.ticket}
        parts = self.wait_for(manager.get("/tickets/v1/tickets", params=params)).json()["items"]
        for part in parts:
            for move, body in (("assign", {"assignee": str(self.people["worker"][1])}), ("resolve", {})):
                path = f"/tickets/v1/tickets/{part['id']}/{move}"
                self.wait_for(manager.post(path, json=body, headers={"If-Match": "*"}))

    async def fire(self, clock: str) -> None:
        database = self.tickets.database
        row = await database.fetchrow(
            "SELECT * FROM timer WHERE aggregate = $1 AND kind = $2 AND fired_at IS NULL", UUID(str(self.ticket)), clock
        )
        assert row is not None
        timer = clockwork._timer(row)
        clocks.timers.now = lambda: max(datetime.now(UTC), timer.due_at) + timedelta(seconds=1)
        try:
            assert await clocks.timers.fire(self.tickets.app.state.sessions, [timer])
        finally:
            clocks.timers.now = lambda: datetime.now(UTC)

    def read(self, actor: str) -> dict[str, Any]:
        answer = self.wait_for(self.people[actor][0].get(f"/tickets/v1/tickets/{self.ticket}"))
        found: dict[str, Any] = answer.json()
        return found

    @invariant()
    def it_is_in_one_state_with_an_owner_and_a_full_trail(self) -> None:
        if self.ticket is None:
            return
        database = self.tickets.database
        row = self.wait_for(database.fetchrow("SELECT * FROM ticket WHERE id = $1", UUID(str(self.ticket))))
        entries = self.wait_for(
            database.fetch("SELECT * FROM ticket_entry WHERE ticket_id = $1 ORDER BY sequence", UUID(str(self.ticket)))
        )
        path = [dict(entry) for entry in entries]
        assert legal(path), [(entry["move"], entry["state"]) for entry in path]
        assert row["version"] == len(path)
        assert row["state"] == path[-1]["state"]
        stands = self.read("district")
        state, level = State(stands["state"]), Level(stands["level"])
        owner = {Level.COMMUNITY: COMMUNITY, Level.STREET: STREET, Level.DISTRICT: "310104"}[level]
        assert stands["handler"] == owner
        assert (state is State.ASSIGNED) <= (stands["assignee"] is not None)
        assert (state is State.CLOSED) == (stands["outcome"] is not None) == (stands["closed_at"] is not None)
        taken_up = sum(entry["move"] == Move.POORLY_RATED for entry in path)
        assert taken_up <= TAKEN_UP
        assert (stands["rating"] is not None and stands["rating"] < POOR) <= (taken_up == TAKEN_UP)
        self.state = state
        self.clocks_are_those_of_its_state(state, row)
        self.calls_end_with_their_tickets()

    def calls_end_with_their_tickets(self) -> None:
        calls = self.wait_for(
            self.tickets.database.fetch(
                "SELECT ticket.state, whistle.state AS stage, timer.kind AS clock FROM whistle"
                " JOIN ticket ON ticket.id = ticket_id LEFT JOIN timer ON timer.aggregate = whistle.id"
                " WHERE ticket_id = ANY ($1)",
                [UUID(ticket) for ticket in (*self.ended, str(self.ticket))],
            )
        )
        for call in calls:
            open_ = (call["stage"], call["clock"]) == ("called", "report") and call["state"] != State.CLOSED
            assert open_ or (call["stage"], call["clock"]) == ("called_off", None)

    def clocks_are_those_of_its_state(self, state: State, row: Any) -> None:  # noqa: ANN401
        timers = self.wait_for(
            self.tickets.database.fetch("SELECT kind, fired_at FROM timer WHERE aggregate = $1", UUID(str(self.ticket)))
        )
        running = self.running = {
            timer["kind"] for timer in timers if timer["fired_at"] is None and timer["kind"] in list(Clock)
        }
        kept = json.loads(row["clocks"] or "{}")
        assert running == {name for name, clock in kept.items() if clock["since"]}
        match state:
            case State.WAITING | State.SPLIT | State.CLOSED:
                assert running == set()
            case State.RESOLVED:
                assert running == {"confirm"}
            case _:
                assert "confirm" not in running

    def teardown(self) -> None:
        """Let the trail's events be as full as the trail."""
        if self.ticket is None:
            return
        events = self.wait_for(self.tickets.events())
        for ticket in (*self.ended, self.ticket):
            told = [event["sequence"] for event in events if event.get("ticket") == ticket]
            version = self.wait_for(
                self.tickets.database.fetchval("SELECT version FROM ticket WHERE id = $1", UUID(ticket))
            )
            assert told == list(range(1, version + 1))


async def look_for_nothing(_: clockwork.Clockwork, __: object) -> float:
    return clockwork.POLL


@pytest.mark.timeout(240)
async def test_no_walk_leads_a_ticket_out_of_its_life(tickets: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def person(role: str, unit: str, *, office: bool = True) -> tuple[httpx.AsyncClient, UUID]:
        who = await employ(tickets, role, unit) if office else uuid4()
        return tickets.client(role, unit, who), who

    Life.tickets = tickets
    Life.loop = asyncio.get_running_loop()
    Life.people = {
        "reporter": await person("resident", "310104", office=False),
        "neighbour": await person("resident", "310104", office=False),
        "worker": await person("grid_worker", GRID),
        "community": await person("community_manager", COMMUNITY),
        "street": await person("street_admin", STREET),
        "district": await person("district_admin", "310104"),
    }
    await staffed(tickets, "lamps")
    # He holds the street's office, too, so that he may be given what lies above his grid.
    await tickets.database.execute(
        "INSERT INTO known_assignment (district, id, unit, staff, role, active, sequence)"
        " VALUES (310104, $1, 310104003000000000, $2, 'grid_worker', true, 1)",
        *(uuid4(), Life.people["worker"][1]),
    )
    bounds = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    # A clock runs out when the walk says so: in the time it sets meanwhile, the clockwork would find all of them due.
    monkeypatch.setattr(clockwork.Clockwork, "_round", look_for_nothing)
    await walk(Life, bounds)
    # It has been everywhere; each move for itself is tested in test_moves.py.
    been = {row["state"] for row in await tickets.database.fetch("SELECT DISTINCT state FROM ticket_entry")}
    assert been == set(State)
    done = {row["move"] for row in await tickets.database.fetch("SELECT DISTINCT move FROM ticket_entry")}
    assert {"unfold", "call_off", "hand_down"} <= done
