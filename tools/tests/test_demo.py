import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console

from linli_cli import demo, demo_run
from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble, out
from linli_cli.demo_plan import errands
from linli_cli.demo_report import Outcome, _timeline
from linli_cli.demo_run import Actor, Run, together
from linli_cli.demo_story import Happening, Story, told_after
from linli_cli.home import Home

PLACES = [["310104003001001", "310104003001001001"], ["310104003002004"]]
TRACE = "0af7651916cd43dd8448eb211c80319c"
OPENED = datetime(2026, 5, 1, 8, tzinfo=UTC)
EXPECTED = Counter({"tickets open": 1, "notifications ticket_opened → reporter": 1, "points +10": 1})


def happening(service: str, what: str, seconds: float, trace_id: str = TRACE) -> Happening:
    return Happening(OPENED + timedelta(seconds=seconds), service, what, trace_id)


def story(*found: Happening, expected: Counter[str] = EXPECTED) -> Story:
    async def look() -> list[Happening]:
        return list(found)

    made = Story("t", "楼道堆物", PLACES[0][0], TRACE, expected, look)
    asyncio.run(made.refresh())
    return made


STEP = happening("tickets", "open", 0)
TOLD = happening("notifications", "ticket_opened → reporter", 0.08)
PAID = happening("points", "+10", 0.3)
NO_SESSION = story(expected=Counter())


def test_a_number_makes_up_the_same_day_each_time() -> None:
    day = errands(1, 50, 20, PLACES)
    assert day == errands(1, 50, 20, PLACES)
    assert day != errands(2, 50, 20, PLACES)
    assert day == errands(1, 80, 20, PLACES)[:50]
    assert all(errand.place in PLACES[errand.beat] for errand in day)
    assert {errand.rating for errand in day} > {3, 4, 5}


def test_an_interrupted_run_goes_on_with_its_keys_and_traces(home: Home) -> None:
    first = Run.begin(home, 1, 12)
    again = Run.begin(home, 1, 12)
    assert again.key(3, "open") == first.key(3, "open")
    assert again.trace(3) == first.trace(3)
    assert again.began == first.began
    keys = {first.key(number, step) for number in range(20) for step in ("open", "assign")}
    assert len(keys) == 40


@pytest.mark.parametrize("other", ["ended", "another seed", "more tickets", "too old", "unreadable"])
def test_any_other_run_is_a_new_one(home: Home, other: str) -> None:
    first = Run.begin(home, 1, 12)
    if other == "ended":
        first.end()
    if other == "unreadable":
        first.path.write_text("{")
    if other == "too old":
        kept = json.loads(first.path.read_text())
        first.path.write_text(json.dumps({**kept, "began": (first.began - timedelta(hours=13)).isoformat()}))
    second = Run.begin(home, 2 if other == "another seed" else 1, 13 if other == "more tickets" else 12)
    assert second.key("open") != first.key("open")


class Flaky:
    """Answers a POST as told, one after the other."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def actor(self) -> Actor:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://platform")
        return Actor("me", Api("http://platform", client=client))


def problem(status: int, name: str) -> httpx.Response:
    return httpx.Response(status, json={"type": f"urn:linli:problem:{name}"}, headers={"Retry-After": "0"})


async def test_a_step_is_tried_until_it_is_answered_and_is_always_the_same_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("linli_cli.api._LONGEST_PAUSE", 0.01)
    flaky = Flaky(
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.Response(502),
        problem(409, "key-in-flight"),
        problem(429, "too-many-requests"),
        problem(503, "unavailable"),
        httpx.Response(200, headers={"ETag": '"2"'}),
    )
    answer = await flaky.actor.post("/tickets/v1/tickets/1/assign", {"a": 1}, key="k", trace=TRACE, etag='"1"')
    assert answer.headers["ETag"] == '"2"'
    assert len(flaky.asked) == 7
    assert {request.headers["Idempotency-Key"] for request in flaky.asked} == {"k"}
    assert {request.headers["If-Match"] for request in flaky.asked} == {'"1"'}
    assert {request.headers["traceparent"].split("-")[1] for request in flaky.asked} == {TRACE}
    assert {request.content for request in flaky.asked} == {b'{"a":1}'}


@pytest.mark.parametrize("name", ["unknown-unit", "nobody-there"])
async def test_a_step_waits_for_what_another_service_has_not_heard_of(name: str) -> None:
    flaky = Flaky(problem(422, name), problem(404, name), httpx.Response(201))
    assert (await flaky.actor.post("/tickets/v1/tickets", {}, key="k")).status_code == 201


async def test_a_step_that_is_refused_ends_the_day_and_so_does_one_nobody_ever_hears_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo_run, "_PATIENCE", 0)
    for refusal in (problem(403, "forbidden"), problem(422, "unknown-unit")):
        with pytest.raises(ApiProblem):
            await Flaky(refusal, refusal).actor.post("/tickets/v1/tickets", {}, key="k")


async def test_jobs_run_a_few_at_a_time_and_the_first_trouble_ends_them() -> None:
    running, most, done = 0, 0, 0

    async def job() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        done += 1
        if done == 30:
            raise Trouble("no", "不")

    with pytest.raises(Trouble):
        await together(job for _ in range(100))
    assert most == 8
    assert 30 <= done < 40


@pytest.mark.parametrize(
    ("found", "missing", "doubled", "strayed"),
    [
        ([STEP, TOLD, PAID], {}, {}, 0),
        ([STEP, PAID], {"notifications ticket_opened → reporter": 1}, {}, 0),
        ([STEP, TOLD, PAID, PAID], {}, {"points +10": 1}, 0),
        ([STEP, TOLD, happening("points", "+20", 1)], {"points +10": 1}, {"points +20": 1}, 0),
        ([STEP, TOLD, happening("points", "+10", 1, "f" * 32)], {}, {}, 1),
    ],
)
def test_a_story_tells_what_is_missing_doubled_or_in_a_foreign_trace(
    found: list[Happening], missing: dict[str, int], doubled: dict[str, int], strayed: int
) -> None:
    told = story(*found)
    assert (dict(told.missing), dict(told.doubled), told.strayed) == (missing, doubled, strayed)
    assert told.complete is (found == [STEP, TOLD, PAID])


def test_the_outcome_counts_expected_against_found(tmp_path: Path) -> None:
    stories = [story(STEP, TOLD, PAID), story(STEP, PAID, PAID)]
    stories[0].told_after = 80.04
    outcome = Outcome(1, stories, NO_SESSION)
    outcome.write(tmp_path / "o.json")
    written = json.loads((tmp_path / "o.json").read_text())
    assert written["complete"] is False
    assert written["totals"]["inbox"] == {"expected": 2, "found": 1}
    assert written["totals"]["points"] == {"expected": 20, "found": 30}
    assert written["median_first_notification_ms"] == 80
    assert written["tickets"][1]["doubled"] == {"points +10": 1}
    assert written["tickets"][0]["events"][1]["trace_id"] == TRACE
    with out.capture() as screen:
        outcome.show()
    assert "points 积分: 20 ≠ 30" in screen.get()
    assert "1 not as expected" in screen.get()


def item(kind: str, service: str, seconds: float, duration: float) -> dict[str, Any]:
    at = (OPENED + timedelta(seconds=seconds)).isoformat()
    return {"at": at, "kind": kind, "service": service, "duration": duration}


async def test_the_first_notification_is_timed_by_what_the_services_recorded() -> None:
    request, told = item("request", "tickets", 0, 20), item("effect", "notifications", 0.06, 12.5)
    whole = [request, item("event", "tickets", 0.02, 5), item("effect", "points", 0.03, 1), told]
    later = item("effect", "notifications", 1, 3)
    flaky = Flaky(
        httpx.Response(404, json={"type": "urn:linli:problem:not-found"}),
        httpx.Response(200, json={"items": [told], "next": None}),
        httpx.Response(200, json={"items": [*whole, later], "next": None}),
    )
    assert await told_after(flaky.actor.api, "t", time.monotonic() + 60) == 72.5
    assert {asked.url.path for asked in flaky.asked} == {"/console/v1/subjects/t"}
    nothing = Flaky(httpx.Response(404, json={}))
    assert await told_after(nothing.actor.api, "t", time.monotonic()) is None


@pytest.mark.parametrize(
    ("tickets", "brief", "timelines"), [(12, False, 13), (12, True, 4), (20, False, 21), (21, False, 4), (2, True, 3)]
)
def test_a_day_in_brief_or_with_many_tickets_shows_a_few_timelines(
    *, tickets: int, brief: bool, timelines: int
) -> None:
    outcome = Outcome(1, [story(STEP, TOLD, PAID)] * tickets, NO_SESSION)
    with out.capture() as screen:
        outcome.show(brief=brief)
    assert screen.get().count("time 时间") == timelines
    assert (f"… and {tickets + 1 - timelines} more" in screen.get()) is (timelines < tickets + 1)
    assert f"{tickets} tickets 工单" in screen.get()


def test_a_narrow_terminal_folds_a_timeline_and_cuts_nothing() -> None:
    longest = happening("notifications", "ticket_assigned_to_you → assignee", 1, "f" * 32)
    screen = StringIO()
    Console(width=80, file=screen).print(_timeline(story(STEP, TOLD, longest)))
    assert "…" not in screen.getvalue()
    folded = "".join(screen.getvalue().split())
    for words in ("告知已受理", "告知待办", "诉求人", "网格员"):
        assert words in folded


async def test_one_looks_until_all_has_arrived_or_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([[STEP], [STEP, TOLD], [STEP, TOLD, PAID]])
    never: list[Any] = []

    async def late() -> list[Happening]:
        return next(looks)

    async def lost() -> list[Happening]:
        never.append(1)
        return [STEP]

    arriving = Story("1", "a", "310104", TRACE, EXPECTED, late)
    await demo._arrive([arriving], lambda: None)
    assert arriving.complete
    monkeypatch.setattr(demo, "_ARRIVAL", 0.3)
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    # A clock that goes on by pauses alone: a busy machine makes longer ones, and then nobody looks twice.
    monkeypatch.setattr(demo, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(demo, "asyncio", SimpleNamespace(sleep=sleep))
    missing = Story("2", "b", "310104", TRACE, EXPECTED, lost)
    await demo._arrive([missing], lambda: None)
    assert not missing.complete
    assert 1 < len(never) < 10
