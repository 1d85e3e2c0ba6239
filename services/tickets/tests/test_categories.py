"""A district describes its categories, and new tickets follow."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, employ
from services.tickets.tests.test_departments import made

from linli.testing import Running
from tickets.models.categories import DEPTH

REPORT = {"unit": MICRO, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
LAMPS: dict[str, Any] = {"name": "路灯", "name_en": "Street lamps"}
FORM = {
    "type": "object",
    "required": ["lamp"],
    "properties": {"lamp": {"type": "string", "maxLength": 10}, "dark": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}


def path(code: str) -> str:
    return f"/tickets/v1/categories/{code}"


async def put(client: httpx.AsyncClient, code: str, etag: str | None = None, **facts: object) -> httpx.Response:
    headers = {"If-Match": etag} if etag else {}
    return await client.put(path(code), json={**LAMPS, **facts}, headers=headers)


async def opened(client: httpx.AsyncClient, **facts: object) -> httpx.Response:
    return await client.post("/tickets/v1/tickets", json={**REPORT, **facts})


async def test_a_district_describes_a_category_and_everybody_there_reads_it(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    made = await put(district, "lamps", weight=3)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"'), made.text
    assert (await put(district, "lamps", weight=4)).status_code == 428
    changed = await put(district, "lamps", made.headers["etag"], weight=4)
    assert (changed.status_code, changed.json()["weight"]) == (200, 4)
    assert (await put(district, "lamps", made.headers["etag"])).status_code == 412
    for role, unit in (("resident", "310104"), ("grid_worker", GRID), ("community_manager", COMMUNITY)):
        client = tickets.client(role, unit)
        assert (await client.get(path("lamps"))).json() == changed.json()
        assert "lamps" in [one["code"] for one in (await client.get("/tickets/v1/categories")).json()["items"]]
        assert (await put(client, "lamps")).status_code == 403
    elsewhere = tickets.client("district_admin", "310115")
    assert (await elsewhere.get(path("lamps"))).status_code == 404
    assert (await elsewhere.get("/tickets/v1/categories")).json()["items"] == []


async def test_a_change_of_a_category_holds_for_the_very_next_ticket(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    resident = tickets.client("resident", "310104", uuid4())
    etag = (await put(district, "noise", visibility="public")).headers["etag"]
    for visibility, level in (("private", "street"), ("district", "district"), ("public", "community")):
        first = (await opened(resident, category="noise")).json()["visibility"]
        etag = (await put(district, "noise", etag, visibility=visibility, level=level)).headers["etag"]
        ticket = (await opened(resident, category="noise")).json()
        assert (ticket["visibility"], ticket["level"]) == (visibility, level)
        assert first != visibility
    assert ticket["handler"] == COMMUNITY


async def test_a_ticket_goes_to_the_level_and_department_of_its_category(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    await made(tickets, "works")
    assert (await put(district, "bridges", level="street", department="works")).status_code == 201
    ticket = (await opened(tickets.client("resident", "310104"), category="bridges")).json()
    assert (ticket["level"], ticket["handler"], ticket["department"]) == ("street", "310104003", "works")


async def test_what_a_category_does_not_say_its_parent_does(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    await put(district, "city", answer_minutes=1, solve_minutes=2)
    await put(district, "city_water", parent="city", solve_minutes=100_000)
    ticket = (await opened(tickets.client("resident", "310104"), category="city_water")).json()
    other = (await opened(tickets.client("resident", "310104"))).json()
    assert ticket["answer_due_at"] < other["answer_due_at"]
    assert ticket["solve_due_at"] > other["solve_due_at"]


async def test_the_tree_has_no_rings_no_gaps_and_an_end(tickets: Running) -> None:
    district = tickets.client("district_admin", "310104")
    etags = {}
    for depth in range(DEPTH):
        parent = {"parent": f"level{depth - 1}"} if depth else {}
        made = await put(district, f"level{depth}", None, **parent)
        assert made.status_code == 201
        etags[depth] = made.headers["etag"]
    for refused in (
        await put(district, "too_deep", parent=f"level{DEPTH - 1}"),
        await put(district, "orphan", parent="nobody"),
        await put(district, "self_made", parent="self_made"),
        await put(district, "level0", etags[0], parent="level2"),
    ):
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["pointer"] == "#/parent"


async def test_answers_are_held_to_the_form(tickets: Running) -> None:
    district, resident = tickets.client("district_admin", "310104"), tickets.client("resident", "310104")
    assert (await put(district, "lamp_form", form=FORM)).status_code == 201
    good = await opened(resident, category="lamp_form", answers={"lamp": "A7", "dark": 3})
    assert good.json()["answers"] == {"lamp": "A7", "dark": 3}
    wrong: dict[str, Any]
    for wrong, pointer in (
        ({}, "#/answers"),
        ({"lamp": "A7", "dark": 0}, "#/answers/dark"),
        ({"lamp": 7}, "#/answers/lamp"),
        ({"lamp": "A7", "other": 1}, "#/answers"),
        ({"lamp": "x" * 20_000}, "#/answers"),
    ):
        refused = await opened(resident, category="lamp_form", answers=wrong)
        assert refused.status_code == 422, wrong
        assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert (await opened(resident, category="lamp_form")).status_code == 422
    assert (await opened(resident, answers={"lamp": "A7"})).status_code == 422


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


DIALECT = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "answer",
    ["NaN", "-Infinity", r'"\ud800"', json.dumps(nested(17)), json.dumps(nested(256))],
    ids=["nan", "infinity", "half", "nested", "nested without end"],
)
async def test_answers_that_can_not_be_kept_are_refused(tickets: Running, answer: str) -> None:
    district, resident = tickets.client("district_admin", "310104"), tickets.client("resident", "310104")
    await put(district, "free_form", form={"type": "object"})
    body = json.dumps(REPORT | {"category": "free_form", "answers": {"x": "?"}}).replace('"?"', answer)
    headers = {"Content-Type": "application/json"}
    refused = await resident.post("/tickets/v1/tickets", content=body, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/answers"), refused.text


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        ({"type": "string"}, "#/form/type"),
        ({"type": "object", "properties": {"a": {"type": "lamp"}}}, "#/form/properties/a/type"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.org"}}}, "#/form/properties/a/$ref"),
        ({"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}, "#/form/properties/a/pattern"),
        ({"type": "object", "allOf": [{"patternProperties": {}}]}, "#/form/allOf/patternProperties"),
        ({"type": "object", "title": "长" * 6000}, "#/form"),
        ({"type": "object", "properties": {"a": {"$id": "http://["}}}, "#/form/properties/a/$id"),
        ({"type": "object", "properties": {"a": {"$schema": DIALECT}}}, "#/form/properties/a/$schema"),
        ({"type": "object", "$schema": "http://json-schema.org/draft-04/schema#"}, "#/form/$schema"),
        ({"type": "object", "default": nested(300)}, "#/form"),
    ],
)
async def test_a_form_that_is_none_or_could_hold_up_others_is_refused(
    tickets: Running, form: dict[str, Any], pointer: str
) -> None:
    refused = await put(tickets.client("district_admin", "310104"), "odd", form=form)
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        ({"oneOf": [{"const": number} for number in range(380)]}, [7] * 5300),
        ({"enum": [*range(2000)]}, [1999] * 5000),
        ({}, [[]] * 4000),
    ],
    ids=["choices", "values", "unique"],
)
async def test_answers_that_would_keep_others_waiting_are_refused(
    tickets: Running, items: dict[str, Any], answer: list[Any]
) -> None:
    form = {"type": "object", "properties": {"many": {"type": "array", "items": items, "uniqueItems": not items}}}
    code = f"many{len(answer)}"
    assert (await put(tickets.client("district_admin", "310104"), code, form=form)).status_code == 201
    resident = tickets.client("resident", "310104", uuid4())
    refused = await opened(resident, category=code, answers={"many": answer})
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == "#/answers"
    assert (await opened(resident, category=code, answers={"many": answer[:1]})).status_code == 201


@pytest.mark.parametrize(("price", "status"), [(0.29, 201), (19.99, 201), (1e308, 201), (3, 201), (0.295, 422)])
async def test_a_price_is_a_multiple_of_a_cent_as_people_write_it(tickets: Running, price: float, status: int) -> None:
    form = {"type": "object", "properties": {"price": {"type": "number", "multipleOf": 0.01}}}
    code = f"price{abs(hash(price))}"
    await put(tickets.client("district_admin", "310104"), code, form=form)
    resident = tickets.client("resident", "310104", uuid4())
    assert (await opened(resident, category=code, answers={"price": price})).status_code == status


async def test_answers_may_be_nested_and_a_form_says_what_it_is_written_in(tickets: Running) -> None:
    form = {"$schema": DIALECT, "type": "object"}
    assert (await put(tickets.client("district_admin", "310104"), "nest", form=form)).status_code == 201
    resident = tickets.client("resident", "310104", uuid4())
    made = await opened(resident, category="nest", answers={"a": nested(15)})
    assert made.status_code == 201, made.text
    assert (await resident.get(made.headers["location"])).json()["answers"] == {"a": nested(15)}


async def test_a_form_may_ask_for_what_is_called_like_a_keyword(tickets: Running) -> None:
    form = {"type": "object", "properties": {"pattern": {"enum": ["dots", {"$ref": "x"}]}}}
    assert (await put(tickets.client("district_admin", "310104"), "cloth", form=form)).status_code == 201


async def test_a_form_nested_without_end_is_refused(tickets: Running) -> None:
    form: dict[str, Any] = {"type": "object"}
    for _ in range(40):
        form = {"type": "object", "properties": {"a": form}}
    assert (await put(tickets.client("district_admin", "310104"), "deep", form=form)).status_code == 422


async def test_a_category_out_of_use_takes_no_new_tickets(tickets: Running) -> None:
    await put(tickets.client("district_admin", "310104"), "telegraph", active=False)
    refused = await opened(tickets.client("resident", "310104"), category="telegraph")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/category")


async def test_of_what_is_private_a_grid_worker_sees_what_he_was_given(tickets: Running) -> None:
    await put(tickets.client("district_admin", "310104"), "family", visibility="private")
    resident = tickets.client("resident", "310104", uuid4())
    ticket = (await opened(resident, category="family")).json()["id"]
    seen = f"/tickets/v1/tickets/{ticket}"
    worker = await employ(tickets, "grid_worker", GRID)
    other = tickets.client("grid_worker", GRID)
    manager = tickets.client("community_manager", COMMUNITY)
    assert (await tickets.client("grid_worker", GRID, worker).get(seen)).status_code == 404
    assert (await manager.get(seen)).status_code == 200
    body = {"assignee": str(worker)}
    assert (await manager.post(f"{seen}/assign", json=body, headers={"If-Match": "*"})).status_code == 200
    assert (await tickets.client("grid_worker", GRID, worker).get(seen)).status_code == 200
    assert (await other.get(seen)).status_code == 404
    assert (await resident.get(seen)).status_code == 200


async def test_only_so_many_categories_are_kept(tickets: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    district = tickets.client("district_admin", "310115")
    monkeypatch.setattr("tickets.operations.categories.MOST", 1)
    assert (await put(district, "first")).status_code == 201
    refused = await put(district, "second")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:too-many-categories")
