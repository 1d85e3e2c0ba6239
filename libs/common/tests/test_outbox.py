from uuid import uuid4

import pytest
from libs.common.tests.conftest import DISTRICT, Chassis, opened

from linli.cloudevents import headers_of, read
from linli.db import Scope, transaction
from linli.outbox import publish


class TurnedBackError(Exception):
    pass


async def test_an_event_commits_with_its_change_and_wakes_the_relay(chassis: Chassis) -> None:
    async with transaction(chassis.sessions, Scope.of_district(DISTRICT)) as session:
        await publish(session, opened())
        assert await chassis.count("outbox") == 0
        assert chassis.wakes == 0
    assert await chassis.count("outbox") == 1
    assert chassis.wakes == 1


async def test_an_event_is_rolled_back_with_its_change(chassis: Chassis) -> None:
    async def turn_back() -> None:
        async with transaction(chassis.sessions, Scope.of_district(DISTRICT)) as session:
            await publish(session, opened())
            raise TurnedBackError

    with pytest.raises(TurnedBackError):
        await turn_back()
    assert await chassis.count("outbox") == 0
    assert chassis.wakes == 0


async def test_events_of_one_aggregate_share_a_shard(chassis: Chassis) -> None:
    ticket = uuid4()
    await chassis.publish(*(opened(ticket, sequence) for sequence in range(1, 20)))
    await chassis.publish(*(opened() for _ in range(200)))
    assert (
        await chassis.database.fetchval("SELECT count(DISTINCT shard) FROM outbox WHERE aggregate = $1", str(ticket))
        == 1
    )
    assert await chassis.database.fetchval("SELECT count(DISTINCT shard) FROM outbox") == 8


async def test_a_stored_event_is_a_readable_cloud_event(chassis: Chassis) -> None:
    event = opened()
    await chassis.publish(event)
    row = await chassis.database.fetchrow("SELECT * FROM outbox")
    assert read(row["subject"], headers_of(event), row["payload"]) == event
    assert row["subject"] == "linli.tickets.310104.opened.v1"


async def test_an_event_of_a_foreign_district_is_refused_by_the_database(chassis: Chassis) -> None:
    foreign = opened().model_copy(update={"unit": 310115001001001000})
    with pytest.raises(Exception, match="row-level security"):
        await chassis.publish(foreign)
