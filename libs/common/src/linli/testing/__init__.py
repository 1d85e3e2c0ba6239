"""A pytest plugin with real servers: PostgreSQL and NATS for each worker, and a service running on them.

Every module gets fresh databases, copied from a template that is migrated once; its rows are its own.
"""

from collections.abc import Iterator

import pytest

from linli.testing.servers import (
    Authority,
    NatsServer,
    PostgresServer,
    address_of,
    free_port,
    own_postgres,
    tcp_postgres,
)
from linli.testing.sharing import pytest_collection_modifyitems
from linli.testing.stage import CreateApp, Running, Stage, eventually, tell

__all__ = [
    "Authority",
    "CreateApp",
    "NatsServer",
    "PostgresServer",
    "Running",
    "Stage",
    "address_of",
    "eventually",
    "free_port",
    "own_postgres",
    "pytest_collection_modifyitems",
    "tcp_postgres",
    "tell",
]


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Issue tokens that the services under test accept."""
    found = Authority()
    yield found
    found.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server for this worker; gives its address with `{user}` and `{database}` to fill in."""
    with own_postgres() as server:
        yield address_of(server)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a NATS server with JetStream for this worker."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def stage(postgres: str, nats_server: NatsServer, authority: Authority) -> Stage:
    """Run services on this worker's servers."""
    return Stage(postgres, nats_server, authority)
