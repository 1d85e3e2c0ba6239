"""Idempotency-Key, shown on the tickets service; the chassis gives it to every POST of every service."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, MICRO, employ

from linli.testing import Running, eventually
from tickets.operations import rules

REPORT = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}


async def post(client: httpx.AsyncClient, key: str, **changes: str) -> httpx.Response:
    return await client.post("/tickets/v1/tickets", json={**REPORT, **changes}, headers={"Idempotency-Key": key})


async def test_a_repeated_post_gives_its_first_answer_and_changes_nothing(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    first = await post(client, "a")
    again = await post(client, "a")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await client.get("/tickets/v1/tickets")).json()["items"]) == 1


async def test_a_repeated_move_is_answered_before_its_etag_is_asked_for(tickets: Running) -> None:
    manager_id = await employ(tickets, "community_manager", COMMUNITY)
    client = tickets.client("community_manager", COMMUNITY, manager_id)
    ticket = await post(client, "b")
    headers = {"Idempotency-Key": "b-assign", "If-Match": ticket.headers["etag"]}
    path = ticket.headers["location"] + "/assign"
    first = await client.post(path, json={"assignee": str(manager_id)}, headers=headers)
    again = await client.post(path, json={"assignee": str(manager_id)}, headers=headers)
    assert first.status_code == 200
    assert (again.status_code, again.content) == (200, first.content)


async def test_a_key_is_good_for_one_request_only(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    await post(client, "c")
    other = await post(client, "c", title="另一件事")
    assert other.status_code == 422
    assert other.json()["type"] == "urn:linli:problem:key-reused"


async def test_keys_of_different_callers_do_not_meet(tickets: Running) -> None:
    one, other = (tickets.client("resident", "310104", uuid4()) for _ in range(2))
    assert (await post(one, "d")).json()["id"] != (await post(other, "d")).json()["id"]


async def test_twenty_at_once_make_one_ticket(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    answers = await asyncio.gather(*(post(client, "e") for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert all(
        answer.json()["type"] == "urn:linli:problem:key-in-flight" and answer.headers["retry-after"]
        for answer in answers
        if answer.status_code == 409
    )
    assert len((await client.get("/tickets/v1/tickets")).json()["items"]) == 1


async def test_a_request_in_flight_is_told_so(tickets: Running) -> None:
    person = uuid4()
    client = tickets.client("resident", "310104", person)
    held = tickets.database.transaction()
    await held.start()
    await tickets.database.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{person} f")
    assert (await post(client, "f")).status_code == 409
    await held.rollback()
    assert (await post(client, "f")).status_code == 201


async def test_an_error_is_not_remembered(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    assert (await post(client, "g", unit="310104003888")).status_code == 422
    await tickets.know_units("310104003888")
    assert (await post(client, "g", unit="310104003888")).status_code == 201


async def test_a_key_too_long_is_refused(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    refused = await post(client, "k" * 256)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["in"] == "header"


@pytest.mark.parametrize("body", [b"{", b"{}"])
@pytest.mark.parametrize("key", ["", "h"])
async def test_who_may_not_is_told_so_before_what_is_wrong(tickets: Running, key: str, body: bytes) -> None:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    for role, status in ((None, 401), ("auditor", 403), ("resident", 400 if body == b"{" and key else 422)):
        answer = await tickets.client(role, "310104").post("/tickets/v1/tickets", content=body, headers=headers)
        assert answer.status_code == status, answer.text


async def test_who_goes_away_leaves_nothing_and_his_key_is_free(tickets: Running) -> None:
    client = tickets.client("resident", "310104", uuid4())
    pool = tickets.app.state.engines[None].pool
    held = tickets.database.transaction()
    await held.start()
    await tickets.database.execute("SELECT pg_advisory_xact_lock($1, 310104)", rules._LOCK)
    waiting = asyncio.create_task(post(client, "i"))
    locks = "SELECT count(*) {} FROM pg_locks WHERE locktype = 'advisory' AND {}"
    await eventually(lambda: tickets.database.fetchval(locks.format("> 0", "NOT granted")))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.checkedout() == 0
    await held.rollback()
    await eventually(lambda: tickets.database.fetchval(locks.format("= 0", "true")))  # its server has noticed
    answer = await post(client, "i")
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, None)
    assert len((await client.get("/tickets/v1/tickets")).json()["items"]) == 1
