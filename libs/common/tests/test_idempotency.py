"""What an Idempotency-Key is good for, and for whom."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from libs.common.tests.shelf.app import create_app

from linli.idempotency import Safe
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


async def test_nothing_that_was_said_stands_in_the_table(shelf: Running, person: UUID) -> None:
    client = shelf.client("street_admin", person=person)
    body = {"unit": HERE, "number": uuid4().int >> 76, "title": "张三家漏水"}
    first = await client.post("/shelf/v1/books", json=body, headers={"Idempotency-Key": "g"})
    assert first.status_code == 201
    kept = await shelf.database.fetchrow("SELECT * FROM idempotency_key WHERE person = $1", person)
    assert (kept["status"], kept["headers"]) == (503, ["retry-after", "1"])
    for known in ("张三".encode(), first.json()["id"].encode(), b"title"):
        assert known not in kept["body"]
    again = await client.post("/shelf/v1/books", json=body, headers={"Idempotency-Key": "g"})
    assert (again.status_code, again.content, again.headers["etag"]) == (201, first.content, first.headers["etag"])


async def test_what_a_version_that_did_not_seal_has_kept_is_given_again(shelf: Running, person: UUID) -> None:
    client = shelf.client("street_admin", person=person)
    await post(client, "h", number := uuid4().int >> 76)
    said = client.build_request("POST", "/shelf/v1/books", json={"unit": HERE, "number": number}).content
    line = b"POST /shelf/v1/books?\n['street_admin'] 310104003000000000 []\n"
    secret = shelf.settings.master_key.get_secret_value().encode()
    await shelf.database.execute(
        "UPDATE idempotency_key SET status = 201, headers = $2, body = $3, fingerprint = $4 WHERE person = $1",
        *(
            person,
            ["content-type", "application/json"],
            b'{"old": 1}',
            hmac.digest(secret, line + said, hashlib.sha256),
        ),
    )
    again = await post(client, "h", number)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, {"old": 1}, "true")


async def test_an_answer_opens_for_its_own_caller_and_key_alone(shelf: Running, person: UUID) -> None:
    client, number = shelf.client("street_admin", person=person), uuid4().int >> 76
    await post(client, "i", number)
    await shelf.database.execute("UPDATE idempotency_key SET key = 'j' WHERE person = $1", person)
    assert (await post(client, "j", number)).status_code == 500


@pytest.mark.parametrize(("now", "status"), [("{new},{old}", 201), ("{new}", 422)])
async def test_answers_stay_good_while_the_master_key_is_replaced(
    shelf: Running, person: UUID, monkeypatch: pytest.MonkeyPatch, now: str, status: int
) -> None:
    client, number = shelf.client("street_admin", person=person), uuid4().int >> 76
    first = await post(client, "k", number)
    old, new = shelf.settings.master_key.get_secret_value(), "bmV3ZXIgdGhhbiB0aGUgb3RoZXIsIGFuZCBhcyBsb24="
    monkeypatch.setattr(shelf.app.state, "safe", Safe(now.format(old=old, new=new)))
    again = await post(client, "k", number)
    assert (again.status_code, again.content == first.content) == (status, status == 201)
