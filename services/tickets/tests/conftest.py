from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from linli import units
from linli.testing import Running, Stage
from tickets.app import create_app
from tickets.subscribers import subscriptions

STREET = "310104003"
COMMUNITY = "310104003001"
GRID = "310104003001001"
MICRO = "310104003001001001"
SIBLING = "310104004001001"
FOREIGN = "310115005001001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where photos and files are kept."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
async def tickets(stage: Stage, folder: Path) -> AsyncIterator[Running]:
    async with stage.run("tickets", create_app, subscriptions, files=str(folder)) as running:
        await running.know_units(MICRO, SIBLING, FOREIGN)
        yield running


async def employ(tickets: Running, role: str, unit: str, staff: UUID | None = None) -> UUID:
    """Put somebody into office, as the directory's event would."""
    staff = staff or uuid4()
    code = units.parse(unit)
    await tickets.database.execute(
        "INSERT INTO known_assignment (district, id, unit, staff, role, active, sequence)"
        " VALUES ($1, $2, $3, $4, $5, true, 1)",
        units.district(code),
        uuid4(),
        code,
        staff,
        role,
    )
    return staff
