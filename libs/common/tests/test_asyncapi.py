from typing import Any

import pytest
from libs.common.tests.conftest import record

from linli.asyncapi import asyncapi
from linli.events.directory import UnitChanged
from linli.events.points import PointsAwarded
from linli.events.tickets import TicketRated
from linli.inbox import Subscriptions


@pytest.fixture
def document() -> dict[str, Any]:
    subscriptions = Subscriptions("points", known_units=True)
    subscriptions.on(TicketRated)(record)
    return asyncapi("points", [PointsAwarded], subscriptions)


def resolve(document: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    found: Any = document
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def test_it_tells_what_is_sent_and_what_is_received(document: dict[str, Any]) -> None:
    told = {(operation["action"], operation["channel"]["$ref"]) for operation in document["operations"].values()}
    assert told == {
        ("send", "#/channels/points.awarded.v1"),
        ("receive", "#/channels/tickets.rated.v1"),
        ("receive", "#/channels/directory.unit.v1"),
    }


def test_every_reference_leads_to_its_contract(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    for operation in document["operations"].values():
        channel = resolve(document, operation["channel"])
        (message,) = operation["messages"]
        assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
        found = resolve(document, resolve(document, message))
        assert set(found["payload"]["required"]) >= {"id", "unit", "sequence", "occurred_at"}
        assert "ce-type" in resolve(document, found["headers"])["properties"]
        assert {f"{{{name}}}" for name in channel["parameters"]} == {
            part for part in channel["address"].split(".") if part.startswith("{")
        }


def test_a_state_s_channel_names_its_aggregate(document: dict[str, Any]) -> None:
    assert document["channels"][UnitChanged.type]["address"] == "linli.directory.{district}.unit.{aggregate}.v1"
    assert document["channels"][TicketRated.type]["address"] == "linli.tickets.{district}.rated.v1"
