"""The isolation proof over HTTP: ids of another district, a sibling street and an ancestor, put everywhere.

For every operation of every OpenAPI document, each id and unit in path, query and body is replaced by those of rows
that lie where the caller may not look. The answer is 403 or 404, a filter finds nothing, and no foreign row changes.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from tests.integration.conftest import SERVICES, Platform
from tests.integration.openapi import Document, Operation, example, is_unit, operations

pytestmark = pytest.mark.xdist_group("platform")

OWN = "310104003"
SIBLING = "310104004"
FOREIGN = "310112101"
PLACES = {
    "another district": (310112 * 10**12, 310113 * 10**12 - 1),
    "a sibling street": (310104004 * 10**9, 310104005 * 10**9 - 1),
    "an ancestor": (310104 * 10**12, 310104 * 10**12),
}
CALLERS = {
    ("street_admin", OWN): tuple(PLACES),
    ("grid_worker", f"{OWN}001001"): tuple(PLACES),
    ("app", OWN): tuple(PLACES),
    ("district_admin", "310104"): ("another district",),
    ("resident", "310104"): ("another district",),
}
"""Who tries, and where nothing is theirs."""
PUBLIC = {"centre", "session", "resource"}
"""Open to everybody of the district: one who lives in one street may take a course in another."""
PUBLIC_TO_READ = re.compile(
    r"/bookings/v1/(centres|sessions)|/directory/v1/(units|groups|buildings)|/tickets/v1/(needs|resources|wishes|tickets/similar)"
)
PEOPLE = {"served", "wisher"}
"""Who a row is about, in a body: tickets knows no people, and the row lies where the caller may write it."""
OF_THE_DISTRICT = {"grid_worker", "resident"}
"""Who may read where things are in the whole district; others see what they answer for."""

_AT_ONCE = asyncio.Semaphore(6)
"""There are thousands of attempts, and a service has ten connections to its database."""


@dataclass(frozen=True)
class Found:
    """What lies in one place: units, and ids by table."""

    units: list[str]
    ids: list[tuple[str, str]]


async def placed_tables(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_name IN ('unit', 'id', 'district') GROUP BY table_name HAVING count(*) = 3"
    )
    return [row["table_name"] for row in rows]


async def look(connection: asyncpg.Connection, place: str, person: str) -> Found:
    low, high = PLACES[place]
    ids: list[tuple[str, str]] = []
    for table in await placed_tables(connection):
        if table in PUBLIC and place != "another district":
            continue
        # What he himself is told is his, wherever that lies which he is told of.
        others = " AND recipient <> $3" if table == "notification" else " AND $3::uuid IS NOT NULL"
        found = f"SELECT id FROM {table} WHERE unit BETWEEN $1 AND $2{others} LIMIT 1"
        ids += [(table, str(row["id"])) for row in await connection.fetch(found, low, high, person)]
    digits = str(low).rstrip("0")
    unit = str(low)[: next(length for length in (6, 9, 12) if length >= len(digits))]
    return Found([unit], ids)


async def fingerprint(connection: asyncpg.Connection) -> dict[str, str]:
    """Give a digest of all rows of each table, the foreign ones among them."""
    found = {}
    for table in await placed_tables(connection):
        rows = await connection.fetch(
            f"SELECT t::text AS row FROM {table} t WHERE unit BETWEEN $1 AND $2 OR unit BETWEEN $3 AND $4 OR unit = $5"
            " ORDER BY district, id",
            *PLACES["another district"],
            *PLACES["a sibling street"],
            PLACES["an ancestor"][0],
        )
        found[table] = hashlib.sha256("\n".join(row["row"] for row in rows).encode()).hexdigest()
    return found


def spots(value: Any, schema: dict[str, Any], document: dict[str, Any], at: tuple[Any, ...] = ()) -> Iterator[Any]:  # noqa: ANN401
    """Find where ids and units may stand in a body: their path and whether it is a unit."""
    if "$ref" in schema:
        yield from spots(value, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document, at)
        return
    for one in schema.get("anyOf", []):
        yield from spots(value, one, document, at)
    if is_unit(schema) or schema.get("format") == "uuid":
        yield at, is_unit(schema)
    for name, inner in schema.get("properties", {}).items():
        yield from spots((value or {}).get(name) if isinstance(value, dict) else None, inner, document, (*at, name))
    if "items" in schema and isinstance(value, list):
        yield from spots(value[0] if value else None, schema["items"], document, (*at, 0))


def put(value: Any, at: tuple[Any, ...], new: object) -> Any:  # noqa: ANN401 it is JSON
    if not at:
        return new
    if isinstance(value, list):
        return [put(value[0], at[1:], new), *value[1:]]
    return {**(value or {}), at[0]: put((value or {}).get(at[0]), at[1:], new)}


@pytest.fixture(scope="module")
async def neighbours(platform: Platform) -> None:
    """Fill the places where the callers have nothing to look for."""
    for street in (OWN, FOREIGN, SIBLING):
        await fill(platform, street[:6], street)


async def fill(platform: Platform, district: str, street: str) -> None:
    community, grid = f"{street}001", f"{street}001001"
    platform.linli(
        *("seed", "--unit", community, "--households", "6"),
        *("--grids", "1", "--micro-grids", "1", "--special-grids", "1"),
    )
    async with (
        platform.client("district_admin", district) as admin,
        platform.client("resident", district) as resident,
    ):
        answers = platform.person("grid_worker", grid)
        report = {"title": "邻区事项", "description": "不应被他处看到"}
        for unit in (grid, district):
            ticket = await made(resident, "/tickets/v1/tickets", {**report, "unit": unit})
            path = f"/tickets/v1/tickets/{ticket}/assign"
            await admin.post(path, json={"assignee": answers}, headers={"If-Match": "*"})
            place = {"unit": unit, "name": "邻里中心", "address": "某路1号"}
            centre = await made(admin, "/bookings/v1/centres", place)
            times = {"starts_at": "2099-01-01T09:00:00+08:00", "ends_at": "2099-01-01T10:00:00+08:00"}
            course = {"title": "书法", "seats": 5, **times}
            session = await made(admin, f"/bookings/v1/centres/{centre}/sessions", course)
            await made(resident, f"/bookings/v1/sessions/{session}/bookings", {})
            await neighbourly(admin, resident, unit, answers)


async def neighbourly(admin: httpx.AsyncClient, resident: httpx.AsyncClient, unit: str, worker: str) -> None:
    """Make a wish, an errand, a project and a case."""
    said = {"unit": unit, "title": "邻区事项", "description": "不应被他处改动"}
    await made(resident, "/tickets/v1/wishes", said)
    errand = {"unit": unit, "title": "换证", "served": str(uuid4()), "papers": ["照片"]}
    await made(admin, "/tickets/v1/errands", errand)
    need = await made(admin, "/tickets/v1/needs", {**said, "kind": "care"})
    resource = await made(admin, "/tickets/v1/resources", {**said, "kind": "care"})
    match = {"resource": resource, "steps": [{"title": "启动"}]}
    await admin.post(f"/tickets/v1/needs/{need}/match", json=match, headers={"If-Match": "*"})
    team = {"name": "调解队", "members": [worker]}
    await made(admin, f"/tickets/v1/case-teams/{unit}/1", team, method="PUT")
    await made(admin, "/tickets/v1/cases", {"unit": unit, "grade": 1, "summary": "邻里争执"})


async def made(client: httpx.AsyncClient, path: str, body: Mapping[str, object], method: str = "POST") -> str:
    """Make something, as soon as the service has heard of the unit, and of who is in office."""
    answer = await client.request(method, path, json=body, headers={"If-Match": "*"})
    for _ in range(75):
        if answer.status_code != 422:
            break
        await asyncio.sleep(0.2)
        answer = await client.request(method, path, json=body, headers={"If-Match": "*"})
    return str(answer.raise_for_status().json()["id"])


@pytest.mark.timeout(300)  # each operation of each document, for each caller and place
@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("service", SERVICES)
async def test_foreign_ids_open_no_door(platform: Platform, service: str) -> None:
    async with platform.client() as open_door:
        document = (await open_door.get(f"/{service}/v1/openapi.json")).json()
    async with platform.database(service) as connection:
        before = await fingerprint(connection)
        wrong = [line async for line in attempts(platform, connection, document)]
        tried, through = len(wrong), [line for line in wrong if line]
        assert not through, f"{len(through)} of {tried} got through:\n" + "\n".join(through[:20])
        assert tried > 20, "hardly anything was tried"
        assert await fingerprint(connection) == before


async def attempts(platform: Platform, connection: asyncpg.Connection, document: Document) -> AsyncIterator[str]:
    """Try everything; give a line for each attempt, empty when it was refused."""
    for (role, unit), places in CALLERS.items():
        async with platform.client(role, unit) as caller:
            for place in places:
                found = await look(connection, place, platform.person(role, unit))
                for method, path, operation in operations(document):
                    public = method == "GET" and PUBLIC_TO_READ.match(path) and role in OF_THE_DISTRICT
                    if public and place != "another district":
                        continue
                    who = f"{role}@{unit} with {place}"
                    for line in await asyncio.gather(
                        *(attempt(caller, who, method, one) for one in requests(path, operation, document, unit, found))
                    ):
                        yield line


async def attempt(caller: httpx.AsyncClient, who: str, method: str, request: dict[str, Any]) -> str:
    async with _AT_ONCE:
        answer = await caller.request(method, **request, headers={"If-Match": "*"})
    told = f"{who}: {method} {request} → {answer.status_code} {answer.text[:300]}"
    return "" if refused(answer, request) else told


def requests(
    path: str, operation: Operation, document: dict[str, Any], own: str, found: Found
) -> Iterator[dict[str, Any]]:
    """Make the requests of an operation that carry something foreign."""
    names = re.findall(r"{(\w+)}", path)
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = example(schema, document, own) if schema else None
    by_name = {parameter["name"]: parameter for parameter in operation.get("parameters", [])}
    for name in [name for name in names if may_be_an_id(by_name[name]["schema"])]:
        values = found.units if is_unit(by_name[name]["schema"]) else [value for _, value in found.ids]
        for value in values:
            others = {other: str(example(by_name[other]["schema"], document, own, value)) for other in names}
            yield {"url": path.format(**{**others, name: value}), "json": body}
    if names:
        return
    for parameter in operation.get("parameters", []):
        kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
        if parameter["in"] == "query" and any(map(is_unit, kinds)):
            yield from ({"url": path, "params": {parameter["name"]: value}} for value in found.units)
        elif parameter["in"] == "query" and any(kind.get("format") == "uuid" for kind in kinds):
            yield from ({"url": path, "params": {parameter["name"]: value}} for _, value in found.ids)
    for at, unit in spots(body, schema, document) if schema else ():
        if at[-1:] == ("id",) or PEOPLE & set(at):
            continue  # it names what is to be made, in the caller's own district; keys start with the district
        for value in found.units if unit else [value for _, value in found.ids]:
            yield {"url": path, "json": put(body, at, value)}


def may_be_an_id(schema: dict[str, Any]) -> bool:
    """Tell whether a parameter may name something foreign: no number, day or code of the district's own does."""
    return (
        schema.get("type") != "integer"
        and (is_unit(schema) or not {"pattern", "enum"} & set(schema))
        and (schema.get("format") in {None, "uuid"})
    )


def refused(answer: httpx.Response, request: dict[str, Any]) -> bool:
    if answer.status_code in {403, 404}:
        return True
    # A filter by an id that is not ours finds nothing; it does not tell whether there is such an id.
    return answer.status_code == 200 and "params" in request and answer.json().get("items") == []
