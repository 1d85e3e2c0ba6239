"""A pytest plugin with real servers: PostgreSQL and NATS for each worker, a service running on them, an S3 store.

Every module gets fresh databases, copied from a template that is migrated once; its rows are its own.
"""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from hypothesis import settings

from linli.testing.plans import rows_read
from linli.testing.servers import (
    Authority,
    NatsServer,
    PostgresServer,
    address_of,
    free_port,
    make_user,
    own_postgres,
    tcp_postgres,
)
from linli.testing.sharing import pytest_collection_modifyitems
from linli.testing.stage import CreateApp, Running, Stage, eventually, fresh_streams, tell
from linli.testing.watch import Watch

__all__ = [
    "Authority",
    "CreateApp",
    "NatsServer",
    "PostgresServer",
    "Running",
    "Stage",
    "Watch",
    "address_of",
    "eventually",
    "free_port",
    "fresh_streams",
    "own_postgres",
    "pytest_collection_modifyitems",
    "pytest_sessionstart",
    "rows_read",
    "tcp_postgres",
    "tell",
]

# By default an example that takes 200 ms fails, and that may be nothing but a machine that is busy.
settings.register_profile("linli", deadline=None)
settings.load_profile("linli")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Make what all workers need before there are any: two at once would both find that it is missing."""
    make_user()


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


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Run an S3 store with an empty bucket; gives its address, `s3://...`, and the environment says where that is."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 slow to load

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    bucket = f"bucket-{uuid4()}"  # stores of one process share their content
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        # Its first request has it load what S3 is made of.
        httpx.put(f"http://{host}:{port}/{bucket}", trust_env=False, timeout=60).raise_for_status()
        yield f"s3://{bucket}"
    server.stop()


@pytest.fixture(scope="session")
def stage(postgres: str, nats_server: NatsServer, authority: Authority) -> Stage:
    """Run services on this worker's servers."""
    return Stage(postgres, nats_server, authority)
