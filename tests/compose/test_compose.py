"""Everything a district does with its containers, and everything that may happen to them."""

import asyncio
import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
import pytest
from tests.compose.conftest import PROJECT, SERVICES, TAG, Deployment, run

from linli_cli.home import Home
from linli_cli.identity import token_of

pytestmark = pytest.mark.timeout(600)

_STREET = "--unit 310104003 --households 420 --grids 42 --micro-grids 84 --special-grids 2"
_LONG_RUNNING = {*SERVICES, "gateway", "postgres", "nats"}
_TOLD = "SELECT count(DISTINCT subject) FROM notification WHERE kind = 'ticket_opened'"
_INBOXES = (
    "SELECT subject, string_agg(kind, ' ' ORDER BY occurred_at, id) FROM notification GROUP BY subject, recipient"
)
_COMPLETE = "✓ complete, nothing lost or doubled"


def test_all_containers_are_healthy_within_a_minute(deployment: Deployment) -> None:
    print(f"healthy after {deployment.seconds_to_healthy:.1f} s")  # noqa: T201 a figure to know
    assert deployment.seconds_to_healthy < 60
    assert {one["State"]["Health"]["Status"] for one in deployment.containers()} == {"healthy"}
    assert len(deployment.containers()) == len(_LONG_RUNNING)


def test_the_idle_services_take_less_than_a_gigabyte(deployment: Deployment) -> None:
    ids = [one["Id"] for service in SERVICES for one in deployment.containers(service)]
    figures = run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", *ids).splitlines()
    assert len(figures) == len(SERVICES)
    used = 0.0
    for figure in figures:
        text = figure.split()[0]
        assert text.endswith("MiB")
        used += float(text.removesuffix("MiB"))
    print(f"the services take {used:.0f} MiB")  # noqa: T201 as above
    assert used < 1000


_PLACES = ("/etc", "/usr", "/")
_LOOK_AROUND = f"cat /proc/1/status; for place in {' '.join(_PLACES)}; do touch $place/mine; done"


@pytest.mark.parametrize("service", sorted(_LONG_RUNNING))
def test_nobody_is_root_or_writes_where_he_should_not(deployment: Deployment, service: str) -> None:
    said = deployment.inside(service, "sh", "-c", _LOOK_AROUND, check=False)
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert said.count("Read-only file system") == len(_PLACES)


def test_jobs_are_held_as_short_as_services(deployment: Deployment) -> None:
    for container in json.loads(run("docker", "inspect", *deployment.compose("ps", "--all", "--quiet").split())):
        host, name = container["HostConfig"], container["Name"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"], name
        assert host["NanoCpus"], name
        assert host["LogConfig"]["Config"]["max-size"], name
        assert container["Config"]["User"] not in {"", "root", "0"}, name


def test_only_the_gateway_can_be_reached_from_outside(deployment: Deployment) -> None:
    published = {
        one["Config"]["Labels"]["com.docker.compose.service"]
        for one in deployment.containers()
        if any(one["NetworkSettings"]["Ports"].values())
    }
    assert published == {"gateway"}
    for store in ("postgres", "nats"):
        assert not deployment.inside("gateway", "sh", "-c", f"getent hosts {store} || true").strip()
    assert deployment.inside("gateway", "getent", "hosts", "tickets").strip()


_READ_RESIDENTS = """
import asyncio, asyncpg, pathlib
url = pathlib.Path("/run/secrets/linli_database_url").read_text()
async def main():
    own = await asyncpg.connect(url)
    print("own", await own.fetchval("SELECT current_database()"))
    try:
        await asyncpg.connect(url, database="residents")
    except asyncpg.InsufficientPrivilegeError as error:
        print("refused:", error)
asyncio.run(main())
"""
_SPEAK_AS_POINTS = """
import asyncio, nats, pathlib
url = pathlib.Path("/run/secrets/linli_nats_url").read_text()
async def main():
    async def on_error(error):
        print("refused:", error)
    client = await nats.connect(url, error_cb=on_error, inbox_prefix="_INBOX_tickets")
    for subject in (
        "linli.points.310104.awarded.v1",
        "$JS.API.STREAM.DELETE.POINTS",
        "$JS.API.CONSUMER.MSG.NEXT.TICKETS.points-tickets",
    ):
        await client.publish(subject, b"{}")
    await client.flush()
    await asyncio.sleep(0.5)
asyncio.run(main())
"""


def test_tickets_can_neither_read_the_residents_nor_speak_as_points(deployment: Deployment) -> None:
    said = deployment.inside("tickets", "python", "-c", _READ_RESIDENTS)
    assert "own tickets" in said
    assert 'refused: permission denied for database "residents"' in said
    said = deployment.inside("tickets", "python", "-c", _SPEAK_AS_POINTS)
    assert said.lower().count("permissions violation for publish") == 3
    assert set(deployment.inside("tickets", "ls", "/run/secrets").split()) == {
        f"linli_{name}" for name in ("database_url", "relay_database_url", "nats_url", "master_key")
    }


def _scale(replicas: int) -> list[str]:
    return [part for service in SERVICES for part in ("--scale", f"{service}={replicas}")]


@pytest.fixture(scope="module")
def street(deployment: Deployment) -> Deployment:
    """The deployment, with the published divisions and one small street in it."""
    assert "3692 created" in deployment.linli("import", "divisions")
    deployment.linli("seed", *_STREET.split())
    return deployment


def test_the_demo_plays_through_the_gateway(street: Deployment) -> None:
    assert _COMPLETE in street.linli("demo")


def _outcome(street: Deployment, path: Path) -> list[dict[str, Any]]:
    """What 500 tickets came to, without what differs from run to run: ids and times."""
    assert _COMPLETE in street.linli("demo", "--seed", "5", "--tickets", "500", "--brief", "--json", str(path))
    told = json.loads(path.read_text())
    inboxes: dict[str, list[str]] = {}
    for line in street.query("notifications", _INBOXES).splitlines():
        subject, messages = line.split("|")
        inboxes.setdefault(subject, []).append(messages)
    return [
        {
            "title": story["title"],
            "unit": story["unit"],
            "steps": [one["what"] for one in story["events"] if one["service"] == "tickets"],
            "inboxes": sorted(inboxes.get(story["id"], [])),
            "all": sorted((one["service"], one["what"]) for one in story["events"]),
        }
        for story in [*told["tickets"], told["session"]]
    ]


def test_three_of_every_service_give_the_same_as_one(street: Deployment, tmp_path: Path) -> None:
    one = _outcome(street, tmp_path / "one.json")
    street.up("--no-recreate", *_scale(3))
    assert len(street.containers()) == 3 * len(SERVICES) + 3
    assert _outcome(street, tmp_path / "three.json") == one
    assert len(one) == 501


def test_three_of_every_service_lose_and_double_nothing_while_containers_crash(street: Deployment) -> None:
    street.up("--no-recreate", *_scale(3))

    def crash() -> None:
        for service in ("tickets", "nats", "points", "notifications", "gateway", "postgres"):
            time.sleep(1)
            street.crash(service)

    crashing = threading.Thread(target=crash)
    crashing.start()
    said = street.linli("demo", "--seed", "2", "--tickets", "60")
    crashing.join()
    assert _COMPLETE in said
    restarted = [one["Name"] for one in street.containers() if one["RestartCount"]]
    assert len(restarted) == 6
    street.up("--scale", "tickets=1")


def test_what_runs_already_is_left_alone(street: Deployment) -> None:
    before = {one["Id"] for one in street.containers()}
    secrets = {path.name: path.read_text() for path in (street.folder / "secrets").iterdir()}
    street.linli("init", str(street.folder))
    street.up()
    assert {one["Id"] for one in street.containers()} == before
    assert {path.name: path.read_text() for path in (street.folder / "secrets").iterdir()} == secrets


class Clients:
    """Residents and workers who never stop asking while something happens to the platform."""

    def __init__(self, street: Deployment) -> None:
        self._street = street
        self._over = threading.Event()
        self.answers: Counter[str] = Counter()
        self.refusals: list[str] = []

    def __enter__(self) -> Self:
        home = Home(self._street.folder, self._street.port)
        resident = asyncio.run(token_of(home, "resident", "310104003"))
        self._threads = [threading.Thread(target=self._ask, args=(resident,)) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, token: str) -> None:
        body = {"unit": "310104003001", "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
        reads = ("tickets/v1/tickets", "notifications/v1/inbox", "directory/v1/units/310104003", "bookings/v1/centres")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=self._street.url, headers=headers, timeout=30, trust_env=False) as client:
            while not self._over.is_set():
                for path in reads:
                    self._count(client, "GET", path)
                key = {"Idempotency-Key": str(uuid4())}
                self._count(client, "POST", "tickets/v1/tickets", json=body, headers=key)
                time.sleep(0.1)

    def _count(self, client: httpx.Client, method: str, path: str, **options: Any) -> None:  # noqa: ANN401 httpx's own
        try:
            answer = client.request(method, f"/{path}", **options)
        except httpx.TransportError as error:
            self.answers[f"{error!r} {method} {path}"] += 1
        else:
            said = str(answer.status_code)
            if answer.status_code == 503 and "Retry-After" in answer.headers:
                self.answers["503 Retry-After"] += 1
                self.refusals.append(f"{datetime.now(UTC):%H:%M:%S.%f} {method} {path} {answer.elapsed} {answer.text}")
                return
            self.answers[f"{said} {method} {path}" if answer.is_error else said] += 1


def told(street: Deployment) -> tuple[int, int]:
    """How many tickets there are, and of how many their reporters were told."""
    return int(street.query("tickets", "SELECT count(*) FROM ticket")), int(street.query("notifications", _TOLD))


def test_without_postgresql_clients_are_asked_to_come_back(street: Deployment) -> None:
    with Clients(street) as clients:
        time.sleep(3)
        street.compose("stop", "postgres")
        time.sleep(30)
        street.compose("start", "postgres")
        time.sleep(10)
        before = clients.answers["503 Retry-After"]
        time.sleep(3)
        assert clients.answers["503 Retry-After"] == before
    print(dict(clients.answers))  # noqa: T201 as above
    assert set(clients.answers) == {"200", "201", "503 Retry-After"}


_LOOK_UP = """
import asyncio, time, uvloop
async def look(name):
    try:
        await asyncio.get_running_loop().getaddrinfo(name, 1)
    except OSError:
        pass
async def main():
    lost = [asyncio.create_task(look("nats")) for _ in range(6)]
    began = time.monotonic()
    await look("postgres")
    print(time.monotonic() - began)
    await asyncio.gather(*lost)
uvloop.run(main())
"""


def test_without_nats_clients_notice_nothing_and_all_is_delivered_afterwards(street: Deployment) -> None:
    with Clients(street) as clients:
        time.sleep(3)
        street.compose("stop", "nats")
        # New connections to the database may not wait behind the search for a broker that is away.
        assert float(street.inside("tickets", "python", "-c", _LOOK_UP)) < 0.5
        time.sleep(30)
        street.compose("start", "nats")
    print(dict(clients.answers))  # noqa: T201 as above
    assert set(clients.answers) == {"200", "201"}, clients.refusals
    deadline = time.monotonic() + 90
    while len(set(told(street))) > 1 and time.monotonic() < deadline:
        time.sleep(1)
    tickets, notified = told(street)
    assert notified == tickets > clients.answers["201"] > 0


def test_an_upgrade_of_all_services_under_load_costs_nobody_an_error(street: Deployment) -> None:
    run("docker", "tag", f"linli:{TAG}", f"linli:{TAG}-next")
    with Clients(street) as clients:
        street.linli("upgrade", f"{TAG}-next", "--folder", str(street.folder))
    print(dict(clients.answers))  # noqa: T201 as above
    assert set(clients.answers) == {"200", "201"}, clients.refusals
    assert {one["Config"]["Image"] for service in SERVICES for one in street.containers(service)} == {
        f"linli:{TAG}-next"
    }
    assert len(street.containers()) == len(_LONG_RUNNING)
    assert _COMPLETE in street.linli("demo", "--seed", "3")


def test_an_upgrade_that_can_not_be_done_leaves_everything_as_it_was(street: Deployment) -> None:
    before = {one["Id"] for one in street.containers()}
    settings = (street.folder / ".env").read_text()
    with pytest.raises(AssertionError, match="What ran before runs on"):
        street.linli("upgrade", "no-such-version", "--folder", str(street.folder))
    assert {one["Id"] for one in street.containers()} == before
    assert (street.folder / ".env").read_text() == settings


def test_without_init_nothing_starts_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_bytes((PROJECT / "deploy" / "compose.yml").read_bytes())
    said = run("docker", "compose", "up", "--detach", cwd=tmp_path, check=False)
    assert "linli init" in said
