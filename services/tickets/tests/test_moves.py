"""The moves of a ticket beyond the plain way from report to rating."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING, STREET, employ
from services.tickets.tests.test_whistles import staffed

from linli.testing import Running
from tickets.models.moves import MOVES, Move, State

REPORT = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
NOBODY = str(UUID(int=0))


@dataclass
class People:
    """A resident who reports, the grid worker, and who manages at each level."""

    reporter: UUID
    worker: UUID
    resident: httpx.AsyncClient
    grid: httpx.AsyncClient
    community: httpx.AsyncClient
    street: httpx.AsyncClient
    district: httpx.AsyncClient


@pytest.fixture
async def people(tickets: Running) -> People:
    reporter, worker = uuid4(), await employ(tickets, "grid_worker", GRID)
    return People(
        reporter,
        worker,
        tickets.client("resident", "310104", reporter),
        tickets.client("grid_worker", GRID, worker),
        tickets.client("community_manager", COMMUNITY, await employ(tickets, "community_manager", COMMUNITY)),
        tickets.client("street_admin", STREET, await employ(tickets, "street_admin", STREET)),
        tickets.client("district_admin", "310104", await employ(tickets, "district_admin", "310104")),
    )


async def opened(client: httpx.AsyncClient, **facts: object) -> str:
    answer = await client.post("/tickets/v1/tickets", json={**REPORT, **facts})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def moved(client: httpx.AsyncClient, ticket: str, move: str, **body: object) -> httpx.Response:
    return await client.post(f"/tickets/v1/tickets/{ticket}/{move}", json=body, headers={"If-Match": "*"})


async def done(client: httpx.AsyncClient, ticket: str, move: str, **body: object) -> Any:  # noqa: ANN401
    answer = await moved(client, ticket, move, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def read(client: httpx.AsyncClient, ticket: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/tickets/v1/tickets/{ticket}")).json()
    return found


async def trail(client: httpx.AsyncClient, ticket: str) -> list[dict[str, Any]]:
    page = await client.get(f"/tickets/v1/tickets/{ticket}/timeline", params={"limit": 200})
    entries: list[dict[str, Any]] = page.json()["items"]
    return entries


async def told(tickets: Running, ticket: str, what: str) -> list[dict[str, Any]]:
    return [event for event in await tickets.events(f"tickets.{what}.v1") if event["ticket"] == ticket]


async def resolved(people: People, **facts: object) -> str:
    ticket = await opened(people.resident, **facts)
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    await done(people.grid, ticket, "resolve", note="已更换灯泡")
    return ticket


async def test_an_illegal_move_names_the_legal_ones(people: People) -> None:
    ticket = await opened(people.resident)
    refused = await moved(people.community, ticket, "resolve")
    assert refused.status_code == 409
    legal = ["assign", "ask", "escalate", "withdraw", "fold", "split", "note"]
    assert [move for move in refused.json()["possible"] if move in legal] == legal
    assert "assign, ask" in refused.json()["detail"]


async def test_who_reads_a_ticket_is_told_what_he_may_do(people: People) -> None:
    ticket = await opened(people.resident)
    assert (await read(people.resident, ticket))["possible"] == ["withdraw", "note"]
    assert (await read(people.grid, ticket))["possible"] == ["note"]
    assert "assign" in (await read(people.community, ticket))["possible"]
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    assert (await read(people.grid, ticket))["possible"] == ["ask", "escalate", "resolve", "note"]


async def test_a_ticket_goes_up_by_hand_and_down_again(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident)
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    assert (await moved(people.resident, ticket, "escalate", note="太慢")).status_code == 403
    raised = await done(people.grid, ticket, "escalate", note="需要街道协调")
    assert (raised["level"], raised["handler"], raised["assignee"]) == ("street", STREET, str(people.worker))
    assert (await moved(people.community, ticket, "assign", assignee=str(people.worker))).status_code == 403
    assert (await moved(people.community, ticket, "return", note="还给我们")).status_code == 403
    raised = await done(people.street, ticket, "escalate", note="需要区里协调")
    assert (raised["level"], raised["handler"]) == ("district", "310104")
    assert (await moved(people.district, ticket, "escalate", note="再往上")).status_code == 409
    running = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(running, UUID(ticket)) == ["district", "solve"]
    for level, client in (("street", people.district), ("community", people.street)):
        assert (await done(client, ticket, "return", note="属地办理"))["level"] == level
    assert (await moved(people.community, ticket, "return", note="再往下")).status_code == 409
    assert await tickets.database.fetchval(running, UUID(ticket)) == ["solve"]
    events = await told(tickets, ticket, "escalated") + await told(tickets, ticket, "returned")
    assert [event["level"] for event in events] == ["street", "district", "street", "community"]
    assert all(event["supervisors"] for event in events)


async def test_what_is_raised_to_an_empty_desk_is_told_to_those_below(tickets: Running) -> None:
    elsewhere = "310115005001"
    manager = await employ(tickets, "community_manager", elsewhere)
    client = tickets.client("community_manager", elsewhere, manager)
    ticket = await opened(client, unit="310115005001001")
    await done(client, ticket, "escalate", note="需要街道协调")
    (event,) = await told(tickets, ticket, "escalated")
    assert (event["level"], event["supervisors"]) == ("street", [str(manager)])


async def test_an_open_ticket_that_comes_back_is_answered_for_in_a_new_time(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident)
    await done(people.community, ticket, "escalate", note="需要街道协调")
    running = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(running, UUID(ticket)) == ["solve", "street"]
    back = await done(people.street, ticket, "return", note="属地办理")
    assert await tickets.database.fetchval(running, UUID(ticket)) == ["answer", "solve"]
    assert back["level_due_at"] is None


async def test_nobody_gives_work_to_those_above(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident)
    street = await employ(tickets, "street_admin", STREET)
    assert (await moved(people.community, ticket, "assign", assignee=str(street))).status_code == 404
    await done(people.street, ticket, "assign", assignee=str(street))


async def test_only_the_handlers_people_or_the_assignee_ask_and_the_reporter_answers(
    tickets: Running, people: People
) -> None:
    ticket = await opened(people.resident)
    assert (await moved(people.grid, ticket, "ask", note="哪里？")).status_code == 403
    assert (await moved(people.community, ticket, "ask")).status_code == 422
    await done(people.community, ticket, "ask", note="哪一盏灯？")
    assert (await moved(people.community, ticket, "resolve")).status_code == 409
    assert (await moved(people.grid, ticket, "answer", note="左边")).status_code == 403
    assert (await done(people.resident, ticket, "answer", note="左边"))["state"] == "open"
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    await done(people.grid, ticket, "ask", note="几点在家？")
    assert (await done(people.community, ticket, "answer", note="电话答复：晚上"))["state"] == "assigned"
    asked = [event["asked_by"] for event in await told(tickets, ticket, "waiting")]
    assert asked[1] == str(people.worker)
    # Who asked before anybody had it hears of the answer, too.
    assert [event["asked_by"] for event in await told(tickets, ticket, "answered")] == asked


async def test_closed_is_told_apart_from_fixed(tickets: Running, people: People) -> None:
    for body, outcome in (({}, "fixed"), ({"outcome": "not_fixed", "note": "算了"}, "not_fixed")):
        ticket = await resolved(people)
        closed = await done(people.resident, ticket, "close", **body)
        assert (closed["state"], closed["outcome"], closed["confirmed"]) == ("closed", outcome, True)
        (event,) = await told(tickets, ticket, "closed")
        assert (event["outcome"], event["confirmed"]) == (outcome, True)
        assert (await trail(people.resident, ticket))[-1]["facts"] == {"outcome": outcome, "confirmed": True}
        assert not await tickets.database.fetchval("SELECT count(*) FROM timer WHERE aggregate = $1", UUID(ticket))
    open_ticket = await opened(people.resident)
    assert (await moved(people.resident, open_ticket, "close")).status_code == 409


async def test_nobody_says_for_the_reporter_that_it_is_fixed(people: People) -> None:
    """Who has resolved it would end it before its reporter could say that it is not."""
    ticket = await resolved(people)
    for client in (people.grid, people.community):
        refused = await moved(client, ticket, "close")
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:linli:problem:not-yours")
        assert "close" not in (await read(client, ticket))["possible"]
    assert (await read(people.resident, ticket))["state"] == "resolved"


async def test_a_reporter_who_is_not_content_reopens_and_the_same_one_goes_on(tickets: Running, people: People) -> None:
    ticket = await resolved(people)
    assert (await moved(people.resident, ticket, "reopen")).status_code == 422
    again = await done(people.resident, ticket, "reopen", note="晚上又灭了")
    assert (again["state"], again["assignee"], again["reopened"]) == ("assigned", str(people.worker), 1)
    assert (again["resolved_at"], again["resolved_by"], again["confirm_due_at"]) == (None, None, None)
    running = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(running, UUID(ticket)) == ["solve"]
    (event,) = await told(tickets, ticket, "reopened")
    assert (event["assignee"], event["reopened_by"], event["times"]) == (str(people.worker), str(people.reporter), 1)
    entry = (await trail(people.resident, ticket))[-1]
    assert (entry["move"], entry["note"], entry["state"]) == ("reopen", "晚上又灭了", "assigned")
    await done(people.grid, ticket, "resolve")
    assert (await done(people.resident, ticket, "close"))["outcome"] == "fixed"
    assert (await moved(people.resident, ticket, "reopen", note="又")).status_code == 409


async def test_a_poor_rating_reopens_once_then_goes_up_then_stands(tickets: Running, people: People) -> None:
    ticket = await resolved(people)
    stands: dict[str, Any] = {}
    for times, level in ((1, "community"), (2, "street")):
        await done(people.resident, ticket, "close")
        stands = await done(people.resident, ticket, "rate", rating=2)
        assert (stands["state"], stands["reopened"], stands["level"]) == ("assigned", times, level)
        assert (stands["rating"], stands["outcome"], stands["confirmed"]) == (None, None, False)
        await done(people.grid, ticket, "resolve")
    await done(people.resident, ticket, "close", outcome="not_fixed")
    stands = await done(people.resident, ticket, "rate", rating=1)
    assert (stands["state"], stands["rating"], stands["reopened"]) == ("closed", 1, 2)
    rated = await told(tickets, ticket, "rated")
    assert [event["rating"] for event in rated] == [2, 2, 1]
    # What is not taken up again is the supervisors' matter.
    assert [len(event["supervisors"]) > 0 for event in rated] == [False, False, True]
    assert [event["reopened_by"] for event in await told(tickets, ticket, "reopened")] == [NOBODY, NOBODY]
    (event,) = await told(tickets, ticket, "escalated")
    assert (event["level"], event["escalated_by"], len(event["supervisors"]) > 0) == ("street", NOBODY, True)


async def test_a_good_rating_stands(people: People) -> None:
    ticket = await resolved(people)
    await done(people.resident, ticket, "close")
    assert (await done(people.resident, ticket, "rate", rating=3))["state"] == "closed"
    refused = await moved(people.resident, ticket, "rate", rating=1)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:already-rated")


async def test_a_reporter_withdraws_what_is_not_resolved(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident)
    assert (await moved(people.community, ticket, "withdraw")).status_code == 403
    gone = await done(people.resident, ticket, "withdraw", note="自己修好了")
    assert (gone["state"], gone["outcome"], gone["confirmed"]) == ("closed", "withdrawn", False)
    assert (await moved(people.resident, ticket, "rate", rating=1)).status_code == 409
    assert not await tickets.database.fetchval("SELECT count(*) FROM timer WHERE aggregate = $1", UUID(ticket))
    assert len(await told(tickets, ticket, "withdrawn")) == 1
    assert (await moved(people.resident, await resolved(people), "withdraw")).status_code == 409


async def test_a_word_may_be_added_whatever_the_state(tickets: Running, people: People) -> None:
    ticket = await resolved(people)
    await done(people.resident, ticket, "close")
    assert (await done(people.resident, ticket, "note", note="谢谢"))["state"] == "closed"
    assert (await moved(tickets.client("resident", "310104"), ticket, "note", note="?")).status_code == 404
    entry = (await trail(people.community, ticket))[-1]
    assert (entry["move"], entry["note"], entry["state"]) == ("note", "谢谢", "closed")


async def test_reporters_of_duplicates_are_told_how_the_one_ends(tickets: Running, people: People) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    one, two, three = [await opened(tickets.client("resident", "310104", who)) for who in (first, second, third)]
    folded = await done(people.community, two, "fold", into=one, note="同一盏灯")
    assert (folded["state"], folded["outcome"], folded["folded_into"]) == ("closed", "duplicate", one)
    # What followed a duplicate follows where that goes.
    await done(people.community, one, "fold", into=three)
    stands = await read(people.community, three)
    assert stands["followers"] == 2
    followed = await trail(people.community, three)
    assert followed[-1]["facts"] == {"folded": one}
    assert [entry["sequence"] for entry in followed] == list(range(1, stands["version"] + 1))
    await done(people.community, three, "assign", assignee=str(people.worker))
    await done(people.grid, three, "resolve")
    await done(tickets.client("resident", "310104", third), three, "close")
    for what in ("resolved", "closed"):
        (event,) = await told(tickets, three, what)
        assert set(event["followers"]) == {str(first), str(second)}
    assert [event["into"] for event in await told(tickets, two, "folded")] == [one]
    assert (await moved(tickets.client("resident", "310104", second), two, "rate", rating=5)).status_code == 409


async def test_who_withdraws_ends_his_own_matter_and_that_of_the_others_goes_on(
    tickets: Running, people: People
) -> None:
    own = [tickets.client("resident", "310104", uuid4()) for _ in range(3)]
    one, two, three = [await opened(client) for client in own]
    await done(people.community, two, "fold", into=one)
    await done(people.community, three, "fold", into=one)
    await done(people.community, one, "assign", assignee=str(people.worker))
    await done(people.grid, one, "escalate", note="须街道协调")
    gone = await done(own[0], one, "withdraw", note="搬走了")
    assert (gone["state"], gone["outcome"]) == ("closed", "withdrawn")
    assert (await trail(own[0], one))[-1]["facts"] == {"unfolded": two}
    assert [event["followers"] for event in await told(tickets, one, "withdrawn")] == [[]], "it has not ended for them"
    stands = await read(own[1], two)
    assert (stands["state"], stands["outcome"], stands["folded_into"], stands["closed_at"]) == (
        *("assigned", None, None),
        None,
    )
    assert (stands["assignee"], stands["level"], stands["followers"]) == (str(people.worker), "street", 1)
    path = await trail(own[1], two)
    assert [(entry["move"], entry["sequence"]) for entry in path] == [("open", 1), ("fold", 2), ("unfold", 3)]
    assert (path[-1]["actor"], path[-1]["facts"]) == (NOBODY, {"withdrawn": one, "assignee": str(people.worker)})
    running = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(running, UUID(two)) == ["solve"]
    (event,) = await told(tickets, two, "unfolded")
    assert (event["withdrawn"], event["sequence"], event["reporter"]) == (one, 3, stands["reporter"])
    assert (event["assignee"], event["handler"], len(event["supervisors"]) > 0) == (str(people.worker), STREET, True)
    # Each still sees his own report alone, and the next withdrawal is the third one's turn.
    assert (await own[0].get(f"/tickets/v1/tickets/{two}")).status_code == 404
    assert (await own[1].get(f"/tickets/v1/tickets/{one}")).status_code == 404
    await done(people.grid, two, "resolve")
    (event,) = await told(tickets, two, "resolved")
    assert event["followers"] == [(await read(own[2], three))["reporter"]]
    await done(own[1], two, "reopen", note="又灭了")
    await done(own[1], two, "withdraw")
    stands = await read(own[2], three)
    assert (stands["state"], stands["folded_into"], stands["followers"]) == ("assigned", None, 0)


async def test_what_goes_on_elsewhere_goes_on_with_those_there(tickets: Running, people: People) -> None:
    neighbour, far = tickets.client("resident", "310104", uuid4()), await opened(people.community)
    sibling = await opened(neighbour, unit=SIBLING)
    await done(people.district, sibling, "fold", into=far)
    await done(people.community, far, "assign", assignee=str(people.worker))
    assert (await people.community.get(f"/tickets/v1/tickets/{sibling}")).status_code == 404
    await done(people.community, far, "withdraw")
    stands = await read(neighbour, sibling)
    assert (stands["state"], stands["assignee"], stands["handler"]) == ("open", None, SIBLING[:12])
    kinds = "SELECT array_agg(kind ORDER BY kind) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(kinds, UUID(sibling)) == ["answer", "solve"]
    assert (await people.community.get(f"/tickets/v1/tickets/{sibling}")).status_code == 404


async def test_who_withdraws_what_he_alone_reported_twice_ends_it(tickets: Running, people: People) -> None:
    one, two = await opened(people.resident), await opened(people.resident)
    await done(people.community, two, "fold", into=one)
    await done(people.resident, one, "withdraw")
    assert (await read(people.resident, two))["state"] == "closed"
    assert (await trail(people.resident, one))[-1]["facts"] is None
    # With somebody else's his other report goes on, too.
    three, four, five = await opened(people.resident), await opened(people.resident), await opened(people.community)
    await done(people.community, four, "fold", into=three)
    await done(people.community, five, "fold", into=three)
    await done(people.resident, three, "withdraw")
    assert (await read(people.community, five))["followers"] == 1
    assert (await read(people.resident, four))["state"] == "closed"
    assert [event["withdrawn"] for event in await told(tickets, five, "unfolded")] == [three]


async def test_what_was_folded_with_its_followers_goes_on_with_them(tickets: Running, people: People) -> None:
    own = [tickets.client("resident", "310104", uuid4()) for _ in range(3)]
    one, two, three = [await opened(client) for client in own]
    await done(people.community, three, "fold", into=two)
    await done(people.community, two, "fold", into=one)
    await done(own[0], one, "withdraw")
    assert (await read(own[1], two))["followers"] == 1
    await done(people.community, two, "assign", assignee=str(people.worker))
    await done(people.grid, two, "resolve")
    (event,) = await told(tickets, two, "resolved")
    assert event["followers"] == [(await read(own[2], three))["reporter"]]


async def test_what_is_folded_as_its_ticket_is_withdrawn_ends_with_it_in_no_case(
    tickets: Running, people: People
) -> None:
    for _ in range(5):
        neighbour = tickets.client("resident", "310104", uuid4())
        one, two = await opened(people.resident), await opened(neighbour)
        folded, gone = await asyncio.gather(
            moved(people.community, two, "fold", into=one), moved(people.resident, one, "withdraw")
        )
        assert (folded.status_code in {200, 409}, gone.status_code) == (True, 200), (folded.text, gone.text)
        assert (await read(neighbour, two))["state"] == "open"


async def test_a_ticket_is_folded_only_into_one_that_runs(people: People) -> None:
    one, two = await opened(people.resident), await resolved(people)
    await done(people.resident, two, "close")
    for into, status, kind in (
        (one, 409, "not-foldable"),
        (two, 409, "not-foldable"),
        (str(uuid4()), 404, "not-found"),
    ):
        refused = await moved(people.community, one, "fold", into=into)
        assert (refused.status_code, refused.json()["type"]) == (status, f"urn:linli:problem:{kind}")
    assert (await moved(people.resident, one, "fold", into=two)).status_code == 403
    assert (await read(people.community, one))["state"] == "open"


async def test_two_folded_into_each_other_at_once_leave_one(people: People) -> None:
    for _ in range(5):
        one, two = await opened(people.resident), await opened(people.resident)
        answers = await asyncio.gather(
            moved(people.community, one, "fold", into=two), moved(people.community, two, "fold", into=one)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_ticket_split_into_parts_is_resolved_with_the_last(tickets: Running, people: People) -> None:
    await staffed(tickets, "power")
    ticket = await opened(people.resident)
    parts = [
        {"title": "修灯", "description": "更换灯泡", "department": "power"},
        {"title": "修路", "description": "填平路面"},
    ]
    assert (await moved(people.community, ticket, "split", parts=parts[:1])).status_code == 422
    made = (await done(people.community, ticket, "split", parts=parts, note="两个部门"))["items"]
    assert [part["department"] for part in made] == ["power", None]
    assert {part["parent"] for part in made} == {ticket}
    assert (await read(people.resident, ticket))["state"] == "split"
    assert (await people.resident.get(f"/tickets/v1/tickets/{made[0]['id']}")).status_code == 404
    kinds = "SELECT count(*) FROM timer WHERE aggregate = $1"
    assert await tickets.database.fetchval(kinds, UUID(ticket)) == 0
    for part in made:
        assert (await read(people.community, ticket))["state"] == "split"
        assert (await moved(people.community, part["id"], "split", parts=parts)).status_code == 409
        await done(people.community, part["id"], "assign", assignee=str(people.worker))
        ended = await done(people.grid, part["id"], "resolve")
        assert (ended["state"], ended["outcome"], ended["confirmed"]) == ("closed", "fixed", False)
    whole = await read(people.resident, ticket)
    assert (whole["state"], whole["resolved_by"]) == ("resolved", str(people.worker))
    assert [entry["move"] for entry in await trail(people.resident, ticket)] == ["open", "split", "parts_done"]
    assert (await done(people.resident, ticket, "close"))["outcome"] == "fixed"
    for what in ("assigned", "resolved", "closed"):  # so that nobody is asked about a part
        assert [event["parent"] for event in await told(tickets, made[0]["id"], what)] == [ticket]
    listed = await people.community.get("/tickets/v1/tickets", params={"parent": ticket})
    assert {part["id"] for part in listed.json()["items"]} == {part["id"] for part in made}


async def test_what_is_split_names_who_had_the_whole(tickets: Running, people: People) -> None:
    ticket = await opened(people.resident)
    await done(people.community, ticket, "assign", assignee=str(people.worker))
    await done(people.community, ticket, "split", parts=[{"title": name, "description": name} for name in ("灯", "路")])
    assert [event["assignee"] for event in await told(tickets, ticket, "split")] == [str(people.worker)]


async def test_the_last_two_parts_resolved_at_once_resolve_the_whole_once(people: People) -> None:
    for _ in range(5):
        ticket = await opened(people.resident)
        parts = [{"title": name, "description": name} for name in ("灯", "路", "门")]
        made = (await done(people.community, ticket, "split", parts=parts))["items"]
        for part in made:
            await done(people.community, part["id"], "assign", assignee=str(people.worker))
        await asyncio.gather(*(done(people.grid, part["id"], "resolve") for part in made))
        moves = [entry["move"] for entry in await trail(people.resident, ticket)]
        assert moves == ["open", "split", "parts_done"]


async def test_what_may_be_the_same_is_suggested(tickets: Running, people: People) -> None:
    place = {"latitude": 31.2100, "longitude": 121.4400}
    near = await opened(people.resident, **place, category="road")
    far = await opened(people.resident, latitude=31.2130, longitude=121.4400, category="road")
    door = await opened(people.resident, subject_kind="place", subject="door-7", unit=SIBLING)
    closed = await opened(people.resident, **place, category="road")
    await done(people.resident, closed, "withdraw")

    async def similar(client: httpx.AsyncClient, **params: str | float) -> list[str]:
        answer = await client.get("/tickets/v1/tickets/similar", params={"unit": MICRO, **params})
        assert answer.status_code == 200, answer.text
        assert all("reporter" not in found and "description" not in found for found in answer.json()["items"])
        return [found["id"] for found in answer.json()["items"]]

    here: dict[str, str | float] = {"latitude": 31.2110, "longitude": 121.4410, "category": "road"}
    assert await similar(people.community, **here) == [near]
    assert await similar(people.district, subject="door-7") == [door]
    assert await similar(people.community, subject="door-7") == []
    assert far in await similar(people.community, category="road")
    neighbour = tickets.client("resident", "310104", uuid4())
    assert await similar(neighbour, **here) == []
    body = {"name": "道路", "name_en": "Roads", "visibility": "public"}
    assert (await people.district.put("/tickets/v1/categories/street_road", json=body)).status_code == 201
    public = await opened(people.resident, **place, category="street_road")
    assert await similar(neighbour, **here | {"category": "street_road"}) == [public]
    other = await people.community.get("/tickets/v1/tickets/similar", params={"unit": "310115005"})
    assert other.status_code == 403
    half = await people.community.get("/tickets/v1/tickets/similar", params={"unit": MICRO, "latitude": 31.2})
    assert (half.status_code, half.json()["errors"][0]["parameter"]) == (422, "latitude")


async def test_what_the_hotline_hands_over_twice_is_one_ticket(tickets: Running, people: People) -> None:
    call = {"source": "hotline", "reference": "20260705-0001"}
    assert (await people.resident.post("/tickets/v1/tickets", json={**REPORT, **call})).status_code == 403
    hotline = tickets.client("app", "310104")
    ticket = await opened(hotline, **call)
    again = await hotline.post("/tickets/v1/tickets", json={**REPORT, **call})
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:reference-taken")
    assert await opened(hotline, source="patrol", reference=call["reference"]) != ticket
    listed = await people.district.get("/tickets/v1/tickets", params={"source": "hotline"})
    assert [found["id"] for found in listed.json()["items"]] == [ticket]


@pytest.mark.parametrize("source", ["app", "qr"])
async def test_apps_and_people_have_numbers_of_their_own(tickets: Running, people: People, source: str) -> None:
    own = {"source": source, "reference": "H1"}
    ticket = await opened(people.resident, **own)
    again = await people.resident.post("/tickets/v1/tickets", json={**REPORT, **own})
    assert (again.status_code, again.json()["type"]) == (409, "urn:linli:problem:reference-taken")
    assert await opened(tickets.client("app", "310104", uuid4()), **own) != ticket


@pytest.mark.parametrize("half", [{"latitude": 31.2}, {"subject": "door-7"}, {"latitude": 91, "longitude": 0}])
async def test_half_a_place_or_subject_is_refused(people: People, half: dict[str, object]) -> None:
    assert (await people.resident.post("/tickets/v1/tickets", json={**REPORT, **half})).status_code == 422


@pytest.mark.parametrize(("move", "body"), [("close", {"outcome": "withdrawn"}), ("", {**REPORT, "source": "open311"})])
async def test_who_names_what_is_not_to_be_named_is_told_what_is(
    people: People, move: str, body: dict[str, object]
) -> None:
    path = f"/{await resolved(people)}/{move}" if move else ""
    refused = await people.resident.post(f"/tickets/v1/tickets{path}", json=body, headers={"If-Match": "*"})
    assert refused.status_code == 422
    said = refused.json()["errors"][0]["detail"]
    assert said.startswith("Input should be '"), said
    assert "<" not in said


def legal(path: list[dict[str, Any]]) -> bool:
    """Tell whether a trail is a way through the table."""
    state, assigned = State.OPEN, False
    for number, entry in enumerate(path):
        move = Move(entry["move"])
        assigned = "assignee" in (entry["facts"] or {}) if move is Move.UNFOLD else assigned or move is Move.ASSIGN
        if number == 0 or move not in MOVES:
            of_calls = Move.CALL_OFF if state is State.CLOSED else Move.REPORT_MISSED
            follows = move is of_calls or move.value.endswith("_overdue")
            ok = (number == 0) == (move is Move.OPEN) and (number == 0 or follows)
            after = state
        else:
            rule = MOVES[move]
            ok = state in rule.before
            back = State.ASSIGNED if assigned else State.OPEN
            waits = rule.waits and state is State.WAITING
            after = back if rule.at_work else state if waits else rule.after or state
        if not ok or entry["sequence"] != number + 1 or entry["state"] != after.value:
            return False
        state = after
    return True


async def test_100_who_close_reopen_and_rate_at_once_leave_a_legal_trail(
    tickets: Running, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is refused because a machine takes long: how long one waits for a connection is not tried here.
    monkeypatch.setattr(tickets.app.state.engines[None].pool, "_timeout", 60)
    ticket = await resolved(people)
    bodies: dict[str, dict[str, object]] = {"close": {}, "reopen": {"note": "又灭了"}, "rate": {"rating": 2}}
    wishes = [("close", "reopen", "rate")[number % 3] for number in range(97)] + ["resolve"] * 3
    answers = await asyncio.gather(
        *(
            moved(people.grid, ticket, wish)
            if wish == "resolve"
            else moved(people.resident, ticket, wish, **bodies[wish])
            for wish in wishes
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    path = await trail(people.resident, ticket)
    assert legal(path), [(entry["move"], entry["state"]) for entry in path]
    stands = await read(people.resident, ticket)
    assert stands["version"] == len(path)
    assert stands["state"] == path[-1]["state"]
    events = [event for event in await tickets.events() if event.get("ticket") == ticket]
    assert [event["sequence"] for event in events] == list(range(1, len(path) + 1))
