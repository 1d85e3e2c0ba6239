"""Databases and roles of the services, made by the database's superuser; safe to run again.

Each service has its own database, an owner that migrates it, a login for the service that may only become one of
the ways of seeing, and a login for the relay. PostgreSQL keeps roles for the whole cluster, rights per database.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import asyncpg

WAYS: Final = ("linli_scoped", "linli_worker", "linli_person")
"""What a transaction of any service may become."""
_LOCK: Final = 7105636
_GROUPS: Final = (*WAYS, "linli_issuer", "linli_relay")


def logins(service: str) -> tuple[str, str, str]:
    """Name a service's logins: owner, app and relay."""
    return f"{service}_owner", f"{service}_app", f"{service}_relay"


async def provision(superuser_url: str, services: Iterable[str], passwords: Mapping[str, str]) -> None:
    """Make every service's database and roles, and set the passwords of its logins.

    Args:
        superuser_url: `postgresql://` address of a superuser and any database.
        services: their names, which are also their databases' names.
        passwords: one for each login of each service.
    """
    connection = await asyncpg.connect(superuser_url, timeout=10)
    try:
        # Two at once would both find a role missing; the lock ends with the connection.
        await connection.execute(f"SET lock_timeout = '60s'; SELECT pg_advisory_lock({_LOCK})")
        for group in _GROUPS:
            await _ensure_role(connection, group, "NOLOGIN")
        for service in services:
            for login in logins(service):
                await _ensure_role(connection, login, "LOGIN")
                # PostgreSQL quotes it itself: ALTER ROLE takes no parameters.
                alter = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)"
                await connection.execute(await connection.fetchval(alter, login, passwords[login]))
            await _grant_roles(connection, service)
            await _ensure_database(connection, service, superuser_url)
    finally:
        await connection.close()


async def _ensure_role(connection: asyncpg.Connection, role: str, login: str) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} {login} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")


async def _grant_roles(connection: asyncpg.Connection, service: str) -> None:
    owner, app, relay = logins(service)
    ways = (*WAYS, "linli_issuer") if service == "directory" else WAYS
    for way in ways:
        await connection.execute(f"GRANT {way} TO {app} WITH INHERIT FALSE, SET TRUE")
    await connection.execute(f"GRANT linli_relay TO {relay} WITH INHERIT TRUE, SET FALSE")
    # It inherits next to nothing, but sees what the service's sessions are doing when they hold up its migration.
    await connection.execute(f"GRANT {app} TO {owner} WITH INHERIT TRUE, SET FALSE")
    # A plan made under a narrow scope and kept was measured 240 times slower under a wide one.
    await connection.execute(f"ALTER ROLE {app} SET plan_cache_mode = force_custom_plan")


async def _ensure_database(connection: asyncpg.Connection, service: str, superuser_url: str) -> None:
    owner, app, relay = logins(service)
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", service):
        await connection.execute(f"CREATE DATABASE {service} OWNER {owner}")
    await connection.execute(f"REVOKE ALL ON DATABASE {service} FROM PUBLIC")
    await connection.execute(f"GRANT CONNECT ON DATABASE {service} TO {app}, {relay}")
    inside = await asyncpg.connect(superuser_url, database=service, timeout=10)
    try:
        await inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await inside.execute(f"ALTER SCHEMA public OWNER TO {owner}")
    finally:
        await inside.close()
