"""Every server of the map is prepared, and a map takes effect only when every district's rows are where it says."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from linli import bootstrap
from linli.shards import Server, Shards
from linli.testing import PostgresServer, tcp_postgres
from linli_cli.console import Trouble
from linli_cli.deploy import jobs, keys, placement
from linli_cli.home import APPS, Home

pytestmark = pytest.mark.xdist_group("placement")

HOME, AWAY, THIRD = 310104, 310115, 310101
ADD = "INSERT INTO known_unit VALUES ({0}, {0}000000000000, 'district', 'x', true, 1)"


@dataclass
class Deployment:
    """A deployment in containers as its jobs see it, with two database servers."""

    first: PostgresServer
    second: PostgresServer
    secrets: Path
    patch: pytest.MonkeyPatch

    def told(self, *districts: int) -> None:
        self.patch.setenv("LINLI_SHARDS", json.dumps({self.second.address: districts}))

    def fetch(self, server: Server, database: str, query: str) -> list[Any]:
        async def ask() -> list[Any]:
            url = Shards.at(keys.superuser_url(self.secrets), server)
            connection = await asyncpg.connect(url, database=database)
            try:
                return [row[0] for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    with tcp_postgres() as first, tcp_postgres() as second, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_POSTGRES", first.address)
        patch.setattr(jobs, "_SECRETS", folder / "secrets")
        (folder / "secrets").mkdir()
        keys.make(Home(folder, 8080))
        found = Deployment(first, second, folder / "secrets", patch)
        found.told(AWAY)
        jobs.provision()
        jobs.migrate()
        yield found


@pytest.fixture
def deployment(prepared: Deployment) -> Iterator[Deployment]:
    """The deployment without any rows, told that one district lives on the second server."""
    for server in (None, prepared.second.address):
        for service in ("tickets", "points"):
            prepared.fetch(server, service, "DELETE FROM known_unit")
    prepared.told(AWAY)
    jobs.provision()
    yield prepared
    prepared.patch.delenv("LINLI_SHARDS", raising=False)


def test_every_server_gets_the_same_databases_but_the_directorys(deployment: Deployment) -> None:
    names = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
    assert set(deployment.fetch(None, "postgres", names)) == set(APPS)
    assert set(deployment.fetch(deployment.second.address, "postgres", names)) == set(placement.SHARDED)
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    for service in placement.SHARDED:
        at_home = set(deployment.fetch(None, service, tables))
        assert "outbox" in at_home
        assert set(deployment.fetch(deployment.second.address, service, tables)) == at_home
    roles = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
    logins = {login for service in placement.SHARDED for login in bootstrap.logins(service)}
    assert set(deployment.fetch(deployment.second.address, "postgres", roles)) == logins


@pytest.mark.parametrize("service", placement.SHARDED)
def test_all_rows_of_a_district_are_looked_for_but_those_that_are_on_their_way_out(
    deployment: Deployment, service: str
) -> None:
    with_district = (
        "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'district'"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    looked_at = set(deployment.fetch(None, service, placement._TABLES))
    assert set(deployment.fetch(None, service, with_district)) - looked_at == {"outbox", "event_log"}


def test_what_lies_where_the_map_says_is_well(deployment: Deployment) -> None:
    deployment.fetch(None, "tickets", ADD.format(HOME))
    deployment.fetch(deployment.second.address, "tickets", ADD.format(AWAY))
    jobs.provision()


@pytest.mark.parametrize(("row", "away"), [(AWAY, False), (HOME, True)])
def test_a_map_that_would_hide_rows_is_refused_and_changes_nothing(
    deployment: Deployment, row: int, *, away: bool
) -> None:
    server = deployment.second.address if away else None
    deployment.fetch(server, "points", ADD.format(row))
    deployment.fetch(None, "postgres", "ALTER ROLE points_app RESET plan_cache_mode")
    with pytest.raises(Trouble, match=f"district {row} has rows on") as refused:
        jobs.provision()
    assert "points" in refused.value.english
    assert f"区 {row}" in refused.value.chinese
    assert "export" in refused.value.hint
    settings = "SELECT rolconfig FROM pg_roles WHERE rolname = 'points_app'"
    assert deployment.fetch(None, "postgres", settings) == [None]
    deployment.fetch(server, "points", "DELETE FROM known_unit")
    jobs.provision()
    assert deployment.fetch(None, "postgres", settings) == [["plan_cache_mode=force_custom_plan"]]


def test_districts_are_named_each_with_where_it_is_and_where_it_should_be(deployment: Deployment) -> None:
    deployment.fetch(None, "tickets", ADD.format(AWAY))
    deployment.fetch(None, "points", ADD.format(AWAY))
    deployment.fetch(deployment.second.address, "tickets", ADD.format(THIRD))
    with pytest.raises(Trouble) as refused:
        jobs.provision()
    second = deployment.second.address
    assert (
        f"district {AWAY} has rows on LINLI_DATABASE_URL (tickets, points), but LINLI_SHARDS has it on {second}"
        in refused.value.english
    )
    assert f"district {THIRD} has rows on {second} (tickets)" in refused.value.english


def test_a_server_with_rows_can_not_be_forgotten(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.fetch(deployment.second.address, "tickets", ADD.format(AWAY))
    deployment.patch.setenv("LINLI_SHARDS", "")
    with pytest.raises(Trouble, match=f"district {AWAY} has rows on {deployment.second.address}"):
        jobs.provision()
    deployment.second.stop()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(placement, "_WAIT", 1.0)  # here alone: one that answers may take longer on a busy machine
            with pytest.raises(Trouble, match="does not answer"):
                jobs.provision()
    finally:
        deployment.second.start()
    deployment.fetch(deployment.second.address, "tickets", "DELETE FROM known_unit")
    jobs.provision()
    # From now on it is no longer needed.
    deployment.second.stop()
    try:
        jobs.provision()
    finally:
        deployment.second.start()


def test_a_map_that_is_none_is_told_in_both_languages(deployment: Deployment) -> None:
    deployment.patch.setenv("LINLI_SHARDS", '{"postgres-2": [310104]}')
    for job in (jobs.provision, jobs.migrate):
        with pytest.raises(Trouble, match="no host:port") as refused:
            job()
        assert "LINLI_SHARDS 有误" in refused.value.chinese
