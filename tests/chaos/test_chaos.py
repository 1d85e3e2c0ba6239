"""What the drill of faults takes for a fault: refusals, what is delivered again late, messages given up, too little."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from subprocess import CompletedProcess
from typing import Any

import asyncpg
import httpx
import pytest
from chaos.checks import Verdict, verdict
from chaos.load import People, Work, load
from chaos.probe import _Eager
from chaos.report import promises

from linli.testing import Stage
from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble
from linli_cli.home import SERVICES

WELL = Verdict(50, 10_000, 10_000, 80, [], [], [], [], ledger=True)
REFUSED = [httpx.Response(status, json={"title": "No"}) for status in (400, 401, 403, 404, 409, 412, 422, 500)]
PUT_OFF = [
    *(httpx.Response(status, json={}) for status in (429, 502, 503, 504)),
    httpx.Response(409, headers={"Retry-After": "1"}, json={"type": "urn:linli:problem:key-in-flight"}),
    httpx.Response(404, text="404 page not found"),
]


async def signed_in() -> str:
    return "token"


async def lived(answer: Callable[[httpx.Request], httpx.Response], login: Callable[[], Any] = signed_in) -> Work:
    """Live one ticket's life."""
    work, enough = Work(), asyncio.Event()
    enough.set()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://platform") as client:
        people = People([login] * 8, login, "manager")
        await load(Api("http://platform", client=client), people, work, lives=1, within=0, enough=enough)
    return work


def refusing(refusal: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    """Take a report, and refuse to assign it."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/assign"):
            return httpx.Response(refusal.status_code, headers=refusal.headers, content=refusal.content)
        return httpx.Response(201, headers={"ETag": '"1"'}, json={"id": "1"})

    return answer


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda one: str(one.status_code))
async def test_who_does_nothing_wrong_and_is_refused_was_failed_by_the_platform(refusal: httpx.Response) -> None:
    work = await lived(refusing(refusal))
    assert work.acknowledged == {"chaos 0": ["open"]}
    assert work.broken == [f"POST /tickets/v1/tickets/1/assign → {refusal.status_code} No: "]


@pytest.mark.parametrize("answer", PUT_OFF, ids=lambda one: str(one.status_code))
async def test_who_is_put_off_for_too_long_was_not_refused(
    answer: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linli_cli.api._PATIENCE", -1)
    work = await lived(refusing(answer))
    assert (work.broken, work.troubles.total()) == ([], 1)


async def test_a_person_whose_token_was_exchanged_by_a_try_whose_answer_was_lost_is_not_wronged() -> None:
    async def refused() -> str:
        request = httpx.Request("POST", "http://platform/directory/oauth/token")
        raise ApiProblem(httpx.Response(400, json={"error": "invalid_grant"}, request=request))

    work = await lived(lambda _: httpx.Response(500), refused)
    assert (work.broken, work.troubles.total()) == ([], 1)


@pytest.mark.parametrize(("answers", "wronged"), [(REFUSED, len(REFUSED)), (PUT_OFF, 0)], ids=["refused", "put off"])
async def test_what_is_refused_while_a_part_recovers_counts_though_it_succeeds_in_the_end(
    answers: list[httpx.Response], wronged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.probe._EVERY", 0)
    left, work = [*answers, httpx.Response(201)], Work()
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: left.pop(0)), base_url="http://platform"
    ) as client:
        api = _Eager("http://platform", work, client=client).by(signed_in)
        assert (await api.post("/tickets/v1/tickets", {})).status_code == 201
    assert len(work.broken) == wronged


async def test_a_request_is_the_same_however_often_who_asks_has_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.probe._EVERY", 0)
    asked: list[httpx.Headers] = []
    logins = iter([Trouble("the directory is away", "目录服务不可用"), None])

    async def login() -> str:
        if trouble := next(logins):
            raise trouble
        return "token"

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers)
        return httpx.Response(201)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://platform") as client:
        api = _Eager("http://platform", Work(), client=client).by(login)
        await api.request("POST", "/tickets/v1/tickets", headers={"Idempotency-Key": "1"})
    assert [(one["Idempotency-Key"], one["Authorization"]) for one in asked] == [("1", "Bearer token")]


class Broken:
    """A stack on which a message is given up while it is reconciled."""

    def __init__(self, databases: dict[str, str]) -> None:
        self._databases = databases

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._databases[service])
        try:
            yield connection
        finally:
            await connection.close()

    def linli(self, *arguments: str, **_: object) -> CompletedProcess[str]:
        assert arguments[:2] == ("events", "reconcile")
        asyncio.run(self._deliver_again())
        return CompletedProcess(arguments, 1, "1 waits", "")

    async def _deliver_again(self) -> None:
        async with self.database("points") as points:
            await points.execute(
                "INSERT INTO dead_letter (district, id, consumer, subject, headers, payload, error, deliveries)"
                " VALUES (310104, gen_random_uuid(), 'points-tickets', 'rated', '{}', '', 'TimeoutError', 8)"
            )


async def test_what_comes_of_messages_that_are_delivered_again_late_is_looked_at(stage: Stage) -> None:
    databases = {service: stage.url("postgres", await stage.fresh_database(service)) for service in SERVICES}
    stack: Any = Broken(databases)
    found = await verdict(stack, Work(broken=["500"]), 10)
    assert (found.dead, found.unreconciled) == (["points-tickets rated TimeoutError"], "1 waits\n")
    assert list(promises(found).values()) == [False, True, True, False, False, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": 9_999},
        {"lost": ["chaos 1 open"]},
        {"doubled": ["chaos 1 open"]},
        {"broken": ["POST /tickets → 404"]},
        {"dead": ["points-tickets"]},
        {"ledger": False},
        {"unreconciled": "1 is missing"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_each_promise_that_is_not_kept_is_told(wrong: dict[str, Any]) -> None:
    assert all(promises(WELL).values())
    assert sum(not kept for kept in promises(replace(WELL, **wrong)).values()) == 1
