"""What an operator reads when a table is in use."""

import pytest

from linli import migrate
from linli_cli.console import Trouble
from linli_cli.stack.database import migrate_one


def test_a_migration_that_found_a_table_in_use_says_by_whom_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use(service: str, _: str) -> None:
        raise migrate.TableInUse(service, ["pid 4711 (tickets_app, application tickets)"])

    monkeypatch.setattr(migrate, "upgrade", in_use)
    with pytest.raises(Trouble, match=r"tickets: .*changed nothing\. Held by pid 4711") as trouble:
        migrate_one("tickets", "postgresql://nowhere")
    assert "占用者：pid 4711" in trouble.value.chinese
    assert "pg_terminate_backend" in trouble.value.hint
