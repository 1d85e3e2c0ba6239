"""Spans and logs by day, what is known of each trace, and how often each operation ran and for how long."""

from importlib.resources import files

from alembic import op

from linli import migrate

revision = "0001_console"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in files("console").joinpath("migrations/tables.sql").read_text("utf-8").split(";\n\n"):
        op.execute(statement)
    for table in ("span", "log", "trace", "activity"):
        migrate.protect(table, by="district", scoped="SELECT")
    # Of these two it only adds to the days' own tables: see tables.sql.
    for table in ("trace", "activity"):
        op.execute(f"CREATE POLICY {table}_relay ON {table} TO linli_relay USING (true) WITH CHECK (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO linli_relay")
