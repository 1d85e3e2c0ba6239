from collections.abc import AsyncIterator
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from linli import units
from linli.testing import Running, Stage
from residents.app import create_app
from residents.identity import check_digit
from residents.subscribers import subscriptions

STREET = "310104003"
COMMUNITY = "310104003001"
GRID = "310104003001001"
MICRO = "310104003001001001"
NEXT_MICRO = "310104003001001002"
OTHER_GRID = "310104003001002001"
SIBLING = "310104004001001001"
FOREIGN = "310115005001001001"

_numbers = count(1)


def id_number(born: str = "19490101", *, male: bool = False) -> str:
    """Make up an ID number that nobody in this module has; no division code begins with 0."""
    number = next(_numbers)
    sequence = number % 500 * 2 + male
    first = f"0{number // 500:05}{born}{sequence:03}"
    return first + check_digit(first)


def person(**changes: object) -> dict[str, Any]:
    return {"name": "林晓梅", "gender": "female", "born_on": "1949-01-01", **changes}


@pytest.fixture(scope="module")
async def residents(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("residents", create_app, subscriptions) as running:
        await running.know_units(MICRO, NEXT_MICRO, OTHER_GRID, SIBLING, FOREIGN)
        yield running


async def build(residents: Running, unit: str = MICRO, *, active: bool = True) -> UUID:
    """Make a building known, as the directory's event would."""
    building, code = uuid4(), units.parse(unit)
    await residents.database.execute(
        "INSERT INTO known_building (district, id, unit, name, active, sequence) VALUES ($1, $2, $3, '1号楼', $4, 1)",
        units.district(code),
        building,
        code,
        active,
    )
    return building


async def found(client: httpx.AsyncClient, building: UUID, door: str = "101") -> str:
    """Found a household; gives its id."""
    answer = await client.post("/residents/v1/households", json={"building": str(building), "door": door})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def register(client: httpx.AsyncClient, household: str, **changes: object) -> dict[str, Any]:
    answer = await client.post("/residents/v1/residents", json=person(household=household, **changes))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def unit_of_its_own(residents: Running, number: int) -> str:
    """Give a micro-grid in a district that no other test uses."""
    unit = f"{number}001001001001"
    await residents.know_units(unit)
    return unit
