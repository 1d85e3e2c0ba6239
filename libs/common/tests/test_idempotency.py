"""What an Idempotency-Key is good for, and for whom."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from libs.common.tests.shelf.app import create_app

from linli.testing import Running, Stage

HERE = "310104003001001"


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app) as running:
        await running.know_units(HERE)
        yield running


async def post(client: httpx.AsyncClient, key: str, number: int, path: str = "books") -> httpx.Response:
    body = {"unit": HERE, "number": number}
    return await client.post(f"/shelf/v1/{path}", json=body, headers={"Idempotency-Key": key})


@pytest.fixture
def person() -> UUID:
    return uuid4()


async def test_an_answer_is_given_again_to_another_token_of_the_same_kind(shelf: Running, person: UUID) -> None:
    first = await post(shelf.client("resident", "310104", person), "a", 1)
    again = await post(shelf.client("resident", "310104", person), "a", 1)
    assert (again.status_code, again.content) == (first.status_code, first.content) != (422, b"")
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("role", "unit"), [("resident", "310104"), ("street_admin", "310104004"), ("district_admin", "310104")]
)
async def test_what_was_shown_to_one_role_is_not_shown_to_another(
    shelf: Running, person: UUID, role: str, unit: str
) -> None:
    assert (await post(shelf.client("street_admin", "310104003", person), "b", uuid4().int >> 76)).status_code == 201
    number = await shelf.database.fetchval("SELECT number FROM book WHERE owner = $1", person)
    answer = await post(shelf.client(role, unit, person), "b", number)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:linli:problem:key-reused")


async def test_another_persons_key_is_another_key_also_in_the_database(shelf: Running, person: UUID) -> None:
    await post(shelf.client("resident", "310104", person), "c", 3)
    rows = "SELECT count(*) FROM idempotency_key WHERE person = $1"
    assert await shelf.database.fetchval(rows, person) == 1
    for who, seen in ((person, 1), (uuid4(), 0)):
        transaction = shelf.database.transaction()
        await transaction.start()
        await shelf.database.execute("SET LOCAL ROLE linli_scoped")
        await shelf.database.execute("SELECT set_config('app.person', $1, true)", str(who))
        assert await shelf.database.fetchval(rows, person) == seen
        await transaction.rollback()


async def test_a_key_is_for_one_address(shelf: Running, person: UUID) -> None:
    client = shelf.client("street_admin", person=person)
    assert (await post(client, "d", 4)).status_code == 201
    assert (await post(client, "d", 4, "sleep")).status_code == 422


async def test_a_key_that_has_run_out_is_a_new_one(shelf: Running, person: UUID) -> None:
    client = shelf.client("street_admin", person=person)
    first = await post(client, "e", 5)
    await shelf.database.execute("UPDATE idempotency_key SET expires_at = now() WHERE person = $1", person)
    await shelf.database.execute("DELETE FROM book WHERE owner = $1", person)
    again = await post(client, "e", 5)
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_that_is_none_is_refused(shelf: Running, key: str) -> None:
    assert (await post(shelf.client("street_admin"), key, 6)).status_code == 422


@pytest.mark.parametrize("key", ["k", "k" * 255, "'; DROP TABLE book; --", "é", "a b"])
async def test_any_other_key_is_taken(shelf: Running, key: str) -> None:
    client = shelf.client("street_admin")
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    body = {"unit": HERE, "number": uuid4().int >> 76}
    answers = [await client.post("/shelf/v1/books", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content


async def test_a_refused_request_is_tried_anew(shelf: Running, person: UUID) -> None:
    client = shelf.client("street_admin", person=person)
    headers = {"Idempotency-Key": "f"}
    refused = await client.post(
        "/shelf/v1/books", json={"unit": HERE, "number": 7, "title": "forbidden"}, headers=headers
    )
    assert refused.status_code == 409
    assert (await post(client, "f", uuid4().int >> 76)).status_code == 201
