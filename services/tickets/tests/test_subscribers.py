from uuid import uuid4

from services.tickets.tests.conftest import GRID

from linli import units
from linli.events.directory import AssignmentChanged
from linli.testing import Running, eventually, tell


async def test_staff_become_assignable_when_the_directory_says_so(tickets: Running) -> None:
    told = AssignmentChanged(
        assignment=uuid4(), staff=uuid4(), unit=units.parse(GRID), role="grid_worker", active=True, sequence=2
    )
    await tell(tickets, told)
    row = await eventually(
        lambda: tickets.database.fetchrow("SELECT * FROM known_assignment WHERE id = $1", told.assignment)
    )
    assert (row["staff"], row["role"], row["active"]) == (told.staff, "grid_worker", True)


async def test_an_older_word_on_an_assignment_is_dropped(tickets: Running) -> None:
    newest = AssignmentChanged(
        assignment=uuid4(), staff=uuid4(), unit=units.parse(GRID), role="grid_worker", active=False, sequence=5
    )
    older = newest.model_copy(update={"id": uuid4(), "active": True, "sequence": 4})
    marker = newest.model_copy(update={"id": uuid4(), "assignment": uuid4(), "sequence": 1})
    query = "SELECT active FROM known_assignment WHERE id = $1"
    await tell(tickets, newest)
    # The stream keeps the last word on each assignment alone: what is not heard by then is never.
    await eventually(lambda: tickets.database.fetchrow(query, newest.assignment))
    await tell(tickets, older, marker)
    await eventually(lambda: tickets.database.fetchrow(query, marker.assignment))
    assert await tickets.database.fetchval(query, newest.assignment) is False
