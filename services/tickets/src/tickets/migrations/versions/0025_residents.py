"""Residents see what they have reported themselves, not what they once entered or split at work."""

from alembic import op

from linli import migrate

revision = "0025"
down_revision = "0024"

_OWN = (
    "unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint"
    " AND reporter = current_setting('app.person')::uuid"
)
_REPORTED = f"{_OWN} AND parent IS NULL AND source <> ALL ('{{hotline,patrol}}'::text[])"
_SEEN = "ticket_seen(district, ticket_id)"


def upgrade() -> None:
    op.execute(
        "-- narrower: whoever is in office sees these by where they are, and nobody else should\n"
        "-- squawk-ignore ban-alter-policy-condition\n"
        f"ALTER POLICY ticket_person ON ticket USING ({_REPORTED}) WITH CHECK ({_REPORTED})"
    )
    _as_its_ticket("ticket_entry", "INSERT")
    _as_its_ticket("ticket_follower")
    _as_its_ticket("ticket_file", "INSERT", "UPDATE")


def _as_its_ticket(table: str, *writes: str) -> None:
    """Show residents of a table what belongs to tickets that they see; what is written is held to them as before."""
    op.execute(
        "-- another takes its place in the same transaction\n"
        f"-- squawk-ignore ban-drop-policy\nDROP POLICY {table}_person ON {table}"
    )
    migrate.policy_for(table, "person", "SELECT", f"{_OWN} AND {_SEEN}")
    for act in writes:
        migrate.policy_for(table, "person", act, _OWN)
