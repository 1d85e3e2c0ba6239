"""Pages by key: nothing is skipped or repeated while rows come and go, and a cursor is good for its own list only."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libs.common.tests.shelf.app import create_app

from linli.testing import Running, Stage

STREET = "310104003"


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app) as running:
        await running.know_units(STREET)
        yield running


async def fill(shelf: Running, *ages: int, title: str = "x", unit: int = 310104003000000000) -> None:
    await shelf.database.executemany(
        "INSERT INTO book (district, id, unit, title, number, added_at, owner, version)"
        " VALUES (310104, $1, $5, $2, $3, timestamptz 'epoch' - make_interval(secs => $4), $1, 1)",
        [(uuid4(), title, uuid4().int >> 76, age, unit) for age in ages],
    )


async def walk(
    client: httpx.AsyncClient, path: str = "/shelf/v1/books", **params: str | int
) -> AsyncIterator[list[str]]:
    following: str | None = None
    while True:
        cursor = {} if following is None else {"cursor": following}
        answer = (await client.get(path, params={**params, **cursor})).raise_for_status()
        yield [item["id"] for item in answer.json()["items"]]
        following = answer.json()["next"]
        if following is None:
            assert "link" not in answer.headers
            return
        link = answer.headers["link"]
        assert f"cursor={following}" in link
        assert link.endswith('>; rel="next"')


@given(
    ages=st.lists(st.integers(0, 5), max_size=20),
    limit=st.integers(1, 7),
    changes=st.lists(st.tuples(st.integers(-3, 8), st.booleans()), max_size=6),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_stays_is_seen_once_whatever_comes_and_goes(
    shelf: Running, ages: list[int], limit: int, changes: list[tuple[int, bool]]
) -> None:
    await shelf.database.execute("DELETE FROM book")
    await fill(shelf, *ages)
    stays = {str(row["id"]) for row in await shelf.database.fetch("SELECT id FROM book")}
    seen: list[str] = []
    async for page in walk(shelf.client("street_admin"), limit=limit):
        assert len(page) <= limit
        seen += page
        if changes:
            age, comes = changes.pop()
            if comes:
                await fill(shelf, age)
            else:
                gone = await shelf.database.fetchval(
                    "DELETE FROM book WHERE id IN (SELECT id FROM book LIMIT 1) RETURNING id"
                )
                stays -= {str(gone)}
    assert len(seen) == len(set(seen))
    assert stays <= set(seen)


async def test_lists_are_in_order_of_their_key(shelf: Running) -> None:
    await shelf.database.execute("DELETE FROM book")
    await fill(shelf, 3, 1, 2, 1)
    wanted = await shelf.database.fetch("SELECT id FROM book ORDER BY added_at DESC, id DESC")
    pages = [page async for page in walk(shelf.client("street_admin"), limit=2)]
    assert pages == [[str(row["id"]) for row in wanted[at : at + 2]] for at in (0, 2)]


@pytest.mark.parametrize("grids", [1, 2, 4])
@pytest.mark.parametrize("path", ["books", "titles"])
async def test_a_grid_workers_list_is_one_of_all_of_his_grids(shelf: Running, path: str, grids: int) -> None:
    await shelf.database.execute("DELETE FROM book")
    codes = [f"31010400300100{number}" for number in range(1, 6)]
    await shelf.know_units(*codes)
    for number, code in enumerate(codes):
        await fill(shelf, *range(number, 12, 2), title=str(number % 2), unit=int(code) * 1000)
    order = {"books": "added_at DESC, id DESC", "titles": "title, number"}[path]
    mine = f"SELECT id FROM book WHERE unit_grid / 1000 = ANY ($1::bigint[]) ORDER BY {order}"  # noqa: S608 constants
    wanted = await shelf.database.fetch(mine, list(map(int, codes[:grids])))
    worker = shelf.client("grid_worker", codes[0], grids=codes[:grids])
    pages = [page async for page in walk(worker, f"/shelf/v1/{path}", limit=4)]
    assert [id_ for page in pages for id_ in page] == [str(row["id"]) for row in wanted]


async def test_text_and_numbers_are_keys_too(shelf: Running) -> None:
    await shelf.database.execute("DELETE FROM book")
    for title in ("红楼梦", "a'b\"c", "", "水浒"):
        await fill(shelf, 1, 2, title=title)
    wanted = await shelf.database.fetch("SELECT id FROM book ORDER BY title, number")
    pages = [page async for page in walk(shelf.client("street_admin"), "/shelf/v1/titles", limit=3)]
    assert [id_ for page in pages for id_ in page] == [str(row["id"]) for row in wanted]


async def first(shelf: Running, path: str, **params: str) -> list[Any]:
    await fill(shelf, 1, 2)
    answer = await shelf.client("street_admin").get(path, params={"limit": 1, **params})
    cursor = answer.json()["next"]
    found: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return found


def write(cursor: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "place", "value"),
    [
        ("books", 1, "0001-01-01T00:00:00+23:59"),
        ("books", 1, "9999-12-31T23:59:59-23:59"),
        ("books", 1, "yesterday"),
        ("books", 1, 5),
        ("books", 2, "not a uuid"),
        ("books", 2, None),
        ("titles", 1, "a\0b"),
        ("titles", 1, "\ud800"),
        ("titles", 1, 5),
        ("titles", 2, "5"),
        ("titles", 2, True),
        ("titles", 2, 1.5),
        ("titles", 2, 2**63),
        ("titles", 2, 10**300),
        ("titles", 0, None),
    ],
)
async def test_a_cursor_that_was_tampered_with_is_refused_and_never_an_error_of_ours(
    shelf: Running, path: str, place: int, value: object
) -> None:
    cursor = await first(shelf, f"/shelf/v1/{path}")
    cursor[place] = value
    answer = await shelf.client("street_admin").get(f"/shelf/v1/{path}", params={"cursor": write(cursor)})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "e30", "W10", "bnVsbA", "WyJh", "游标", "=" * 40, write([]), write({}), write("abc"), "a" * 1000],
)
async def test_what_is_no_cursor_is_refused(shelf: Running, cursor: str) -> None:
    answer = await shelf.client("street_admin").get("/shelf/v1/books", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:linli:problem:bad-request")


async def test_a_cursor_of_another_list_or_filter_is_refused(shelf: Running) -> None:
    client = shelf.client("street_admin")
    cursor = write(await first(shelf, "/shelf/v1/books", title="x"))
    assert (await client.get("/shelf/v1/books", params={"cursor": cursor, "title": "x"})).status_code == 200
    assert (await client.get("/shelf/v1/books", params={"cursor": cursor, "title": "y"})).status_code == 400
    assert (await client.get("/shelf/v1/books", params={"cursor": cursor})).status_code == 400
    assert (await client.get("/shelf/v1/titles", params={"cursor": cursor, "title": "x"})).status_code == 400


async def test_a_cursor_of_another_district_shows_nothing_of_it(shelf: Running) -> None:
    cursor = write(await first(shelf, "/shelf/v1/books"))
    answer = await shelf.client("street_admin", "310115005").get("/shelf/v1/books", params={"cursor": cursor})
    assert answer.json() == {"items": [], "next": None}


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e9", "9" * 5000])
async def test_a_page_has_1_to_200_rows(shelf: Running, limit: str) -> None:
    assert (await shelf.client("street_admin").get("/shelf/v1/books", params={"limit": limit})).status_code == 422
