"""Nothing that people said, and no secret, leaves the tables it belongs to: canaries are let out, and looked for."""

import asyncio
import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import nats
import pytest
from nats.aio.client import Client as Nats
from nats.js.api import ConsumerConfig, DeliverPolicy
from tests.integration.conftest import SERVICES, Platform

pytestmark = pytest.mark.xdist_group("platform")

COMMUNITY = "310104003001"
STREET = "310104003"
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"""
Places = set[tuple[str, str]]
"""Databases and tables."""


def id_number() -> str:
    """Make up an ID number that nobody has: no division's code begins with 0."""
    first = f"0{secrets.randbelow(10**5):05}19490101{2 * secrets.randbelow(500):03}"
    total = sum(int(digit) * weight for digit, weight in zip(first, _WEIGHTS, strict=True))
    return first + "10X98765432"[total % 11]


@dataclass
class Canaries:
    """What was said once, and the tables where it may stand.

    Attributes:
        began: before any of it was said.
    """

    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    allowed: dict[str, Places] = field(default_factory=dict)

    def word(self, *places: tuple[str, str]) -> str:
        """Make words that stand nowhere else, for these tables alone."""
        return self.let_out(f"金丝雀{secrets.token_hex(5)}", *places)

    def let_out(self, canary: str, *places: tuple[str, str]) -> str:
        """Remember what must stand in these tables alone."""
        self.allowed[canary] = set(places)
        return canary

    def found_in(self, text: str) -> list[str]:
        """List those that stand in a text, in whatever way they are written."""
        return [canary for canary in self.allowed if any(form in text for form in forms(canary))]


def forms(canary: str) -> set[str]:
    """Give the ways in which a canary may be written: plain, in hexadecimal, escaped in JSON or in an address."""
    octets = canary.encode()
    quoted = "".join(f"%{octet:02X}" for octet in octets)
    return {canary, octets.hex(), json.dumps(canary)[1:-1], quoted, quoted.lower()}


@pytest.fixture(scope="module")
async def canaries(platform: Platform) -> Canaries:
    """Let all of them out, and wait until what follows from it is done."""
    out = Canaries()
    async with (
        platform.client("community_manager", COMMUNITY) as manager,
        platform.client("resident", "310104") as resident,
    ):
        await _people(manager, out)
        await _tickets(platform, manager, resident, out)
        await _mistakes(manager, resident, out)
    await _secrets(platform, out)
    await _dead_letters(platform, out)
    await asyncio.sleep(3)  # spans and log lines go out in batches, every half second
    return out


async def _people(manager: httpx.AsyncClient, out: Canaries) -> None:
    name, door = out.word(("residents", "resident")), out.word(("residents", "household"))
    phone, number = out.let_out(f"139{secrets.randbelow(10**8):08}"), out.let_out(id_number())
    buildings = (await manager.get("/directory/v1/buildings", params={"limit": 1})).raise_for_status().json()["items"]
    home = {"building": buildings[0]["id"], "door": door}
    household = (await keyed(manager, "/residents/v1/households", home)).json()["id"]
    person = {"household": household, "name": name, "gender": "female", "born_on": "1949-01-01"}
    answer = await keyed(manager, "/residents/v1/residents", {**person, "phone": phone, "id_number": number})
    found = answer.json()["id"]
    again = await manager.post("/residents/v1/residents", json={**person, "phone": phone, "id_number": number})
    assert again.status_code == 409
    for sought in ({"phone": phone}, {"id_number": number}, {"name": name}):
        hits = (await manager.post("/residents/v1/residents/search", json=sought)).raise_for_status().json()["items"]
        assert found in [hit["id"] for hit in hits]
    why = {"fields": ["phone", "id_number"], "purpose": out.word(("residents", "audit"))}
    shown = await manager.post(f"/residents/v1/residents/{found}/reveal", json=why)
    assert shown.raise_for_status().json() == {"phone": phone, "id_number": number}
    url, headers = f"/residents/v1/residents/{found}", {"If-Match": "*"}
    (await manager.patch(url, json={"phone": phone}, headers=headers)).raise_for_status()
    second = out.let_out(f"138{secrets.randbelow(10**8):08}")
    people = [{**person, "phone": second, "id_number": out.let_out(id_number())}]
    del people[0]["household"]
    imported = {"households": [{**home, "door": out.word(("residents", "household")), "residents": people}]}
    await keyed(manager, "/residents/v1/imports", imported)
    staff = {"unit": COMMUNITY, "name": out.word(("directory", "staff"))}
    await keyed(manager, "/directory/v1/staff", staff)


async def _tickets(platform: Platform, manager: httpx.AsyncClient, resident: httpx.AsyncClient, out: Canaries) -> None:
    ticket, entry = ("tickets", "ticket"), ("tickets", "ticket_entry")
    report = {"unit": COMMUNITY, "title": out.word(ticket), "description": out.word(ticket)}
    opened = await keyed(resident, "/tickets/v1/tickets", report)
    url = f"/tickets/v1/tickets/{opened.json()['id']}"
    early = await resident.post(f"{url}/rate", json={"rating": 5, "note": out.word()}, headers={"If-Match": "*"})
    assert early.status_code == 409
    me = platform.person("community_manager", COMMUNITY)
    for caller, step, body in (
        (manager, "assign", {"assignee": me}),
        (manager, "resolve", {}),
        (resident, "close", {}),
        (resident, "rate", {"rating": 5}),
    ):
        await keyed(caller, f"{url}/{step}", {**body, "note": out.word(entry)}, **{"If-Match": "*"})


async def _mistakes(manager: httpx.AsyncClient, resident: httpx.AsyncClient, out: Canaries) -> None:
    """Say it in every place where it does not belong; each is refused."""
    word, phone = out.word(), out.let_out(f"137{secrets.randbelow(10**8):08}")
    number, name = out.let_out(id_number()), out.word()
    person = {"household": str(uuid4()), "name": name, "gender": "female", "born_on": "1949-01-01"}
    residents = "/residents/v1/residents"
    json_of: tuple[tuple[str, Any], ...] = (
        (residents, {**person, "phone": phone, "id_number": number}),  # no such household
        (residents, {**person, "born_on": phone}),
        (residents, {**person, "phone": [phone]}),
        (residents, {**person, word: 1}),
        (residents, {**person, "id_number": f"{number}9"}),
        (residents, {**person, "name": f"{name}\0"}),
        (residents, [phone]),
        (f"{residents}/search", {"phone": phone, "id_number": number}),
        (f"{residents}/{number}/reveal", {"fields": ["phone"], "purpose": word}),
        ("/residents/v1/imports", {"households": [{"building": str(uuid4()), "door": word, "residents": [person]}]}),
        ("/tickets/v1/tickets", {"unit": "310104003999999", "title": word, "description": phone}),
        ("/tickets/v1/tickets", {"unit": phone, "title": word, "description": word}),
        (f"/tickets/v1/tickets/{uuid4()}/close", {"note": word}),
        ("/directory/v1/staff", {"unit": "999999", "name": name}),
    )
    for path, body in json_of:
        for caller in (manager, resident):
            answer = await caller.post(path, json=body, headers={"If-Match": "*"})
            assert 400 <= answer.status_code < 500, f"{path} {body} → {answer.status_code}"
    for content in (f'{{"name": "{name}", "phone": "{phone}"', f"{phone}\xff".encode("latin-1")):
        answer = await manager.post(residents, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}
    for path in (
        f"{residents}/{phone}",
        f"{residents}/{number}",
        f"{residents}/{name}",
        f"/tickets/v1/{phone}",
        f"/{phone}",
        f"/{word}/{number}",
        f"{residents}?within={number}",
        f"{residents}?household={phone}&cursor={word}&name={name}",
        f"/notifications/v1/inbox?subject={phone}",
    ):
        answer = await manager.get(path, headers={"If-None-Match": f'"{phone}"', "Referer": f"https://x/?q={phone}"})
        assert answer.is_client_error or answer.is_success, f"{path} → {answer.status_code}"
    await manager.request(word.encode().hex().upper(), f"{residents}/{phone}")
    for header in ("If-Match", "Content-Encoding", "traceparent", "Accept-Language"):
        await manager.patch(f"{residents}/{uuid4()}", json={"name": name}, headers={header: phone})
    await asyncio.gather(*(manager.post(residents, json={**person, "name": name * 40}) for _ in range(3)))


async def _secrets(platform: Platform, out: Canaries) -> None:
    """Sign in, rightly and wrongly."""
    async with platform.client("district_admin", "310104") as admin, platform.client() as nobody:
        body = {"unit": STREET, "name": out.word(("directory", "app_client")), "roles": ["app"]}
        app = (await keyed(admin, "/directory/v1/apps", body)).json()
        secret = out.let_out(app["secret"])
        rotated = await keyed(admin, f"/directory/v1/apps/{app['client_id']}/rotate-secret", None, **{"If-Match": "*"})
        out.let_out(rotated.json()["secret"])
        url, grant = "/directory/oauth/token", {"grant_type": "client_credentials"}
        granted = await nobody.post(url, data=grant, auth=(app["client_id"], rotated.json()["secret"]))
        token = out.let_out(granted.raise_for_status().json()["access_token"])
        async with platform.client(Authorization=f"Bearer {token}") as caller:
            assert (await caller.get("/tickets/v1/tickets")).is_success
            assert (await caller.get("/residents/v1/residents")).status_code == 403
        wrong = out.let_out(secrets.token_urlsafe(32))
        for form in (
            {**grant, "client_id": app["client_id"], "client_secret": secret},  # the old one
            {**grant, "client_id": app["client_id"], "client_secret": wrong},
            {**grant, "client_id": wrong, "client_secret": wrong},
            {**grant, "client_id": app["client_id"], "client_secret": wrong, "scope": wrong},
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": wrong,
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            },
            {"grant_type": wrong},
        ):
            assert (await nobody.post(url, data=form)).status_code in {400, 401}
        for sent in (f"Bearer {wrong}", f"Bearer {token}{wrong}", f"Basic {wrong}"):
            async with platform.client(Authorization=sent) as caller:
                assert (await caller.get("/tickets/v1/tickets")).status_code == 401
        assert (await nobody.get(f"/tickets/v1/tickets?access_token={wrong}")).status_code == 401
    for file in (platform.home / "secrets").iterdir():
        out.let_out(file.read_text().strip())


async def _dead_letters(platform: Platform, out: Canaries) -> None:
    """Publish what nobody can read: it is kept as it came, and nothing else tells of what stands in it."""
    kept = ("notifications", "dead_letter")
    word, phone = out.word(kept), out.let_out(f"136{secrets.randbelow(10**8):08}", kept)
    async with broker(platform) as client:
        js = client.jetstream()
        subject = "linli.tickets.310104.opened.v1"
        bodies = (f'{{"{word}": "{phone}"', json.dumps({"ticket": phone, "unit": word, "reporter": [word]}))
        for body in bodies:
            headers = {"ce-id": str(uuid4()), "ce-type": subject.replace(".310104", ""), "ce-subject": word}
            headers |= {"ce-source": "/tickets", "ce-specversion": "1.0", "ce-time": "2026-01-01T00:00:00Z"}
            headers = {name: value.encode().hex() if name == "ce-subject" else value for name, value in headers.items()}
            await js.publish(subject, body.encode(), headers=headers)
    deadline = time.monotonic() + 20
    async with platform.database("notifications") as database:
        query = "SELECT count(*) FROM dead_letter WHERE died_at > $1"
        while await database.fetchval(query, out.began) < len(bodies):
            assert time.monotonic() < deadline, "no dead letter"
            await asyncio.sleep(0.1)


def broker(platform: Platform) -> Any:  # noqa: ANN401 an async context manager of nats-py's client
    """Connect as the broker's administrator."""

    class Connected:
        async def __aenter__(self) -> Nats:
            password = (platform.home / "secrets" / "nats_admin").read_text()
            self._client = await nats.connect(f"nats://admin:{password}@127.0.0.1:{platform.port + 21}")
            return self._client

        async def __aexit__(self, *_: object) -> None:
            await self._client.close()

    return Connected()


async def keyed(client: httpx.AsyncClient, path: str, body: object, **headers: str) -> httpx.Response:
    """Post under an Idempotency-Key, twice: the answer is kept."""
    headers["Idempotency-Key"] = str(uuid4())
    first, again = [await client.post(path, json=body, headers=headers) for _ in range(2)]
    assert first.is_success, f"{path}: {first.status_code} {first.text}"
    assert again.headers["idempotency-replayed"] == "true"
    return first


async def places(platform: Platform, out: Canaries, database: str) -> dict[str, Places]:
    """Look through every table of a database: which canary stands where."""
    found: dict[str, Places] = {canary: set() for canary in out.allowed}
    wanted = {form: canary for canary in out.allowed for form in forms(canary)}
    escaped = {form: re.sub(r"([\\%_])", r"\\\1", form) for form in wanted}
    async with platform.database(database) as connection:
        for (table,) in await connection.fetch(_TABLES):
            rows = await connection.fetch(
                f'SELECT t::text AS row FROM "{table}" t WHERE t::text LIKE ANY ($1)',
                [f"%{form}%" for form in escaped.values()],
            )
            for row in rows:
                for form, canary in wanted.items():
                    if form in row["row"]:
                        found[canary].add((database, table))
    return found


@pytest.mark.parametrize("database", [*SERVICES, "console"])
async def test_what_was_said_stands_in_its_own_tables_alone(
    platform: Platform, canaries: Canaries, database: str
) -> None:
    found = await places(platform, canaries, database)
    elsewhere = {
        canary: there - canaries.allowed[canary] for canary, there in found.items() if there - canaries.allowed[canary]
    }
    assert elsewhere == {}
    # And what is looked for would be found: each stands where it may.
    for canary, allowed in canaries.allowed.items():
        assert {place for place in allowed if place[0] == database} <= found[canary], canary


async def test_no_log_tells_what_was_said(platform: Platform, canaries: Canaries) -> None:
    logs = sorted((platform.home / "logs").glob("*.log*"))
    assert {"postgres.log", "nats.log", "gateway.log", "supervisor.log", "residents.log"} <= {log.name for log in logs}
    told = {log.name: found for log in logs if (found := canaries.found_in(log.read_text(errors="replace")))}
    assert told == {}


async def test_no_message_on_the_broker_tells_what_was_said(platform: Platform, canaries: Canaries) -> None:
    read = 0
    own = {canary for canary, there in canaries.allowed.items() if ("notifications", "dead_letter") in there}
    async with broker(platform) as client:
        js = client.jetstream()
        for info in await js.streams_info():
            since = ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_TIME,
                opt_start_time=canaries.began,
            )
            subscription = await js.subscribe(">", stream=info.config.name, ordered_consumer=True, config=since)
            while True:
                try:
                    message = await subscription.next_msg(timeout=1)
                except nats.errors.TimeoutError:
                    break
                read += 1
                told = message.subject + str(message.headers) + message.data.decode(errors="replace")
                assert set(canaries.found_in(told)) <= own
            await subscription.unsubscribe()
    assert read > 5


async def test_no_file_of_the_platform_but_its_databases_tells_what_was_said(
    platform: Platform, canaries: Canaries
) -> None:
    words = {canary for canary, there in canaries.allowed.items() if ("notifications", "dead_letter") not in there}
    secret = {file.read_text().strip() for file in (platform.home / "secrets").iterdir()}
    for folder, _, names in os.walk(platform.home):
        if folder.startswith((str(platform.home / "data/postgres"), str(platform.home / "secrets"))):
            continue
        for name in names:
            with suppress(FileNotFoundError):  # the broker replaces its own while this looks
                content = (platform.home / os.fspath(folder) / name).read_bytes()
                told = {word for word in words - secret if word.encode() in content}
                assert told == set(), f"{folder}/{name}"
