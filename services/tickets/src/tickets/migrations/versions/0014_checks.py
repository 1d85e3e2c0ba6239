"""What holds for a ticket's row, checked by one function: fourteen CHECKs were three quarters of what a row cost.

PostgreSQL reads the text of each CHECK anew for each statement that writes; a function's plans are kept by the session.
docs/decisions/0012-one-check-for-a-busy-table.md
"""

from linli import migrate

revision = "0014"
down_revision = "0013"

_RULES = {
    "state": "t.state IN ('open', 'assigned', 'waiting', 'split', 'resolved', 'closed')",
    "level": "t.level IN ('community', 'street', 'district')",
    "visibility": "t.visibility IN ('public', 'district', 'private')",
    "source": "t.source IN ('app', 'hotline', 'patrol', 'open311', 'qr')",
    "assignee": "(t.state <> 'open' OR t.assignee IS NULL) AND (t.state <> 'assigned' OR t.assignee IS NOT NULL)",
    "resolved": (
        "(t.resolved_at IS NULL) = (t.resolved_by IS NULL) AND (t.state <> 'resolved' OR t.resolved_at IS NOT NULL)"
        " AND (t.resolved_at IS NULL OR t.state IN ('resolved', 'closed'))"
        " AND (t.state <> 'closed' OR t.resolved_at IS NOT NULL OR t.outcome IN ('withdrawn', 'duplicate'))"
    ),
    "closed": "(t.state = 'closed') = (t.closed_at IS NOT NULL)",
    "rating": "t.rating IS NULL OR t.rating BETWEEN 1 AND 5 AND t.state = 'closed'",
    "outcome": (
        "t.outcome IS NULL OR t.state = 'closed'"
        " AND t.outcome IN ('fixed', 'not_fixed', 'withdrawn', 'duplicate', 'no_answer')"
    ),
    "confirmed": "NOT t.confirmed OR t.outcome IN ('fixed', 'not_fixed')",
    "folded": "t.folded_into IS NULL OR t.state = 'closed' AND t.outcome = 'duplicate' AND t.folded_into <> t.id",
    "parent": "t.parent IS NULL OR t.parent <> t.id AND t.state <> 'split'",
    "place": (
        "(t.latitude IS NULL) = (t.longitude IS NULL)"
        " AND (t.latitude IS NULL OR t.latitude BETWEEN -90 AND 90 AND t.longitude BETWEEN -180 AND 180)"
    ),
    "subject": (
        "(t.subject_kind IS NULL) = (t.subject IS NULL)"
        " AND (t.subject_kind IS NULL OR t.subject_kind IN ('resident', 'household', 'organisation', 'place'))"
    ),
}


def upgrade() -> None:
    migrate.check("ticket", _RULES)
