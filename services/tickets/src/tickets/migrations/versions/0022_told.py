"""Who answers for which department is no secret in its district: whoever reports something for one has them told."""

from alembic import op

from linli import migrate

revision = "0022"
down_revision = "0021"

_DISTRICTS = (
    "district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer"
    " AND (current_setting('app.hi')::bigint / 1000000000000)::integer"
)


def upgrade() -> None:
    for way in ("worker", "person"):
        migrate.policy("department_member", way, _DISTRICTS)
        op.execute(f"GRANT SELECT ON department_member TO linli_{way}")
