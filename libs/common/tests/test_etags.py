"""Nobody's change is overwritten by one who has not seen it."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

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


@pytest.fixture
async def client(shelf: Running) -> httpx.AsyncClient:
    return shelf.client("street_admin")


@pytest.fixture
async def book(client: httpx.AsyncClient) -> str:
    answer = await client.post("/shelf/v1/books", json={"unit": HERE, "number": uuid4().int >> 76})
    assert answer.headers["etag"] == '"1"'
    return str(answer.json()["id"])


async def rename(client: httpx.AsyncClient, book: str, match: str | None, title: str = "new") -> httpx.Response:
    headers = {} if match is None else {"If-Match": match}
    return await client.patch(
        f"/shelf/v1/books/{book}", json={"unit": HERE, "number": 1, "title": title}, headers=headers
    )


@pytest.mark.parametrize("match", ['"1"', "*", '"0", "1"', '"0","1"', ' "1" '])
async def test_who_has_seen_the_row_may_change_it(client: httpx.AsyncClient, book: str, match: str) -> None:
    answer = await rename(client, book, match)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')


@pytest.mark.parametrize("match", ['"0"', '"2"', 'W/"1"', "1", '"', "", '"1 "', "'1'"])
async def test_any_other_tag_is_stale_and_a_weak_one_never_good(
    client: httpx.AsyncClient, book: str, match: str
) -> None:
    answer = await rename(client, book, match)
    assert (answer.status_code, answer.json()["type"]) == (412, "urn:linli:problem:precondition-failed")
    assert answer.json()["etag"] == '"1"'


async def test_without_a_tag_nothing_is_changed(client: httpx.AsyncClient, book: str) -> None:
    assert (await rename(client, book, None)).status_code == 428
    assert (await rename(client, book, '"1"')).status_code == 200


async def test_nobody_learns_of_a_tag_before_he_has_said_who_he_is(shelf: Running, book: str) -> None:
    assert (await rename(shelf.client(), book, None)).status_code == 401


async def test_of_many_at_once_one_is_first_and_no_change_is_lost(client: httpx.AsyncClient, book: str) -> None:
    answers = await asyncio.gather(*(rename(client, book, '"1"', f"title {number}") for number in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    [won] = [answer for answer in answers if answer.status_code == 200]
    listed = (await client.get("/shelf/v1/books", params={"title": won.json()["title"]})).json()["items"]
    assert [item["id"] for item in listed] == [book]
