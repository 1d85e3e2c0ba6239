"""What is private, and what one was not called to, is not there: whichever table is asked, and in whichever way."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, STREET, employ
from services.tickets.tests.test_departments import DISTRICT
from services.tickets.tests.test_files import PDF, photo
from services.tickets.tests.test_whistles import staffed
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from linli import units
from linli.db import Scope, transaction
from linli.models import Base
from linli.security import Principal
from linli.testing import Running
from tickets.models.cases import Case
from tickets.models.tickets import Entry, Ticket
from tickets.models.whistles import Whistle
from tickets.sight import PARTS

TABLES = {part.__tablename__: "ticket_id" for part in (*PARTS, Whistle)} | {"ticket": "id"}
WORKERS = sorted(set(TABLES) - {"open311_update"})
"""Tables of which grid workers see something."""


async def describe(tickets: Running, code: str, **facts: object) -> None:
    body = {"name": "家事", "name_en": "Family", **facts}
    answer = await tickets.client("district_admin", DISTRICT).put(f"/tickets/v1/categories/{code}", json=body)
    assert answer.status_code == 201, answer.text


async def opened(tickets: Running, category: str, client: httpx.AsyncClient | None = None) -> str:
    body = {"unit": MICRO, "title": "家事", "description": "请上门看看", "category": category}
    answer = await (client or tickets.client("resident", DISTRICT, uuid4())).post("/tickets/v1/tickets", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def moved(client: httpx.AsyncClient, ticket: str, move: str, **body: object) -> Any:  # noqa: ANN401
    answer = await client.post(f"/tickets/v1/tickets/{ticket}/{move}", json=body, headers={"If-Match": "*"})
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


async def complete(tickets: Running, ticket: str) -> None:
    """Give a ticket something in each table that belongs to it, as rows alone matter here."""
    id_, unit, key = UUID(ticket), units.parse(MICRO), uuid4()
    database = tickets.database
    own = (310104, uuid4(), unit, id_)
    await database.execute(
        "INSERT INTO ticket_file (district, id, unit, ticket_id, reporter, slot, uploader, kind, size, added_at,"
        " version) VALUES ($1, $2, $3, $4, $2, 1, $2, 'pdf', 1, now(), 1)",
        *own,
    )
    await database.execute(
        "INSERT INTO ticket_follower (district, id, unit, ticket_id, reporter, follower, folded)"
        " VALUES ($1, $2, $3, $4, $2, $2, $4)",
        *own,
    )
    await database.execute(
        "INSERT INTO open311_key (district, id, unit, name, digest, made_by, made_at, version)"
        " VALUES ($1, $2, $3, 'app', sha256($4), $2, now(), 1)",
        310104,
        key,
        unit,
        key.bytes,
    )
    await database.execute(
        "INSERT INTO open311_update (district, id, unit, ticket_id, key_id, update_id, digest, at)"
        " VALUES ($1, $2, $3, $4, $5, 'first', sha256('x'), now())",
        *own,
        key,
    )


async def seen(session: AsyncSession, ticket: str) -> list[str]:
    """List the tables that have a row of a ticket's, asked in SQL."""
    found: list[str] = []
    for table in WORKERS:
        count = text(f"SELECT count(*) FROM {table} WHERE {TABLES[table]} = :ticket")  # noqa: S608 our own names
        found += [table] * bool(await session.scalar(count, {"ticket": UUID(ticket)}))
    return found


async def test_the_database_shows_a_grid_worker_of_what_is_private_only_what_he_was_given(tickets: Running) -> None:
    await describe(tickets, "family", visibility="private")
    await staffed(tickets, "social")
    worker = await employ(tickets, "grid_worker", GRID)
    manager = tickets.client("community_manager", COMMUNITY)
    private, plain = await opened(tickets, "family"), await opened(tickets, "other")
    for ticket in (private, plain):
        await moved(manager, ticket, "whistle", departments=["social"], note="请上门")
        await complete(tickets, ticket)
    scope = Scope.of_grids((units.parse(GRID),), 310104, worker)
    async with transaction(tickets.app.state.sessions, scope) as session:
        assert (await seen(session, plain), await seen(session, private)) == (WORKERS, [])
    client = tickets.client("grid_worker", GRID, worker)
    listed = [one["ticket"] for one in (await client.get("/tickets/v1/whistles")).json()["items"]]
    assert (plain in listed, private in listed) == (True, False)
    await moved(manager, private, "assign", assignee=str(worker))
    async with transaction(tickets.app.state.sessions, scope) as session:
        assert await seen(session, private) == WORKERS
    assert private in [one["ticket"] for one in (await client.get("/tickets/v1/whistles")).json()["items"]]
    await moved(client, private, "resolve", note="已上门")


async def test_no_statement_of_the_orm_shows_department_staff_what_they_have_nothing_to_do_with(
    tickets: Running,
) -> None:
    staff = await staffed(tickets, "called_here")
    await staffed(tickets, "called_there")
    manager = tickets.client("community_manager", COMMUNITY)
    theirs, foreign = await opened(tickets, "other"), await opened(tickets, "other")
    for ticket, code in ((theirs, "called_here"), (theirs, "called_there"), (foreign, "called_there")):
        await moved(manager, ticket, "whistle", departments=[code])
    for ticket in (theirs, foreign):
        await complete(tickets, ticket)
    scope = Scope.of_unit(units.parse(STREET), staff, called=True)
    async with transaction(tickets.app.state.sessions, scope) as session:
        assert [str(id_) for id_ in await session.scalars(select(Ticket.id))] == [theirs]
        for part in PARTS:
            assert {str(id_) for id_ in await session.scalars(select(part.ticket_id))} == {theirs}, part.__tablename__
        assert list(await session.scalars(select(Whistle.department))) == ["called_here"]


async def test_no_statement_of_the_orm_shows_an_app_what_is_private_and_not_its_own(tickets: Running) -> None:
    await describe(tickets, "kept_from_apps", visibility="private")
    await staffed(tickets, "apps_called")
    app, manager = uuid4(), tickets.client("community_manager", COMMUNITY)
    own = await opened(tickets, "kept_from_apps", tickets.client("app", STREET, app))
    plain, private = await opened(tickets, "other"), await opened(tickets, "kept_from_apps")
    for ticket in (own, plain, private):
        await moved(manager, ticket, "whistle", departments=["apps_called"])
        await complete(tickets, ticket)
    scope = Principal(app, "app", frozenset({"app"}), units.parse(STREET), ()).scope
    async with transaction(tickets.app.state.sessions, scope) as session:
        assert await shown(session, Ticket.id, own, plain, private) == {own, plain}
        parts: list[Any] = [*PARTS, Whistle]
        for part in (*parts, *map(aliased, parts)):
            assert await shown(session, part.ticket_id, own, plain, private) == {own, plain}, part
        joined = select(Entry.ticket_id).join(Ticket, Ticket.id == Entry.ticket_id)
        assert private not in {str(id_) for id_ in await session.scalars(joined)}


async def shown(session: AsyncSession, column: InstrumentedAttribute[UUID], *tickets: str) -> set[str]:
    """Tell which of some tickets a column of the ORM's gives."""
    return {str(id_) for id_ in await session.scalars(select(column).where(column.in_(map(UUID, tickets))))}


async def test_an_app_neither_reads_nor_finds_what_is_private_and_not_its_own(tickets: Running) -> None:
    for visibility in ("private", "public"):
        await describe(tickets, f"{visibility}_to_apps", visibility=visibility)
    app = tickets.client("app", STREET, uuid4())
    reporter = tickets.client("resident", DISTRICT, uuid4())
    own = await opened(tickets, "private_to_apps", app)
    public = await opened(tickets, "public_to_apps", reporter)
    private = await opened(tickets, "private_to_apps", reporter)
    papers = {}
    for client, ticket in ((app, own), (reporter, public), (reporter, private)):
        answer = await client.post(f"/tickets/v1/tickets/{ticket}/files", content=photo())
        papers[ticket] = answer.raise_for_status().headers["location"]

    async def answers(ticket: str) -> set[int]:
        at = f"/tickets/v1/tickets/{ticket}"
        reads = [at, f"{at}/timeline", f"{at}/files", papers[ticket], f"{papers[ticket]}/thumbnail"]
        noted = await app.post(f"{at}/note", json={"note": "在吗"}, headers={"If-Match": "*"})
        added = await app.post(f"{at}/files", content=PDF)
        return {noted.status_code, added.status_code, *[(await app.get(path)).status_code for path in reads]}

    assert {ticket: await answers(ticket) for ticket in (own, public, private)} == {
        own: {200, 201},
        public: {200, 201},
        private: {404},
    }
    assert (await app.delete(papers[private], headers={"If-Match": "*"})).status_code == 404
    listed = {one["id"] for one in (await app.get("/tickets/v1/tickets?limit=200")).json()["items"]}
    assert listed & {own, public, private} == {own, public}
    found = await app.get("/tickets/v1/tickets/similar", params={"unit": MICRO, "limit": 200})
    assert {one["id"] for one in found.json()["items"]} & {own, public, private} == {public}


@pytest.mark.parametrize(
    ("roles", "called", "app"),
    [
        ({"app"}, False, True),
        ({"app", "grid_worker"}, False, True),
        ({"app", "department_staff"}, True, True),
        ({"app", "operator"}, False, True),
        ({"app", "street_admin"}, False, False),
        ({"department_staff", "operator"}, True, False),
        ({"department_staff", "community_manager"}, False, False),
    ],
)
def test_who_has_a_wider_role_besides_sees_by_that_only_what_it_may_read(
    roles: set[str], *, called: bool, app: bool
) -> None:
    scope = Principal(uuid4(), "", frozenset(roles), units.parse(STREET), ()).scope
    assert (scope.called, scope.app) == (called, app)


def test_no_table_of_what_belongs_to_a_ticket_is_left_out() -> None:
    own = {mapper.class_ for mapper in Base.registry.mappers if mapper.class_.__module__.startswith("tickets.")}
    # Calls are seen by their own department alone, cases by their own team alone.
    assert {one for one in own if hasattr(one, "ticket_id")} == {*PARTS, Whistle, Case}


@pytest.mark.parametrize("role", ["grid_worker", "department_staff"])
async def test_the_last_part_ends_the_whole_though_who_had_it_does_not_see_that(tickets: Running, role: str) -> None:
    category = f"shared_{role}"
    await describe(tickets, category, visibility="private")
    staff = await employ(tickets, role, GRID if role == "grid_worker" else STREET)
    client = tickets.client(role, GRID if role == "grid_worker" else STREET, staff)
    manager = tickets.client("street_admin", STREET)
    whole = await opened(tickets, category)
    halves = [{"title": title, "description": title} for title in ("水管", "墙面")]
    parts = [part["id"] for part in (await moved(manager, whole, "split", parts=halves))["items"]]
    for part in parts:
        assert (await client.get(f"/tickets/v1/tickets/{part}")).status_code == 404
        await moved(manager, part, "assign", assignee=str(staff))
        await moved(client, part, "resolve", note="已修好")
    assert (await client.get(f"/tickets/v1/tickets/{whole}")).status_code == 404
    assert (await manager.get(f"/tickets/v1/tickets/{whole}")).json()["state"] == "resolved"
    trail = (await manager.get(f"/tickets/v1/tickets/{whole}/timeline")).json()["items"]
    assert [step["move"] for step in trail] == ["open", "split", "parts_done"]


async def test_what_is_private_does_not_come_out_by_being_split(tickets: Running) -> None:
    await describe(tickets, "household", visibility="private")
    manager = tickets.client("community_manager", COMMUNITY)
    whole = await opened(tickets, "household")
    halves = [{"title": title, "description": title} for title in ("老人", "孩子")]
    parts = (await moved(manager, whole, "split", parts=halves))["items"]
    worker = tickets.client("grid_worker", GRID)
    assert [part["visibility"] for part in parts] == ["private", "private"]
    for part in parts:
        assert (await worker.get(f"/tickets/v1/tickets/{part['id']}")).status_code == 404
        stands = (await manager.get(f"/tickets/v1/tickets/{part['id']}")).json()
        assert {name: stands[name] for name in part} == part


async def test_what_becomes_a_case_takes_its_parts_along(tickets: Running) -> None:
    manager, staff = tickets.client("community_manager", COMMUNITY), await employ(tickets, "grid_worker", GRID)
    team = {"name": "调解队", "members": [str(staff)]}
    street = tickets.client("street_admin", STREET)
    assert (await street.put(f"/tickets/v1/case-teams/{COMMUNITY}/1", json=team)).status_code == 200
    whole = await opened(tickets, "other")
    halves = [{"title": title, "description": title} for title in ("老人", "孩子")]
    for part in (parts := (await moved(manager, whole, "split", parts=halves))["items"]):
        await moved(manager, part["id"], "assign", assignee=str(staff))
        await moved(manager, part["id"], "resolve", note="已上门")
    other = tickets.client("grid_worker", GRID)
    assert {(await other.get(f"/tickets/v1/tickets/{part['id']}")).status_code for part in parts} == {200}
    await moved(manager, whole, "case", grade=1)
    assert {(await other.get(f"/tickets/v1/tickets/{part['id']}")).status_code for part in parts} == {404}
