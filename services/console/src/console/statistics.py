"""Rates, errors and quantiles, worked out of the counts by minute."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from console import schemas
from console.access import Window
from console.batch import duration_of
from console.models import Activity, Kind

_DAY: Final = timedelta(days=1)
_HOURS: Final = 24
_MOST: Final = 500
_GATEWAY: Final = "gateway"
_HEARD: Final = re.compile(r"process linli\.(\w+)\.")
"""Who told: the publisher stands in the subject of its events."""


class Sums:
    """How often, how often in vain, and how long."""

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.buckets: Counter[int] = Counter()

    def add(self, bucket: int, count: int, errors: int) -> None:
        """Take a class of durations."""
        self.count += count
        self.errors += errors
        self.buckets[bucket] += count

    def merge(self, other: "Sums") -> None:
        """Take what another has."""
        self.count += other.count
        self.errors += other.errors
        self.buckets.update(other.buckets)

    def quantile(self, share: float) -> float | None:
        """Give the duration that this share did not exceed, None of nothing."""
        wanted, seen = share * self.count, 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return duration_of(bucket)
        return None


class _Key(NamedTuple):
    service: str
    operation: str
    kind: int


async def _sums(session: AsyncSession, district: int, window: Window, service: str | None) -> dict[_Key, Sums]:
    statement = (
        select(Activity.service, Activity.operation, Activity.kind, Activity.bucket, *_COUNTED)
        .where(*_within(district, window))
        .group_by(Activity.service, Activity.operation, Activity.kind, Activity.bucket)
    )
    if service is not None:
        statement = statement.where(Activity.service == service)
    found: defaultdict[_Key, Sums] = defaultdict(Sums)
    for name, operation, kind, bucket, count, errors in await session.execute(statement):
        found[_Key(name, operation, kind)].add(bucket, int(count), int(errors))
    return found


_COUNTED: Final = (func.sum(Activity.count), func.sum(Activity.errors))


def _within(district: int, window: Window) -> tuple[ColumnElement[bool], ...]:
    minute = window.since.replace(second=0, microsecond=0)
    return Activity.district == district, Activity.at >= minute, Activity.at < window.until


async def services(session: AsyncSession, district: int, window: Window) -> schemas.Services:
    """List services and their operations."""
    statement = (
        select(Activity.service, Activity.operation, func.max(Activity.at))
        .where(*_within(district, window))
        .group_by(Activity.service, Activity.operation)
        .order_by(Activity.service, Activity.operation)
    )
    found: defaultdict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for service, operation, at in await session.execute(statement):
        found[service].append((operation, at))
    return schemas.Services(
        items=[
            schemas.Service(service=service, operations=[name for name, _ in seen], last_seen=max(at for _, at in seen))
            for service, seen in found.items()
        ]
    )


async def service_map(session: AsyncSession, district: int, window: Window) -> schemas.Map:
    """Draw who calls whom and who hears from whom."""
    nodes: defaultdict[str, Sums] = defaultdict(Sums)
    edges: defaultdict[tuple[str, str, str], Sums] = defaultdict(Sums)
    for key, sums in (await _sums(session, district, window, None)).items():
        nodes[key.service].merge(sums)
        heard = _HEARD.match(key.operation)
        if key.kind == Kind.SERVER:
            # Services don't call each other: all requests come through the gateway.
            edges[_GATEWAY, key.service, "http"].merge(sums)
            nodes[_GATEWAY].merge(sums)
        elif heard:
            edges[heard[1], key.service, "event"].merge(sums)
            nodes[heard[1]].merge(Sums())  # it may only have told, and nothing else
    seconds = max(60.0, (window.until - window.since).total_seconds())
    return schemas.Map(
        nodes=[schemas.Node(service=service, **_rates(sums, seconds)) for service, sums in sorted(nodes.items())],
        edges=[
            schemas.Edge.model_validate({"from": one, "to": other, "kind": kind, **_rates(sums, seconds)})
            for (one, other, kind), sums in sorted(edges.items())
        ],
    )


def _rates(sums: Sums, seconds: float) -> dict[str, float | None]:
    return {"rate": sums.count / seconds, "errors": sums.errors / seconds, "p95": sums.quantile(0.95)}


async def operations(session: AsyncSession, district: int, service: str | None, window: Window) -> schemas.Operations:
    """Set every operation beside itself a day ago."""
    today = await _sums(session, district, window, service)
    before = await _sums(session, district, Window(window.since - _DAY, window.until - _DAY), service)
    busiest = sorted(today.items(), key=lambda pair: pair[1].count, reverse=True)[:_MOST]
    return schemas.Operations(
        items=[
            schemas.Operation(
                service=key.service,
                operation=key.operation,
                count=sums.count,
                errors=sums.errors,
                p50=sums.quantile(0.5) or 0,
                p95=sums.quantile(0.95) or 0,
                yesterday_p50=before[key].quantile(0.5) if key in before else None,
                yesterday_p95=before[key].quantile(0.95) if key in before else None,
            )
            for key, sums in busiest
        ]
    )


async def compare(session: AsyncSession, district: int, service: str, operation: str, now: datetime) -> schemas.Hours:
    """Set the last 24 hours of an operation beside the 24 before."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS - 1)
    hour = func.date_trunc("hour", Activity.at, "UTC")
    statement = (
        select(hour, Activity.bucket, *_COUNTED)
        .where(
            *_within(district, Window(first - _DAY, now)), Activity.service == service, Activity.operation == operation
        )
        .group_by(hour, Activity.bucket)
    )
    found = _by_hour(await session.execute(statement))
    hours = [first + timedelta(hours=number) for number in range(_HOURS)]
    return schemas.Hours(
        hours=[
            schemas.Hour(
                at=at,
                count=found[at].count,
                p50=found[at].quantile(0.5),
                p95=found[at].quantile(0.95),
                yesterday_p50=found[at - _DAY].quantile(0.5),
                yesterday_p95=found[at - _DAY].quantile(0.95),
            )
            for at in hours
        ]
    )


def _by_hour(rows: Iterable[Row[tuple[datetime, int, int, int]]]) -> defaultdict[datetime, Sums]:
    found: defaultdict[datetime, Sums] = defaultdict(Sums)
    for at, bucket, count, errors in rows:
        found[at].add(bucket, int(count), int(errors))
    return found
