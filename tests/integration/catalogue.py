"""What PostgreSQL's catalogue must say of every table of every service, so that no street sees another's data."""

import re

import asyncpg

WAYS = {"linli_scoped", "linli_worker", "linli_person"}
OTHERS = {"linli_relay", "linli_issuer"}

# Tables that belong to no unit, and why; everything else is keyed by district.
UNPLACED = {
    "alembic_version": "alembic's own; no role but the owner may touch it",
    "outbox": "a queue in order of its ids; rows leave it within milliseconds",
    "event_log": "append-only, partitioned by day",
    "signing_key": "the platform's own keys",
    "span": "append-only, partitioned by day; found by trace and by subject",
    "log": "append-only, partitioned by day; found by trace",
}
DAYS = re.compile(r"(span|log)_\d{8}")
"""Tables of one day that COPY fills, which PostgreSQL refuses under row-level security: `linli_relay` may insert, and
nobody may do anything else. They are read through the table that they are parts of, which is protected."""
DEFINERS = {"event_log_roll", "telemetry_roll"}
"""Functions that make and drop the tables of days, and take nothing but a number."""

TEAMS = {"case_team"}
"""Tables that say who is on a team: no secret."""
_ON_THE_TEAM = "((current_setting('app.person'::text))::uuid = ANY (members))"
_NOT_PRIVATE = (
    "WHEN 'private'::text THEN ((current_setting('app.person'::text))::uuid = ANY (ARRAY[assignee, reporter]))"
)
_AS_ITS_TICKET = "ticket_seen(district, ticket_id)"

# What holds a policy: a range of units, some grids, or the caller himself.
_HOLDS = (("app.lo", "app.hi"), ("app.grids",), ("app.person",))


async def violations(connection: asyncpg.Connection, service: str) -> list[str]:
    """List everything in a service's database that breaks the rules of isolation."""
    found: list[str] = []
    found += await _tables(connection, service)
    found += await _policies(connection)
    found += await _grants(connection)
    found += await _keys(connection)
    found += await _roles(connection, service)
    return found


async def _tables(connection: asyncpg.Connection, service: str) -> list[str]:
    rows = await connection.fetch(
        "SELECT relname, relrowsecurity, relforcerowsecurity, pg_get_userbyid(relowner) AS owner FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'"
    )
    bare = [row for row in rows if not DAYS.fullmatch(row["relname"])]
    found = [f"{row['relname']}: RLS not enabled" for row in bare if not row["relrowsecurity"]]
    found += [f"{row['relname']}: RLS not forced" for row in bare if not row["relforcerowsecurity"]]
    found += [f"{row['relname']}: owned by {row['owner']}" for row in rows if row["owner"] != f"{service}_owner"]
    views = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm', 'f')"
    )
    return found + [f"{row['relname']}: a view sees with its owner's eyes" for row in views]


async def _policies(connection: asyncpg.Connection) -> list[str]:
    found: list[str] = []
    seen: set[tuple[str, str, str]] = set()
    rows = await connection.fetch("SELECT * FROM pg_policies WHERE schemaname = 'public'")
    confidential = await _having(connection, "members") - TEAMS
    parts = await _having(connection, "ticket_id")
    for row in rows:
        name, roles = f"{row['tablename']}.{row['policyname']}", set(row["roles"])
        if len(roles) != 1 or not roles <= WAYS | OTHERS:
            found.append(f"{name}: for {sorted(roles)}, not for one way of seeing")
            continue
        role = roles.pop()
        if (row["tablename"], role, row["cmd"]) in seen and row["permissive"] == "PERMISSIVE":
            found.append(f"{name}: a second permissive policy for {role} is an OR")
        seen.add((row["tablename"], role, row["cmd"]))
        if role in WAYS:
            found += _conditions(name, role, row)
            if role == "linli_worker" and row["cmd"] in {"ALL", "SELECT"}:
                hides = _hides(row["tablename"], parts)
                found += [f"{name}: what is private is shown to grid workers"] * (hides not in row["qual"])
            if row["tablename"] in confidential and any(
                _ON_THE_TEAM not in condition for condition in (row["qual"], row["with_check"]) if condition
            ):
                found.append(f"{name}: what is confidential is shown to others than its team")
    return found


def _hides(table: str, parts: set[str]) -> str:
    """Give what keeps private tickets, and what belongs to them, from grid workers."""
    if table == "ticket":
        return _NOT_PRIVATE
    return _AS_ITS_TICKET if table in parts else ""


async def _having(connection: asyncpg.Connection, column: str) -> set[str]:
    """Give the tables that have a column: `members` names who alone sees a row, `ticket_id` what it belongs to."""
    rows = await connection.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = $1", column
    )
    return {row["table_name"] for row in rows}


def _conditions(name: str, role: str, row: asyncpg.Record) -> list[str]:
    found: list[str] = []
    for condition in (row["qual"], row["with_check"]):
        if condition is None:
            continue
        if not any(all(f"'{setting}'" in condition for setting in settings) for settings in _HOLDS):
            found.append(f"{name}: {role} is held by nothing in {condition!r}")
        if " OR " in condition or "SELECT" in condition:
            found.append(f"{name}: the condition must be bare: {condition!r}")
    if row["cmd"] in {"ALL", "UPDATE"} and row["with_check"] not in {None, row["qual"]}:
        found.append(f"{name}: what may be written is not what may be seen")
    return found


async def _grants(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        """
        SELECT DISTINCT table_name, grantee, privilege_type FROM (
            SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
            WHERE table_schema = 'public'
            UNION ALL
            SELECT table_name, grantee, privilege_type FROM information_schema.role_column_grants
            WHERE table_schema = 'public'
        ) granted WHERE grantee NOT LIKE '%\\_owner'
        """
    )
    policies = await connection.fetch("SELECT tablename, roles, cmd FROM pg_policies WHERE schemaname = 'public'")
    covered = {
        (row["tablename"], role, command)
        for row in policies
        for role in row["roles"]
        for command in (("SELECT", "INSERT", "UPDATE", "DELETE") if row["cmd"] == "ALL" else (row["cmd"],))
    }
    found: list[str] = []
    for row in rows:
        table, role, privilege = row["table_name"], row["grantee"], row["privilege_type"]
        if DAYS.fullmatch(table):
            if (role, privilege) != ("linli_relay", "INSERT"):
                found.append(f"{table}: {role} has {privilege}")
        elif role not in WAYS | OTHERS:
            found.append(f"{table}: {privilege} granted to {role}")
        elif privilege not in {"SELECT", "INSERT", "UPDATE", "DELETE"}:
            found.append(f"{table}: {role} has {privilege}")
        elif (table, role, privilege) not in covered:
            found.append(f"{table}: {role} has {privilege} and no policy for it")
    granted = {(row["table_name"], row["grantee"]) for row in rows}
    found += [
        f"{row['tablename']}: a policy for {role}, which has no right there"
        for row in policies
        for role in row["roles"]
        if (row["tablename"], role) not in granted
    ]
    return found


async def _keys(connection: asyncpg.Connection) -> list[str]:
    found: list[str] = []
    constraints = await connection.fetch(
        """
        SELECT conrelid::regclass::text AS relation, conname, contype::text,
               (SELECT array_agg(attname::text ORDER BY place) FROM unnest(conkey) WITH ORDINALITY AS k(number, place)
                JOIN pg_attribute ON attrelid = conrelid AND attnum = number) AS columns,
               pg_get_constraintdef(oid) AS definition
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
        """
    )
    for row in constraints:
        if _unplaced(row["relation"]):
            continue
        if row["contype"] == "p" and row["columns"][0] != "district":
            found.append(f"{row['relation']}: the primary key does not start with district")
        if row["contype"] == "u" and "district" not in row["columns"]:
            found.append(f"{row['relation']}.{row['conname']}: unique over all districts")
        if row["contype"] == "f" and row["columns"][0] != "district":
            found.append(f"{row['relation']}.{row['conname']}: a foreign key without district lets a foreign row in")
    indexes = await connection.fetch(
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%UNIQUE%'"
    )
    found += [
        f"{row['indexname']}: unique over all districts"
        for row in indexes
        if not _unplaced(row["tablename"]) and "district" not in row["indexdef"].partition("(")[2]
    ]
    held = {row["relation"] for row in constraints if "district = (unit / " in row["definition"]}
    placed = await connection.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'unit'"
    )
    found += [f"{row['table_name']}: district not held to unit" for row in placed if row["table_name"] not in held]
    keyed = {row["relation"] for row in constraints if row["contype"] == "p"}
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    return found + [
        f"{row['relname']}: no primary key"
        for row in tables
        if row["relname"] not in keyed and not _unplaced(row["relname"])
    ]


def _unplaced(table: str) -> bool:
    return table in UNPLACED or table.startswith("event_log_") or bool(DAYS.fullmatch(table))


async def _roles(connection: asyncpg.Connection, service: str) -> list[str]:
    found: list[str] = []
    rows = await connection.fetch(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin, rolconfig FROM pg_roles"
        " WHERE rolname = ANY($1) OR rolname LIKE 'linli\\_%'",
        [f"{service}_app", f"{service}_relay", f"{service}_owner"],
    )
    for row in rows:
        if row["rolsuper"] or row["rolbypassrls"] or row["rolcreaterole"] or row["rolcreatedb"]:
            found.append(f"{row['rolname']}: stands above row-level security")
        if row["rolname"].startswith("linli_") and row["rolcanlogin"]:
            found.append(f"{row['rolname']}: a way of seeing can't log in")
        if row["rolname"] == f"{service}_app" and "plan_cache_mode=force_custom_plan" not in (row["rolconfig"] or []):
            found.append(f"{row['rolname']}: keeps plans made under another scope")
    members = await connection.fetch(
        "SELECT roleid::regrole::text AS way, inherit_option, admin_option FROM pg_auth_members"
        " WHERE member = $1::text::regrole",
        f"{service}_app",
    )
    allowed = WAYS | ({"linli_issuer"} if service == "directory" else set())
    found += [f"{service}_app: may become {row['way']}" for row in members if row["way"] not in allowed]
    found += [
        f"{service}_app: has the rights of {row['way']} without asking"
        for row in members
        if row["inherit_option"] or row["admin_option"]
    ]
    definers = await connection.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    )
    found += [f"{row['proname']}: runs with its owner's rights" for row in definers if row["proname"] not in DEFINERS]
    return found
