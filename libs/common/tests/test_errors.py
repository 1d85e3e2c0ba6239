"""Whatever goes wrong, the answer is a problem that says what to do, and the log names no resident."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from libs.common.tests.shelf.app import create_app
from pythonjsonlogger.json import JsonFormatter

from linli.testing import Running, Stage

HERE = "310104003001001"
SECRET = "13812345678"


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app) as running:
        await running.know_units(HERE)
        yield running


@pytest.fixture
def client(shelf: Running) -> httpx.AsyncClient:
    return shelf.client("street_admin")


def assert_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == (f"urn:linli:problem:{kind}", status)
    assert {"title", "title_zh", "detail", "detail_zh", "trace_id"} <= set(body)
    return body


async def post(client: httpx.AsyncClient, body: str) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return await client.post("/shelf/v1/books", content=body.encode("utf-8", "surrogatepass"), headers=headers)


@pytest.mark.parametrize(
    "field",
    [
        '"title": "a\\u0000b"',
        '"title": "\\ud800"',
        '"title": "\ud800"',
        f'"number": {2**63}',
        f'"number": {-(10**400)}',
        '"number": 1e400',
        '"number": NaN',
        '"\\ud800": 1',
        '"\\u0000": 1',
        '"unit": 310104003001001000',
        f'"{"long" * 1000}": {2**60}',
    ],
)
async def test_what_no_database_can_keep_is_refused_as_the_callers_mistake(
    client: httpx.AsyncClient, field: str
) -> None:
    rest = {"unit": HERE, "title": "x", "number": 1}
    rest.pop(field.split('"')[1], None)
    answer = await post(client, json.dumps(rest)[:-1] + f", {field}}}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail_zh"]


@pytest.mark.parametrize("body", ["{", '{"number": ' + "9" * 5000 + "}", "[" * 200_000, '{"a":' * 100_000, '"\\ud8'])
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, body: str) -> None:
    assert_problem(await post(client, body), 400, "bad-request")


async def test_a_body_of_another_encoding_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/shelf/v1/books", content='{"unit": "区"}'.encode("gb18030"), headers=headers)
    assert_problem(answer, 400, "bad-request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=range(3),
)
async def test_a_body_of_another_kind_is_named(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    content = gzip.compress(b"{}") if "Content-Encoding" in headers else b'{"title": "x"}'
    answer = await client.post("/shelf/v1/books", content=content, headers=headers)
    assert "application/json" in assert_problem(answer, 415, "unsupported-media-type")["expected"]


async def test_wrong_fields_are_pointed_at_in_both_languages(client: httpx.AsyncClient) -> None:
    answer = await client.post("/shelf/v1/books", json={"unit": "31", "title": 1, "a/b~c": 1})
    errors = {error["pointer"]: error for error in assert_problem(answer, 422, "unprocessable")["errors"]}
    assert set(errors) == {"#/unit", "#/title", "#/number", "#/a~1b~0c"}
    assert errors["#/number"]["detail_zh"] == "缺少该字段"
    answer = await client.get("/shelf/v1/books", params={"limit": "x"})
    assert assert_problem(answer, 422, "unprocessable")["errors"][0]["parameter"] == "limit"


async def test_a_million_mistakes_are_answered_in_short(client: httpx.AsyncClient) -> None:
    body = "{" + ",".join(f'"{number:x}":1' for number in range(100_000)) + "}"
    answer = await post(client, body)
    assert len(assert_problem(answer, 422, "unprocessable")["errors"]) == 100


@pytest.mark.parametrize(
    ("sqlstate", "status", "kind"),
    [
        ("08006", 503, "unavailable"),
        ("40001", 503, "unavailable"),
        ("40P01", 503, "unavailable"),
        ("53300", 503, "unavailable"),
        ("55P03", 503, "unavailable"),
        ("57014", 503, "unavailable"),
        ("57P01", 503, "unavailable"),
        ("23505", 409, "conflict"),
        ("22003", 422, "not-storable"),
        ("42501", 403, "beyond-reach"),
        ("42P01", 500, "internal-error"),
        ("22012", 500, "internal-error"),
        ("XX000", 500, "internal-error"),
    ],
)
async def test_each_error_of_the_database_says_whether_to_come_again(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, sqlstate: str, status: int, kind: str
) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'of {SECRET}' USING ERRCODE = '{sqlstate}'; END $$"
    answer = await client.post("/shelf/v1/sql", content=statement)
    assert_problem(answer, status, kind)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert SECRET not in answer.text
    assert SECRET not in logged(caplog)
    assert sqlstate in logged(caplog)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    formatter = JsonFormatter()
    return "\n".join(formatter.format(record) for record in caplog.records if record.levelno >= logging.WARNING)


@pytest.mark.parametrize("path", ["outlive", "outlive-direct"])
async def test_who_outlives_the_server_is_asked_to_come_again(client: httpx.AsyncClient, path: str) -> None:
    for _ in range(4):  # more than there are connections: none is left behind
        answer = await client.post(f"/shelf/v1/{path}")
        assert_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "5"
    assert (await client.post("/shelf/v1/sql", content="SELECT 1")).status_code == 200


async def test_a_deadlock_ends_with_one_done_and_one_told_to_come_again(shelf: Running) -> None:
    # Each takes the other's lock when both have one.
    await shelf.database.execute(
        "CREATE FUNCTION clash(a int, b int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock(5, a);"
        " WHILE (SELECT count(*) < 2 FROM pg_locks WHERE locktype = 'advisory' AND classid = 5 AND granted) LOOP"
        " PERFORM pg_sleep(0.01); END LOOP;"
        " PERFORM pg_advisory_xact_lock(5, b); END $$"
    )
    client = shelf.client("street_admin")
    answers = await asyncio.gather(
        client.post("/shelf/v1/sql", content="SELECT clash(1, 2)"),
        client.post("/shelf/v1/sql", content="SELECT clash(2, 1)"),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 503]


async def test_an_unforeseen_error_is_an_internal_error_and_logged_once(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.post("/shelf/v1/break", content="words of a resident")
    assert_problem(answer, 500, "internal-error")
    assert "resident" not in answer.text
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
    assert "ValueError" in logged(caplog)
    assert "break_down" in logged(caplog)
    assert "resident" not in logged(caplog)


async def test_an_error_reaches_no_server_that_would_log_it_in_full(shelf: Running) -> None:
    transport = httpx.ASGITransport(shelf.app)  # raises what the app does
    headers = {"Authorization": "Bearer " + shelf.authority.token("street_admin")}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        assert (await client.post("/shelf/v1/break", content="words of a resident")).status_code == 500


async def test_a_role_that_may_not_write_is_told_so(shelf: Running) -> None:
    worker = shelf.client("grid_worker", HERE)
    body = {"unit": "310104003002001", "number": uuid4().int >> 76}
    assert_problem(await worker.post("/shelf/v1/books", json=body), 403, "beyond-reach")


async def test_a_unit_nobody_knows_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.post("/shelf/v1/books", json={"unit": "310104003009", "number": 7})
    assert_problem(answer, 422, "unknown-unit")


async def test_a_prepared_statement_older_than_a_migration_is_tried_again(shelf: Running) -> None:
    client = shelf.client("street_admin")
    assert (await client.get("/shelf/v1/books")).status_code == 200
    await shelf.database.execute("ALTER TABLE book ALTER COLUMN title TYPE varchar")
    statuses = [(await client.get("/shelf/v1/books")).status_code for _ in range(3)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


async def test_what_is_not_there_and_what_is_not_taken(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/shelf/v1/nothing"), 404, "no-such-route")
    answer = await client.delete("/shelf/v1/books")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "HEAD, GET, POST"
    assert (await client.head("/shelf/v1/books")).status_code == 200
    assert_problem(await client.get("/shelf/v1/books/%00"), 405, "method-not-allowed")
    answer = await client.patch("/shelf/v1/books/%00%ff", json={}, headers={"If-Match": "*"})
    assert_problem(answer, 422, "unprocessable")
