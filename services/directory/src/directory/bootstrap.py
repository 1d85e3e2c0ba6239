"""`python -m directory.bootstrap`: makes the platform's own client, which creates everything else; safe to run again.

It takes its secret from `LINLI_PLATFORM_CLIENT_SECRET` or a file of that name in /run/secrets.
"""

import asyncio
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, SecretStr
from sqlalchemy.dialects.postgresql import insert

from directory.models import AppClient
from directory.operations.clients import digest
from linli import units
from linli.db import Scope, create_engine, create_sessions, transaction
from linli.settings import Settings

PLATFORM_CLIENT: Final = UUID("00000000-0000-7000-8000-000000000001")


class BootstrapSettings(Settings):
    """The service's settings, and the platform client's secret."""

    platform_client_secret: Annotated[SecretStr, Field(min_length=16)]


async def bootstrap(settings: BootstrapSettings) -> None:
    """Make the platform's client, or give it the secret and roles it should have."""
    wanted = {
        "unit": units.PLATFORM,
        "name": "platform",
        "secret_sha256": digest(settings.platform_client_secret.get_secret_value()),
        "roles": ["operator"],
        "active": True,
    }
    statement = insert(AppClient).values(district=0, id=PLATFORM_CLIENT, version=1, **wanted)
    engine = create_engine(settings, "directory")
    sessions = create_sessions({None: engine}, wake=lambda _: None)
    try:
        async with transaction(sessions, Scope.of_unit(units.PLATFORM)) as session:
            await session.execute(statement.on_conflict_do_update(index_elements=["district", "id"], set_=wanted))
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(bootstrap(BootstrapSettings()))
