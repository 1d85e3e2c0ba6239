"""Private tickets, and what belongs to them, are hidden from grid workers by the database itself."""

from alembic import op

from linli import migrate

revision = "0012"
down_revision = "0011"

_GRIDS = "unit_grid = ANY (current_setting('app.grids')::bigint[])"
_SEEN = "ticket_seen(district, ticket_id)"
_HIS = (
    f"{_GRIDS} AND CASE visibility WHEN 'private'"
    " THEN current_setting('app.person')::uuid = ANY (ARRAY[assignee, reporter]) ELSE true END"
)


def upgrade() -> None:
    op.execute(
        "-- narrower: the released code takes in nothing private, and shows its workers no more than it should\n"
        "-- squawk-ignore ban-alter-policy-condition\n"
        f"ALTER POLICY ticket_worker ON ticket USING ({_HIS}) WITH CHECK ({_HIS})"
    )
    # With the rights of whoever asks: what he sees of tickets is said in one place, by their own policies. The role's
    # custom plans would have it planned anew for each row.
    op.execute(
        "CREATE FUNCTION ticket_seen(of_district integer, of_ticket uuid) RETURNS boolean"
        " STABLE PARALLEL SAFE COST 1000 SET plan_cache_mode = force_generic_plan"
        " RETURN EXISTS (SELECT FROM ticket WHERE district = of_district AND id = of_ticket)"
    )
    _as_its_ticket("ticket_entry", "INSERT")
    _as_its_ticket("ticket_follower", "INSERT")
    _as_its_ticket("ticket_file", "INSERT", "UPDATE")
    _as_its_ticket("whistle")


def _as_its_ticket(table: str, *writes: str) -> None:
    """Show grid workers of a table what belongs to tickets that they see.

    What is written is held to their grids as before: it may come in the same statement as its ticket, which is not to
    be seen yet.
    """
    op.execute(
        "-- another takes its place in the same transaction\n"
        f"-- squawk-ignore ban-drop-policy\nDROP POLICY {table}_worker ON {table}"
    )
    migrate.policy_for(table, "worker", "SELECT", f"{_GRIDS} AND {_SEEN}")
    for act in writes:
        migrate.policy_for(table, "worker", act, _GRIDS)
