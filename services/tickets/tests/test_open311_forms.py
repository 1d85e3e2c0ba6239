"""What Open311 makes of a form (表单): any JSON Schema that a district may describe is shown, and answered as shown."""

import json
from typing import Any

import httpx
import pytest
from services.tickets.tests.conftest import COMMUNITY, STREET

from linli.testing import Running

ROOT = "/tickets/open311/v2"
IN_STREET = {"jurisdiction_id": STREET}


async def asked_with(
    tickets: Running, code: str, schema: dict[str, Any]
) -> tuple[httpx.AsyncClient, dict[str, str], Any]:
    """Describe a public category that asks for `n`; gives a client, what it reports, and how `n` is asked for."""
    admin = tickets.client("district_admin", STREET[:6])
    form = {"type": "object", "required": ["n"], "properties": {"n": schema}}
    body = {"name": "类", "name_en": "Kind", "visibility": "public", "form": form}
    made = await admin.put(f"/tickets/v1/categories/{code}", json=body, headers={"If-None-Match": "*"})
    assert made.status_code in {200, 201}, made.text
    key = (await admin.post("/tickets/v1/open311-keys", json={"name": "某应用", "unit": STREET})).json()["key"]
    outside = tickets.client()
    answer = await outside.get(f"{ROOT}/services/{code}.json", params=IN_STREET)
    assert answer.status_code == 200, answer.text
    (attribute,) = answer.json()["attributes"]
    report = {**IN_STREET, "api_key": key, "service_code": code, "description": "路灯不亮", "address_id": COMMUNITY}
    return outside, report, attribute


@pytest.mark.parametrize(
    ("code", "schema", "datatype", "answered"),
    [
        ("whole", {"type": ["integer", "null"]}, "number", ("5", 5)),
        ("number", {"type": ["number", "integer"]}, "number", ("2.5", 2.5)),
        ("either", {"type": ["integer", "string"]}, "string", ("5", "5")),
        ("yes_no", {"type": ["boolean", "null"]}, "singlevaluelist", ("true", True)),
        ("untyped", {"enum": [1, 2, None]}, "singlevaluelist", ("1", 1)),
        ("typed", {"type": "integer", "enum": [1, 2]}, "singlevaluelist", ("2", 2)),
        ("mixed", {"enum": [True, "a", 1.5, [1]]}, "singlevaluelist", ("true", True)),
        ("constant", {"oneOf": [{"const": 7, "title": "七"}, {"const": None}]}, "singlevaluelist", ("7", 7)),
        ("several", {"type": ["array", "null"], "items": {"enum": [1, 2]}}, "multivaluelist", ("2", [2])),
    ],
)
async def test_what_a_form_asks_for_is_shown_and_answered(
    tickets: Running, code: str, schema: dict[str, Any], datatype: str, answered: tuple[str, object]
) -> None:
    sent, kept = answered
    outside, report, attribute = await asked_with(tickets, code, schema)
    assert attribute["datatype"] == datatype
    if "values" in attribute:
        assert sent in {value["key"] for value in attribute["values"]}
        assert None not in {value["name"] for value in attribute["values"]}
    answer = await outside.post(f"{ROOT}/requests.json", data={**report, "attribute[n]": sent})
    assert answer.status_code == 200, answer.text
    made = answer.json()[0]["service_request_id"]
    answers = await tickets.database.fetchval("SELECT answers FROM ticket WHERE id = $1", made)
    assert json.loads(answers) == {"n": kept}


async def test_every_key_that_is_shown_is_taken(tickets: Running) -> None:
    outside, report, attribute = await asked_with(tickets, "all_keys", {"enum": [True, "a", 1.5, [1], 3, {"k": "值"}]})
    assert len(attribute["values"]) == 6
    for value in attribute["values"]:
        answer = await outside.post(f"{ROOT}/requests.json", data={**report, "attribute[n]": value["key"]})
        assert answer.status_code == 200, (value, answer.text)


async def test_what_is_of_another_kind_is_refused(tickets: Running) -> None:
    for code, schema, sent in (
        ("not_whole", {"type": ["integer", "null"]}, "five"),
        ("not_of_them", {"enum": [1, 2]}, "3"),
        ("no_text", {"type": ["object", "null"]}, "x"),
    ):
        outside, report, _ = await asked_with(tickets, code, schema)
        answer = await outside.post(f"{ROOT}/requests.json", data={**report, "attribute[n]": sent})
        assert answer.status_code == 400, (code, answer.text)
