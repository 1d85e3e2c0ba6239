"""What is answered to somebody is kept by nobody else."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from libs.common.tests.shelf.app import create_app

from linli.testing import Running, Stage


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app) as running:
        yield running


async def test_no_answer_to_somebody_is_kept_on_the_way(shelf: Running) -> None:
    client = shelf.client("street_admin")
    answers = [
        await client.get("/shelf/v1/books"),
        await client.get("/shelf/v1/nothing"),
        await client.patch(f"/shelf/v1/books/{uuid4()}", json={"unit": "310104", "number": 1}),
        await client.post("/shelf/v1/break", content=b"x"),
        await client.post("/shelf/v1/books", content=b" " * 2**21),
        await shelf.client().get("/shelf/v1/books", headers={"Authorization": "Bearer x"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 428, 500, 413, 401]
    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}


async def test_what_is_said_to_everybody_may_be_kept(shelf: Running) -> None:
    assert "cache-control" not in (await shelf.client().get("/shelf/v1/openapi.json")).headers
