"""Databases and roles are made as often as anybody likes, with the same result."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from uuid import uuid4

import asyncpg
import pytest

from linli import bootstrap
from linli.testing import Stage

ROLES = """
    SELECT rolname, rolsuper, rolcanlogin, rolbypassrls, rolconfig::text,
        (SELECT array_agg(roleid::regrole::text || inherit_option || set_option ORDER BY roleid::regrole::text)
         FROM pg_auth_members WHERE member = pg_roles.oid)
    FROM pg_roles WHERE rolname LIKE $1 OR rolname LIKE 'linli%' ORDER BY rolname"""


@pytest.fixture
def name() -> str:
    return f"boot_{uuid4().hex[:8]}"


def passwords(name: str) -> dict[str, str]:
    return {login: secrets.token_hex() for login in bootstrap.logins(name)}


async def test_a_second_time_changes_nothing(stage: Stage, name: str) -> None:
    admin = stage.url("postgres", "postgres")
    connection = await asyncpg.connect(admin)
    known = passwords(name)
    await bootstrap.provision(admin, [name], known)
    before = await connection.fetch(ROLES, f"{name}%")
    inside = await asyncpg.connect(stage.url(f"{name}_owner", name))
    await inside.execute("CREATE TABLE kept AS SELECT 1 AS one")
    await bootstrap.provision(admin, [name], known)
    assert await connection.fetch(ROLES, f"{name}%") == before
    assert await inside.fetchval("SELECT one FROM kept") == 1
    await inside.close()
    await connection.close()


async def test_several_at_once_get_in_nobodys_way(stage: Stage) -> None:
    names = [f"boot_{uuid4().hex[:8]}" for _ in range(2)]
    known = {login: password for name in names for login, password in passwords(name).items()}
    await asyncio.gather(*(bootstrap.provision(stage.url("postgres", "postgres"), names, known) for _ in range(3)))


async def test_logins_have_no_rights_but_to_become_a_way_of_seeing(stage: Stage, name: str) -> None:
    await bootstrap.provision(stage.url("postgres", "postgres"), [name], passwords(name))
    app = await asyncpg.connect(stage.url(f"{name}_app", name))
    for way in bootstrap.WAYS:
        await app.execute(f"SET ROLE {way}")
    await app.execute("RESET ROLE")
    for statement in (
        "SET ROLE linli_relay",
        "SET ROLE linli_issuer",
        f"SET ROLE {name}_owner",
        "CREATE TABLE x (y int)",
        "CREATE TEMP TABLE x (y int)",
        "CREATE SCHEMA x",
        "CREATE ROLE x",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError)):
            await app.execute(statement)
    assert await app.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
    await app.close()


@pytest.mark.parametrize("password", ["a'b", "a\\b", "'; DROP ROLE x; --", "密码", "%s {x} $1"])
async def test_any_password_is_taken_as_it_is(stage: Stage, name: str, password: str) -> None:
    admin = stage.url("postgres", "postgres")
    await bootstrap.provision(admin, [name], dict.fromkeys(bootstrap.logins(name), password))
    connection = await asyncpg.connect(admin)
    stored = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", f"{name}_app")
    await connection.close()
    assert fits(stored, password)


def fits(stored: str, password: str) -> bool:
    """Check a password against what PostgreSQL keeps of it (RFC 5803), as its socket asks for none here."""
    _, parameters, keys = stored.split("$")
    rounds, salt = parameters.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(key).digest()).decode() == keys.split(":")[0]
