"""Prints the SQL of a service's revisions as JSON, by revision; run with one version's packages on the path."""

import io
import json
import sys
from importlib.resources import files

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory


def render(service: str) -> dict[str, str]:
    """Render every revision as `linli.migrate` runs it: one transaction each, unless it leaves it."""
    config = Config()
    config.set_main_option("script_location", str(files(service).joinpath("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    rendered: dict[str, str] = {}
    for one in reversed(list(script.walk_revisions())):
        before = str(one.down_revision or "base")
        buffer = io.StringIO()

        def step(_: object, __: object, after: str = one.revision, before: str = before) -> list[object]:
            return list(script._upgrade_revs(after, before))

        with EnvironmentContext(config, script, fn=step, as_sql=True, starting_rev=before) as environment:
            environment.configure(dialect_name="postgresql", output_buffer=buffer, transaction_per_migration=True)
            with environment.begin_transaction():
                environment.run_migrations()
        rendered[one.revision] = buffer.getvalue()
    return rendered


print(json.dumps({service: render(service) for service in sys.argv[1:]}))  # noqa: T201 read by the test
