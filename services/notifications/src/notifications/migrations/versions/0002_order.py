"""An inbox in the order in which things happened, not in which they were heard of."""

from linli import migrate

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # ix_notification_recipient goes with a later release: the one before this reads by it.
    migrate.index("ix_notification_occurred", "notification (recipient, occurred_at, id)")
