from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from linli.cloudevents import headers_of, read
from linli.events import Code, Event, catalogue, template
from linli.events.directory import BuildingChanged, UnitChanged
from linli.events.release import breaks, contract_of, released
from linli.units import UnitCode

CONTRACTS = catalogue()
NAMES_OF_PLACES = {UnitChanged, BuildingChanged}
by_type = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.type)


@by_type
def test_a_released_contract_only_grows(contract: type[Event]) -> None:
    """When this fails, publish a new version of the event beside the old one."""
    before = released().get(contract.type)
    assert before, "not released yet: run `python -m linli.events.release`"
    now = contract_of(contract)
    assert list(breaks(before["schema"], now["schema"])) == []
    assert now["subject"] == before["subject"]
    assert now == before, "it has grown: run `python -m linli.events.release` and commit"


@by_type
def test_a_released_sample_is_still_understood(contract: type[Event]) -> None:
    sample = released()[contract.type]["sample"]
    event = contract.model_validate(sample)
    assert sample.items() <= event.model_dump(mode="json").items()
    jsonschema.Draft202012Validator.check_schema(contract.model_json_schema())
    jsonschema.validate(sample, contract.model_json_schema())
    assert read(event.subject, headers_of(event), event.model_dump_json().encode()) == event


def test_no_released_contract_was_taken_away() -> None:
    assert {contract.type for contract in CONTRACTS} == set(released())


@by_type
def test_an_event_carries_no_personal_data(contract: type[Event]) -> None:
    """Ids, codes, numbers, times; the one text in words is the public name of a place."""
    code, unit = TypeAdapter(Code).json_schema()["pattern"], TypeAdapter(UnitCode).json_schema()["pattern"]
    for name, field in contract.model_json_schema()["properties"].items():
        (kind,) = [one for one in field.get("anyOf", [field]) if one["type"] != "null"]
        kind = kind.get("items", kind)
        harmless = (
            kind["type"] in {"integer", "boolean"}
            or kind.get("format") in {"uuid", "date-time"}
            or kind.get("pattern") in {code, unit}
        )
        assert harmless or (contract in NAMES_OF_PLACES and name == "name"), f"{name} is free text"


@by_type
def test_the_subject_says_publisher_district_name_and_version(contract: type[Event]) -> None:
    event = contract.model_validate(released()[contract.type]["sample"])
    publisher, name, version = contract.type.split(".")
    aggregate = [event.aggregate] if contract.state else []
    assert event.subject.split(".") == ["linli", publisher, "310104", name, *aggregate, version]
    assert template(event.subject) == contract.subject_for("{district}", "{aggregate}")
    assert event.publisher == publisher
    assert {other.publisher for other in catalogue() if other.__module__ == contract.__module__} == {publisher}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda s: s["properties"].pop("rating"), "rating was taken away"),
        (lambda s: s["properties"]["rating"].update(maximum=10), "rating means something else"),
        (lambda s: s["properties"]["rating"].update(type="string"), "rating means something else"),
        (lambda s: s["required"].remove("rating"), "rating is no longer required"),
        (lambda s: (s["properties"].update(mood={"type": "string"}), s["required"].append("mood")), "mood is now"),
        (lambda s: s["properties"].update(mood={"type": "string"}), None),
        (lambda s: s["properties"]["rating"].update(title="Stars", description="how many"), None),
    ],
)
def test_only_new_optional_fields_break_nobody(change: Callable[[dict[str, Any]], object], broken: str | None) -> None:
    old, new = released()["tickets.rated.v1"]["schema"], released()["tickets.rated.v1"]["schema"]
    change(new)
    assert [problem.startswith(str(broken)) for problem in breaks(old, new)] == ([True] if broken else [])


def test_an_event_is_never_of_the_whole_platform() -> None:
    sample = released()["directory.unit.v1"]["sample"]
    with pytest.raises(ValidationError):
        UnitChanged.model_validate({**sample, "unit": "0"})


def test_attributes_are_percent_encoded_as_the_binding_says() -> None:
    class Named(Event, type="tests.named.v1", aggregate="name"):
        name: str

    event = Named(unit=310104 * 10**12, sequence=1, name='Euro € "%~')
    assert headers_of(event)["ce-subject"] == "Euro%20%E2%82%AC%20%22%25~"
