"""Rates, quantiles, and today beside yesterday."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.console.tests.conftest import XUHUI, Console

from console.batch import bucket_of, duration_of
from console.statistics import Sums

OPERATION = ("tickets", "POST /tickets/v1/tickets")


@given(st.floats(min_value=0.02, max_value=10**7))
def test_a_duration_is_kept_to_five_percent(duration: float) -> None:
    assert duration_of(bucket_of(duration)) == pytest.approx(duration, rel=0.05)


@given(st.floats(max_value=0.01, allow_nan=False))
def test_the_shortest_durations_are_one_class(duration: float) -> None:
    assert bucket_of(duration) == 0


def test_quantiles_are_those_of_the_durations() -> None:
    durations = [random.lognormvariate(3, 1) for _ in range(5000)]
    sums = Sums()
    for duration in durations:
        sums.add(bucket_of(duration), 1, 0)
    durations.sort()
    for share in (0.5, 0.95, 0.99):
        assert sums.quantile(share) == pytest.approx(durations[int(share * 5000) - 1], rel=0.06)
    assert Sums().quantile(0.5) is None


async def record(console: Console, ago: timedelta, duration: float, count: int, errors: int = 0) -> None:
    at = (datetime.now(UTC) - ago).replace(second=0, microsecond=0)
    await console.database.execute(
        "INSERT INTO activity VALUES (0, $1, $2, $3, 2, $4, $5, $6)", at, *OPERATION, bucket_of(duration), count, errors
    )


async def test_an_operation_stands_beside_itself_a_day_ago(console: Console) -> None:
    day, minutes = timedelta(days=1), timedelta(minutes=10)
    await record(console, minutes, 200, 90, 3)
    await record(console, minutes, 900, 10)
    await record(console, day + minutes, 100, 50)
    await record(console, day + timedelta(hours=5), 5, 50)
    (item,) = (await console.get("/operations"))["items"]
    assert (item["service"], item["operation"], item["count"], item["errors"]) == (*OPERATION, 100, 3)
    assert item["p50"] == pytest.approx(200, rel=0.05)
    assert item["p95"] == pytest.approx(900, rel=0.05)
    assert item["yesterday_p50"] == item["yesterday_p95"] == pytest.approx(100, rel=0.05)
    assert (await console.get("/operations", service="points"))["items"] == []
    hours = (await console.get("/operations/compare", service=OPERATION[0], operation=OPERATION[1]))["hours"]
    assert len(hours) == 24
    assert sum(hour["count"] for hour in hours) == 100
    (busy,) = [hour for hour in hours if hour["count"]]
    assert busy["p50"] == item["p50"]
    assert [hour["yesterday_p50"] for hour in hours if hour["yesterday_p50"]] == [
        pytest.approx(5, rel=0.05),
        pytest.approx(100, rel=0.05),
    ]


async def test_the_map_shows_who_calls_and_who_hears(console: Console) -> None:
    await asyncio.gather(console.report(fails=True), console.report())
    await console.written(8)
    found = await console.get("/map")
    edges = {(edge["from"], edge["to"], edge["kind"]): edge for edge in found["edges"]}
    assert edges.keys() == {("gateway", "tickets", "http"), ("tickets", "notifications", "event")}
    heard = edges["tickets", "notifications", "event"]
    assert heard["rate"] == pytest.approx(2 / 900)
    assert heard["errors"] == pytest.approx(1 / 900)
    assert {node["service"] for node in found["nodes"]} == {"gateway", "tickets", "notifications"}
    assert await console.get("/map", at=str(XUHUI)) == found
    assert (await console.get("/map", at="510105")) == {"nodes": [], "edges": []}
