"""Wishes: who may do what with them when, that one gets them, and that what runs out comes back."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from services.tickets.tests.conftest import COMMUNITY, FOREIGN, GRID, MICRO, SIBLING, STREET, employ

from linli import clockwork
from linli.db import NOBODY
from linli.testing import Running, eventually
from linli.testing.machines import walk
from tickets import clocks
from tickets.calendar import ZONE
from tickets.models.wishes import WISH_MOVES, WishMove, WishState

WISHES = "/tickets/v1/wishes"
WISH = {"unit": MICRO, "title": "想学会用手机视频", "description": "想和外地的孙子视频聊天"}
LONG = timedelta(days=60)
Wait = Callable[[timedelta], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let time pass for the clocks."""
    passed = timedelta(0)

    def pass_(time: timedelta) -> None:
        nonlocal passed
        passed += time

    monkeypatch.setattr(clockwork, "POLL", 0.05)
    monkeypatch.setattr(clocks.timers, "now", lambda: datetime.now(UTC) + passed)
    return pass_


async def wished(client: httpx.AsyncClient, **changes: str) -> str:
    answer = await client.post(WISHES, json={**WISH, **changes})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def step(client: httpx.AsyncClient, wish: str, move: str, etag: str = "*") -> httpx.Response:
    return await client.post(f"{WISHES}/{wish}/{move}", headers={"If-Match": etag})


async def fulfilled(tickets: Running, wish: str, volunteer: UUID | None = None) -> str:
    helper = tickets.client("volunteer", "310104", volunteer)
    for move in ("claim", "fulfil"):
        assert (await step(helper, wish, move)).status_code == 200
    return wish


async def read(client: httpx.AsyncClient, wish: str) -> dict[str, Any]:
    answer = await client.get(f"{WISHES}/{wish}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def fulfilment(tickets: Running, wish: str) -> dict[str, Any]:
    (event,) = [one for one in await tickets.events("tickets.wish_fulfilled.v1") if one["wish"] == wish]
    return event


async def told(tickets: Running, wish: str) -> list[str]:
    return [event["headers"]["ce-type"] for event in await tickets.events() if event.get("wish") == wish]


async def test_a_wish_is_claimed_fulfilled_and_confirmed_by_the_one_who_wished(tickets: Running) -> None:
    wisher, volunteer = uuid4(), uuid4()
    resident = tickets.client("resident", "310104", wisher)
    helper = tickets.client("volunteer", "310104", volunteer)
    made = await resident.post(WISHES, json=WISH)
    wish = made.json()["id"]
    assert (made.json()["state"], made.json()["wisher"]) == ("listed", str(wisher))
    claimed = await step(helper, wish, "claim", made.headers["etag"])
    assert claimed.status_code == 200, claimed.text
    assert (claimed.json()["state"], claimed.json()["mine"], claimed.json()["wisher"]) == ("claimed", True, str(wisher))
    assert datetime.fromisoformat(claimed.json()["claim_due_at"]) > datetime.now(UTC) + timedelta(days=10)
    assert (await step(helper, wish, "fulfil")).json()["state"] == "fulfilled"
    assert (await step(helper, wish, "confirm")).status_code == 403, "not by the one who fulfilled it"
    assert (await step(resident, wish, "confirm")).json()["state"] == "confirmed"
    names = ("listed", "claimed", "fulfilled", "confirmed")
    assert await told(tickets, wish) == [f"tickets.wish_{name}.v1" for name in names]
    events = [event for event in await tickets.events() if event.get("wish") == wish]
    assert [event["sequence"] for event in events] == [1, 2, 3, 4]
    assert {event.get("claimer") for event in events[1:]} == {str(volunteer)}
    assert await tickets.database.fetchval("SELECT count(*) FROM timer WHERE aggregate = $1", UUID(wish)) == 0


async def test_who_wished_is_told_to_staff_and_to_the_claimer_while_he_is_that(tickets: Running) -> None:
    wisher = uuid4()
    resident = tickets.client("resident", "310104", wisher)
    helper, neighbour = tickets.client("volunteer", "310104"), tickets.client("resident", "310104")
    staff = [tickets.client("community_manager", COMMUNITY), tickets.client("grid_worker", GRID)]
    others = [neighbour, tickets.client("grid_worker", SIBLING)]
    wish = await wished(resident)
    for client in [resident, *staff]:
        assert (await read(client, wish))["wisher"] == str(wisher)
    for client in [helper, *others]:
        assert (await read(client, wish))["wisher"] is None
        listed = (await client.get(WISHES, params={"wisher": str(wisher)})).json()["items"]
        assert listed == [], "nor can it be asked for"
    await step(helper, wish, "claim")
    assert [(await read(helper, wish))[fact] for fact in ("wisher", "unit")] == [str(wisher), MICRO]
    for client in others:
        assert [(await read(client, wish))[fact] for fact in ("wisher", "unit")] == [None, COMMUNITY]
        for place, found in ((COMMUNITY, True), (GRID, False), (MICRO, False)):  # nor is it found by where he lives
            there = (await client.get(WISHES, params={"within": place})).json()["items"]
            assert (wish in [one["id"] for one in there]) == found, place
    await step(helper, wish, "give-back")
    assert (await read(helper, wish))["wisher"] is None
    assert str(wisher) not in (await neighbour.get(WISHES)).text
    mine = (await resident.get(WISHES, params={"wisher": str(wisher)})).json()["items"]
    assert [found["id"] for found in mine] == [wish]


async def test_a_wish_is_read_in_its_district_and_nowhere_else(tickets: Running) -> None:
    wish = await wished(tickets.client("resident", "310104"))
    for role, unit in (("resident", "310104"), ("grid_worker", SIBLING), ("street_admin", STREET)):
        assert (await tickets.client(role, unit).get(f"{WISHES}/{wish}")).status_code == 200
    for role, unit in (("resident", "310115"), ("street_admin", "310104004"), ("district_admin", "310115")):
        assert (await tickets.client(role, unit).get(f"{WISHES}/{wish}")).status_code == 404
        assert (await step(tickets.client(role, unit), wish, "withdraw")).status_code == 404
    assert (await step(tickets.client("grid_worker", SIBLING), wish, "withdraw")).status_code == 403
    assert (await tickets.client("resident", "310115").post(WISHES, json=WISH)).status_code == 403
    assert (await tickets.client("resident", "310115").post(WISHES, json={**WISH, "unit": FOREIGN})).status_code == 201


async def test_staff_write_down_somebodys_wish_and_a_resident_only_his_own(tickets: Running) -> None:
    elder = uuid4()
    manager = tickets.client("community_manager", COMMUNITY)
    assert (await tickets.client("resident", "310104").post(WISHES, json={**WISH, "wisher": str(elder)})).json()[
        "type"
    ] == "urn:linli:problem:not-your-wish"
    wish = await fulfilled(tickets, await wished(manager, wisher=str(elder)))
    assert (await step(tickets.client("resident", "310104", elder), wish, "confirm")).status_code == 200
    (event,) = [one for one in await tickets.events("tickets.wish_confirmed.v1") if one["wish"] == wish]
    assert event["recorded_by"] is None, "his own word"


@pytest.mark.parametrize(
    ("move", "state", "event"), [("confirm", "confirmed", "confirmed"), ("deny", "listed", "returned")]
)
async def test_staff_record_the_word_of_whom_they_wrote_the_wish_down_for(
    tickets: Running, move: str, state: str, event: str
) -> None:
    elder, colleague, volunteer = [uuid4() for _ in range(3)]
    lister = await employ(tickets, "community_manager", COMMUNITY)
    manager = tickets.client("community_manager", COMMUNITY, lister)
    wish = await fulfilled(tickets, await wished(manager, wisher=str(elder)), volunteer)
    done = await fulfilment(tickets, wish)
    assert (done["listed_by"], done["supervisors"]) == (str(lister), []), "who asks the elder"
    for client in (tickets.client("grid_worker", SIBLING), tickets.client("resident", "310104")):
        assert (await step(client, wish, move)).status_code == 403
    answer = await step(tickets.client("grid_worker", GRID, colleague), wish, move)
    assert (answer.status_code, answer.json()["state"]) == (200, state)
    (told,) = [one for one in await tickets.events(f"tickets.wish_{event}.v1") if one["wish"] == wish]
    said = {fact: told[fact] for fact in ("wisher", "claimer", "recorded_by")}
    assert said == {"wisher": str(elder), "claimer": str(volunteer), "recorded_by": str(colleague)}
    audited = await tickets.database.fetchrow("SELECT * FROM audit ORDER BY sequence DESC LIMIT 1")
    assert (audited["action"], audited["actor"], audited["subjects"]) == (f"wishes.{move}", colleague, [elder])


async def test_nobody_records_a_word_on_what_he_did_himself(tickets: Running) -> None:
    person = uuid4()
    both = tickets.client("grid_worker", GRID, person, roles=["grid_worker", "volunteer"])
    wish = await wished(both, wisher=str(uuid4()))
    for move, answered in (("claim", 200), ("fulfil", 200), ("confirm", 403), ("deny", 403)):
        assert (await step(both, wish, move)).status_code == answered
    assert (await step(tickets.client("grid_worker", GRID), wish, "confirm")).status_code == 200


@pytest.mark.parametrize("why", ["fulfilled_it", "moved_elsewhere", "answers_for_a_department"])
async def test_who_manages_the_unit_is_asked_where_who_wrote_it_down_may_not_record_it(
    tickets: Running, why: str
) -> None:
    await tickets.database.execute("UPDATE known_assignment SET active = false")
    lister = await employ(tickets, "grid_worker", GRID)
    manager, _ = [await employ(tickets, "community_manager", unit) for unit in (COMMUNITY, SIBLING[:12])]
    both = tickets.client("grid_worker", GRID, lister, roles=["grid_worker", "volunteer"])
    wish = await wished(both, wisher=str(uuid4()))
    if why != "fulfilled_it":
        await tickets.database.execute("UPDATE known_assignment SET active = false WHERE staff = $1", lister)
        role, unit = {"moved_elsewhere": ("grid_worker", SIBLING)}.get(why, ("department_staff", COMMUNITY))
        await employ(tickets, role, unit, lister)
    await fulfilled(tickets, wish, lister if why == "fulfilled_it" else None)
    event = await fulfilment(tickets, wish)
    assert (event["listed_by"], event["supervisors"]) == (None, [str(manager)])
    asked = tickets.client("community_manager", COMMUNITY, manager)
    assert (await step(asked, wish, "confirm")).status_code == 200


async def test_who_fulfilled_it_is_not_asked_even_if_he_manages_the_unit(tickets: Running) -> None:
    await tickets.database.execute("UPDATE known_assignment SET active = false")
    manager, above = [
        await employ(tickets, role, unit) for role, unit in (("community_manager", COMMUNITY), ("street_admin", STREET))
    ]
    both = tickets.client("community_manager", COMMUNITY, manager, roles=["community_manager", "volunteer"])
    wish = await fulfilled(tickets, await wished(both, wisher=str(uuid4())), manager)
    event = await fulfilment(tickets, wish)
    assert (event["listed_by"], event["supervisors"]) == (None, [str(above)])


async def test_what_somebody_wished_himself_nobody_else_has_a_word_on(tickets: Running) -> None:
    elder, manager = uuid4(), tickets.client("community_manager", COMMUNITY)
    resident = tickets.client("resident", "310104", elder)
    wish = await fulfilled(tickets, await wished(resident))
    event = await fulfilment(tickets, wish)
    assert (event["listed_by"], event["supervisors"]) == (None, [])
    for move in ("confirm", "deny"):
        assert (await step(manager, wish, move)).status_code == 403
    with pytest.raises(Exception, match="ck_wish_person_listed_by"):
        await tickets.database.execute("UPDATE wish_person SET listed_by = wisher WHERE id = $1", UUID(wish))


async def test_who_wished_is_told_when_staff_take_the_wish_off_the_list(tickets: Running) -> None:
    elder, staff = uuid4(), uuid4()
    manager = tickets.client("community_manager", COMMUNITY, staff)
    wish = await wished(tickets.client("resident", "310104", elder))
    assert (await step(manager, wish, "withdraw")).json()["state"] == "withdrawn"
    (event,) = [one for one in await tickets.events("tickets.wish_withdrawn.v1") if one["wish"] == wish]
    assert (event["wisher"], event["withdrawn_by"], event["sequence"]) == (str(elder), str(staff), 2)


async def test_nobody_claims_his_own_wish(tickets: Running) -> None:
    resident = tickets.client("resident", "310104", uuid4())
    wish = await wished(resident)
    refused = await step(resident, wish, "claim")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:own-wish")
    assert (await step(tickets.client("grid_worker", GRID), wish, "claim")).status_code == 403


async def test_whoever_is_a_worker_too_makes_and_claims_wishes_in_the_whole_district(tickets: Running) -> None:
    person, wisher = uuid4(), uuid4()
    both = tickets.client("grid_worker", SIBLING, person, roles=["grid_worker", "volunteer"])
    wish = await wished(tickets.client("resident", "310104", wisher))
    assert (await read(both, wish))["wisher"] is None
    claimed = await step(both, wish, "claim")
    assert (claimed.status_code, claimed.json().get("wisher")) == (200, str(wisher)), claimed.text
    assert (await read(both, wish))["wisher"] == str(wisher)
    assert (await step(both, wish, "give-back")).json()["wisher"] is None
    own = await wished(tickets.client("volunteer", "310104", person))
    assert (await step(both, own, "claim")).json()["type"] == "urn:linli:problem:own-wish"
    helper = tickets.client("volunteer", "310104")
    for move in ("claim", "fulfil"):
        await step(helper, own, move)
    assert (await step(both, own, "confirm")).status_code == 200


async def test_of_a_hundred_who_claim_a_wish_at_once_one_gets_it_and_the_others_are_told(
    tickets: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is refused because a machine takes long: how long one waits for a connection is not tried here.
    monkeypatch.setattr(tickets.app.state.engines[None].pool, "_timeout", 60)
    made = await tickets.client("resident", "310104").post(WISHES, json=WISH)
    wish, etag = made.json()["id"], made.headers["etag"]
    people = [uuid4() for _ in range(100)]
    clients = [tickets.client("volunteer", "310104", person) for person in people]
    answers = await asyncio.gather(*(step(client, wish, "claim", etag) for client in clients))
    won = [person for person, answer in zip(people, answers, strict=True) if answer.status_code == 200]
    lost = [answer for answer in answers if answer.status_code != 200]
    assert len(won) == 1
    assert len(lost) == 99
    assert {(answer.status_code, answer.json()["type"]) for answer in lost} == {(409, "urn:linli:problem:wish-taken")}
    assert all("认领" in answer.json()["detail_zh"] for answer in lost)
    row = await tickets.database.fetchrow("SELECT state, claimer, version FROM wish WHERE id = $1", UUID(wish))
    assert tuple(row) == ("claimed", won[0], 2)
    assert (await told(tickets, wish)).count("tickets.wish_claimed.v1") == 1


async def test_a_claim_that_runs_out_returns_the_wish_by_itself(tickets: Running, wait: Wait) -> None:
    volunteer = uuid4()
    helper, next_one = tickets.client("volunteer", "310104", volunteer), tickets.client("volunteer", "310104")
    wish = await wished(tickets.client("resident", "310104"))
    await step(helper, wish, "claim")
    wait(LONG)
    found = await eventually(lambda: _listed(helper, wish))
    assert (found["claim_due_at"], found["wisher"], found["mine"]) == (None, None, False)
    (returned,) = [event for event in await tickets.events("tickets.wish_returned.v1") if event["wish"] == wish]
    assert (returned["claimer"], returned["reason"]) == (str(volunteer), "expire")
    assert (await step(helper, wish, "fulfil")).status_code == 403
    assert (await step(next_one, wish, "claim")).status_code == 200


async def test_what_was_fulfilled_in_time_stays_fulfilled(tickets: Running, wait: Wait) -> None:
    helper = tickets.client("volunteer", "310104")
    first, second = [await wished(tickets.client("resident", "310104")) for _ in range(2)]
    for wish in (first, second):
        await step(helper, wish, "claim")
    await step(helper, first, "fulfil")
    wait(LONG)
    await eventually(lambda: _listed(helper, second))
    assert (await read(helper, first))["state"] == "fulfilled"


async def test_a_corrected_calendar_moves_the_end_of_a_claim(tickets: Running) -> None:
    helper = tickets.client("volunteer", "310104")
    wish = await wished(tickets.client("resident", "310104"))
    claimed = (await step(helper, wish, "claim")).json()
    due_at = datetime.fromisoformat(claimed["claim_due_at"])
    admin, day = tickets.client("district_admin", "310104"), due_at.astimezone(ZONE).date().isoformat()
    put = await admin.put(f"/tickets/v1/calendar/{day}", json={"working": False, "note": "台风停工"})
    assert put.status_code == 200, put.text
    moved = await read(helper, wish)
    assert datetime.fromisoformat(moved["claim_due_at"]) > due_at
    assert moved["version"] == claimed["version"]
    timer = await tickets.database.fetchval("SELECT due_at FROM timer WHERE aggregate = $1", UUID(wish))
    assert timer == datetime.fromisoformat(moved["claim_due_at"])


async def test_a_claim_on_a_changed_wish_is_refused_unless_it_was_seen(tickets: Running) -> None:
    resident, helper = tickets.client("resident", "310104", uuid4()), tickets.client("volunteer", "310104")
    made = await resident.post(WISHES, json=WISH)
    wish = made.json()["id"]
    assert (await helper.post(f"{WISHES}/{wish}/claim")).status_code == 428
    await step(helper, wish, "claim")
    await step(helper, wish, "give-back")
    assert (await step(helper, wish, "claim", made.headers["etag"])).status_code == 412


async def _listed(client: httpx.AsyncClient, wish: str) -> dict[str, Any] | None:
    found = await read(client, wish)
    return found if found["state"] == "listed" else None


class Life(RuleBasedStateMachine):
    """Random moves, legal or not, of several people, and time."""

    tickets: ClassVar[Running]
    loop: ClassVar[asyncio.AbstractEventLoop]
    seen: ClassVar[set[str]]

    def __init__(self) -> None:
        super().__init__()
        self.wisher, self.first, self.second = uuid4(), uuid4(), uuid4()
        roles = {self.wisher: "resident", self.first: "volunteer", self.second: "volunteer"}
        self.clients = {person: self.tickets.client(role, "310104", person) for person, role in roles.items()}
        self.wish = self.do(wished(self.clients[self.wisher]))
        self.state, self.claimer = "listed", NOBODY

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 whatever it gives
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    @rule(who=st.sampled_from(["wisher", "first", "second"]), move=st.sampled_from(sorted(WishMove)))
    def try_(self, who: str, move: WishMove) -> None:
        if move is WishMove.EXPIRE:
            return
        person: UUID = getattr(self, who)
        answer = self.do(step(self.clients[person], self.wish, move.value.replace("_", "-")))
        before, after = WISH_MOVES[move]
        legal = self.state == before
        whose = {
            WishMove.CLAIM: person != self.wisher,
            WishMove.GIVE_BACK: person == self.claimer,
            WishMove.FULFIL: person == self.claimer,
        }.get(move, person == self.wisher)
        assert (answer.status_code == 200) == (legal and whose), (self.state, who, move, answer.text)
        assert answer.status_code in {200, 403, 409}
        if answer.status_code == 200:
            self.state = after.value
            self.claimer = person if move is WishMove.CLAIM else self.claimer
        elif answer.json()["type"] == "urn:linli:problem:illegal-wish-move":
            assert answer.json()["state"] == self.state

    @rule()
    def go_on(self) -> None:
        """Take the way to fulfilment, which random moves seldom find to its end."""
        following = {"listed": WishMove.CLAIM, "claimed": WishMove.FULFIL, "fulfilled": WishMove.CONFIRM}
        if move := following.get(self.state):
            person = self.wisher if move is WishMove.CONFIRM else self.claimer if self.claimer != NOBODY else self.first
            self.try_(next(name for name in ("wisher", "first", "second") if getattr(self, name) == person), move)

    @precondition(lambda self: self.state == "claimed")
    @rule()
    def run_out(self) -> None:
        # Its own clock alone: were all turned on, the next claim would run out as it is made.
        early = "UPDATE timer SET due_at = now(), try_at = now() WHERE aggregate = $1"
        self.do(self.tickets.database.execute(early, UUID(self.wish)))
        self.do(eventually(lambda: _listed(self.clients[self.wisher], self.wish)))
        self.state = "listed"

    @invariant()
    def is_as_it_should_be(self) -> None:
        if self.state in {"listed", "withdrawn"}:
            self.claimer = NOBODY
        self.seen.add(self.state)
        found = self.do(self.look())
        assert found["row"] == (self.state, self.claimer, self.claimer)
        assert found["clocks"] == (self.state == "claimed")

    async def look(self) -> dict[str, Any]:
        row = await self.tickets.database.fetchrow(
            "SELECT w.state, w.claimer, p.claimer AS known FROM wish w JOIN wish_person p USING (district, id)"
            " WHERE w.id = $1",
            UUID(self.wish),
        )
        count = "SELECT count(*) = 1 FROM timer WHERE aggregate = $1"
        return {"row": tuple(row), "clocks": await self.tickets.database.fetchval(count, UUID(self.wish))}


async def test_a_wish_is_always_in_one_legal_state_whatever_is_tried(
    tickets: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clockwork, "POLL", 0.05)
    few = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    Life.tickets, Life.loop, Life.seen = tickets, asyncio.get_running_loop(), set()
    await walk(Life, few)
    assert Life.seen == {state.value for state in WishState}, "every state was reached"
