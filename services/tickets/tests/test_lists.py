"""Needs and resources are matched by kind and place, and become projects with an end."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
from services.tickets.tests.conftest import COMMUNITY, MICRO, SIBLING, STREET

from linli.testing import Running

NEEDS, RESOURCES, PROJECTS = "/tickets/v1/needs", "/tickets/v1/resources", "/tickets/v1/projects"
ANY = {"If-Match": "*"}


async def needed(tickets: Running, kind: str, unit: str = COMMUNITY) -> dict[str, Any]:
    body = {"unit": unit, "kind": kind, "title": "老人理发", "description": "每月一次，约二十位老人"}
    answer = await tickets.client("community_manager", COMMUNITY).post(NEEDS, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def offered(client: httpx.AsyncClient, kind: str, unit: str) -> str:
    body = {"unit": unit, "kind": kind, "title": "义务理发", "description": "每周三下午"}
    answer = await client.post(RESOURCES, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def matched(client: httpx.AsyncClient, need: str, resource: str, **more: object) -> httpx.Response:
    return await client.post(f"{NEEDS}/{need}/match", json={"resource": resource, **more}, headers=ANY)


async def test_candidates_are_of_the_kind_and_the_nearest_come_first(tickets: Running) -> None:
    await tickets.know_units("310104003002", "310104003001002")
    kind = f"kind_{uuid4().hex[:8]}"
    partner = tickets.client("volunteer", "310104")
    need = await needed(tickets, kind, MICRO)
    far = await offered(partner, kind, SIBLING)
    street_beside = await offered(partner, kind, "310104003002")
    community_beside = await offered(partner, kind, "310104003001002")
    district = await offered(partner, kind, "310104")
    community = await offered(partner, kind, COMMUNITY)
    own = await offered(partner, kind, MICRO)
    await offered(partner, f"other_{uuid4().hex[:8]}", MICRO)
    gone = await offered(partner, kind, MICRO)
    assert (await partner.post(f"{RESOURCES}/{gone}/withdraw", headers=ANY)).status_code == 200
    manager = tickets.client("community_manager", COMMUNITY)
    seen: list[str] = []
    url: str | None = f"{NEEDS}/{need['id']}/candidates?limit=2"
    while url:
        page = await manager.get(url)
        assert page.status_code == 200, page.text
        seen += [found["id"] for found in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
    assert seen == [own, community, district, community_beside, street_beside, far]


async def test_a_match_is_a_project_with_steps_and_an_end(tickets: Running) -> None:
    kind = f"kind_{uuid4().hex[:8]}"
    provider = uuid4()
    partner = tickets.client("volunteer", "310104", provider)
    manager = tickets.client("community_manager", COMMUNITY)
    need, resource = await needed(tickets, kind), await offered(partner, kind, STREET)
    for number in ({"ends_on": 1798675200}, {"steps": [{"title": "统计名单", "due_on": 1795996800}]}):
        assert (await matched(manager, need["id"], resource, **number)).status_code == 422, "it could count seconds"
    made = await matched(manager, need["id"], resource, ends_on="2026-12-31", steps=[{"title": "统计名单"}])
    assert made.status_code == 201, made.text
    project = made.json()["id"]
    assert (made.json()["need"], made.json()["resource"], made.json()["provider"]) == (
        need["id"],
        resource,
        str(provider),
    )
    assert (await manager.get(f"{NEEDS}/{need['id']}")).json()["state"] == "matched"
    added = await manager.post(f"{PROJECTS}/{project}/steps", json={"title": "上门理发"}, headers=ANY)
    assert added.status_code == 201, added.text
    steps = (await partner.get(f"{PROJECTS}/{project}/steps")).json()["items"]
    assert [step["title"] for step in steps] == ["统计名单", "上门理发"]
    path = f"{PROJECTS}/{project}/steps/{steps[0]['id']}/finish"
    assert (await manager.post(path, headers=ANY)).json()["done_at"]
    assert (await manager.post(path, headers=ANY)).json()["type"] == "urn:linli:problem:step-done"
    ended = await manager.post(f"{PROJECTS}/{project}/end", json={"outcome": "met"}, headers=ANY)
    assert (ended.json()["state"], ended.json()["outcome"]) == ("ended", "met")
    assert (await manager.get(f"{NEEDS}/{need['id']}")).json()["state"] == "met"
    for path, body in (("steps", {"title": "再来"}), ("end", {"outcome": "unmet"})):
        refused = await manager.post(f"{PROJECTS}/{project}/{path}", json=body, headers=ANY)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:linli:problem:project-ended")
    told = await tickets.events()
    events = [event for event in told if event.get("project") == project]
    assert [(event["headers"]["ce-type"], event["sequence"], event.get("step")) for event in events] == [
        ("tickets.project_started.v1", 1, None),
        ("tickets.project_step_changed.v1", 2, "added"),
        ("tickets.project_step_changed.v1", 3, "done"),
        ("tickets.project_ended.v1", 4, None),
    ]
    stepped = [(event["project_step"], event["provider"]) for event in events[1:3]]
    assert stepped == [(added.json()["id"], str(provider)), (steps[0]["id"], str(provider))]
    assert listed(told, need["id"]) == [(1, "listed"), (2, "matched"), (3, "met")]
    assert listed(told, resource) == [(1, "listed")]


def listed(told: list[dict[str, Any]], listing: str) -> list[tuple[int, str]]:
    return [(event["sequence"], event["step"]) for event in told if event.get("listing") == listing]


async def test_a_need_that_was_not_met_is_on_the_list_again(tickets: Running) -> None:
    kind = f"kind_{uuid4().hex[:8]}"
    manager = tickets.client("community_manager", COMMUNITY)
    need, resource = await needed(tickets, kind), await offered(tickets.client("volunteer", "310104"), kind, STREET)
    for _ in range(2):
        project = (await matched(manager, need["id"], resource)).json()["id"]
        await manager.post(f"{PROJECTS}/{project}/end", json={"outcome": "unmet"}, headers=ANY)
        assert (await manager.get(f"{NEEDS}/{need['id']}")).json()["state"] == "listed"
    steps = ["listed", "matched", "returned", "matched", "returned"]
    assert listed(await tickets.events(), need["id"]) == list(enumerate(steps, start=1))


async def test_what_is_taken_off_a_list_is_told_of_with_whose_it_was(tickets: Running) -> None:
    kind, provider, keeper = f"kind_{uuid4().hex[:8]}", uuid4(), uuid4()
    resource = await offered(tickets.client("volunteer", "310104", provider), kind, COMMUNITY)
    need = await needed(tickets, kind)
    manager = tickets.client("community_manager", COMMUNITY, keeper)
    for path in (f"{RESOURCES}/{resource}", f"{NEEDS}/{need['id']}"):
        assert (await manager.post(f"{path}/withdraw", headers=ANY)).status_code == 200
    told = {event["listing"]: event for event in await tickets.events("tickets.list_changed.v1")}
    of_resource, of_need = told[resource], told[need["id"]]
    assert (of_resource["what"], of_resource["kind"], of_resource["step"]) == ("resource", kind, "withdrawn")
    assert (of_resource["owner"], of_resource["changed_by"]) == (str(provider), str(keeper))
    assert (of_need["what"], of_need["sequence"], of_need["changed_by"]) == ("need", 2, str(keeper))


async def test_a_need_is_matched_once_however_many_try_at_once(tickets: Running) -> None:
    kind = f"kind_{uuid4().hex[:8]}"
    manager = tickets.client("community_manager", COMMUNITY)
    need = await needed(tickets, kind)
    partner = tickets.client("volunteer", "310104")
    resources = [await offered(partner, kind, STREET) for _ in range(5)]
    answers = await asyncio.gather(*(matched(manager, need["id"], resource) for resource in resources))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    count = "SELECT count(*) FROM project WHERE need_id = $1"
    assert await tickets.database.fetchval(count, UUID(need["id"])) == 1


async def test_only_what_is_listed_and_of_one_kind_is_matched(tickets: Running) -> None:
    kind, other = f"kind_{uuid4().hex[:8]}", f"kind_{uuid4().hex[:8]}"
    partner, manager = tickets.client("volunteer", "310104"), tickets.client("community_manager", COMMUNITY)
    need = await needed(tickets, kind)
    wrong = await matched(manager, need["id"], await offered(partner, other, STREET))
    assert (wrong.status_code, wrong.json()["type"]) == (409, "urn:linli:problem:other-kind")
    resource = await offered(partner, kind, STREET)
    await partner.post(f"{RESOURCES}/{resource}/withdraw", headers=ANY)
    gone = await matched(manager, need["id"], resource)
    assert (gone.status_code, gone.json()["type"]) == (409, "urn:linli:problem:not-listed")
    assert (await matched(manager, need["id"], str(uuid4()))).status_code == 404
    assert (await manager.post(f"{NEEDS}/{need['id']}/withdraw", headers=ANY)).json()["state"] == "withdrawn"
    assert (await manager.post(f"{NEEDS}/{need['id']}/withdraw", headers=ANY)).status_code == 409


async def test_who_lists_what_and_who_sees_it(tickets: Running) -> None:
    kind = f"kind_{uuid4().hex[:8]}"
    provider = uuid4()
    partner, stranger = tickets.client("volunteer", "310104", provider), tickets.client("volunteer", "310104")
    manager, sibling = tickets.client("community_manager", COMMUNITY), tickets.client("street_admin", "310104004")
    need, resource = await needed(tickets, kind), await offered(partner, kind, COMMUNITY)
    for client in (stranger, tickets.client("resident", "310104"), sibling):
        assert (await client.get(f"{RESOURCES}/{resource}")).status_code == 200, "offers are there for all"
    for client in (stranger, sibling):
        assert (await client.post(f"{RESOURCES}/{resource}/withdraw", headers=ANY)).status_code == 404
    assert (await tickets.client("resident", "310115").get(f"{RESOURCES}/{resource}")).status_code == 404
    assert (await stranger.get(f"{NEEDS}/{need['id']}")).status_code == 200
    assert (await sibling.get(f"{NEEDS}/{need['id']}")).status_code == 404
    assert (await matched(sibling, need["id"], resource)).status_code == 404
    body = {"unit": COMMUNITY, "kind": kind, "title": "理发", "description": "理发"}
    assert (await tickets.client("resident", "310104").post(RESOURCES, json=body)).status_code == 403
    assert (await partner.post(NEEDS, json=body)).status_code == 403
    project = (await matched(manager, need["id"], resource)).json()["id"]
    assert (await partner.get(f"{PROJECTS}/{project}")).status_code == 200
    assert [found["id"] for found in (await partner.get(PROJECTS)).json()["items"]] == [project]
    for client in (stranger, sibling):
        assert (await client.get(f"{PROJECTS}/{project}")).status_code == 404
        assert (await client.get(f"{PROJECTS}/{project}/steps")).status_code == 404
