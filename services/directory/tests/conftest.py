from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from directory.app import create_app
from linli import units
from linli.testing import Running, Stage

DISTRICT = "310104"
STREET = "310104003"
COMMUNITY = "310104003001"
GRID = "310104003001001"
OTHER_GRID = "310104003001002"
MICRO = "310104003001001001"
OTHER_MICRO = "310104003001001002"
FAR_MICRO = "310104003001002001"
SIBLING = "310104004"
SIBLING_MICRO = "310104004001001001"
FOREIGN = "310115"
FOREIGN_MICRO = "310115005001001001"


@pytest.fixture(scope="module")
async def directory(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("directory", create_app) as running:
        await grow(running, MICRO, OTHER_MICRO, FAR_MICRO, SIBLING_MICRO, FOREIGN_MICRO)
        yield running


async def grow(directory: Running, *codes: str) -> None:
    """Create units with all that lie above them, as the platform's operator would."""
    rows: set[int] = set()
    for code in map(units.parse, codes):
        unit: int | None = code
        while unit:
            rows.add(unit)
            unit = units.parent(unit)
    body = {"units": [{"code": units.short(code), "name": f"单元{units.short(code)}"} for code in sorted(rows)]}
    answer = await directory.client("operator", "0").post("/directory/v1/units/import", json=body)
    assert answer.status_code == 200, answer.text


async def made(client: httpx.AsyncClient, path: str, status: int = 201, /, **body: object) -> dict[str, Any]:
    """Create something and give the answer."""
    answer = await client.post(f"/directory/v1{path}", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def move(client: httpx.AsyncClient, path: str, etag: str = "*", /) -> httpx.Response:
    """Do something to what is as its ETag says."""
    return await client.post(f"/directory/v1{path}", headers={"If-Match": etag})


async def change(client: httpx.AsyncClient, path: str, etag: str = "*", /, **body: object) -> httpx.Response:
    """Change something that is as its ETag says."""
    return await client.patch(f"/directory/v1{path}", json=body, headers={"If-Match": etag})
