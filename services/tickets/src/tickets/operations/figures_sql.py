"""The statements that figures are counted by; nothing in them comes from anybody but as a parameter."""
# ruff: noqa: S608

from typing import Final

from sqlalchemy import text

from tickets.models.figures import By, Order
from tickets.models.moves import Clock

# The trail is found by its ids, made in the order of time (their first 48 bits are milliseconds), and so are tickets:
# an index by time would cost every move.
# A ticket repeats another of its community's last 30 days: of the same reporter (who reports for himself) and category,
# or about the same subject; parts repeat nothing. Whoever is given it first answers it, whichever way he got it; each
# resolve solves it, in all the time since its report.
# A step counts where the ticket lay then, from where another took it: what was handed down is one fewer open there, and
# one more where it came to; what was unfolded elsewhere was closed before.
_GIVEN: Final = "({0}.move = 'assign' OR {0}.move = 'unfold' AND {0}.facts ? 'assignee')"
_CELLS: Final = """
    SELECT t.district, lay.unit, t.category, coalesce(t.department, '') AS department, t.parent IS NOT NULL AS part,
           (e.at AT TIME ZONE 'Asia/Shanghai')::date AS day,
           count(*) FILTER (WHERE e.move = 'open') AS opened,
           count(*) FILTER (WHERE e.move = 'open' AND t.parent IS NULL AND (
               t.source IN ('app', 'qr') AND EXISTS (
                   SELECT 1 FROM ticket o
                   WHERE o.reporter = t.reporter AND o.source IN ('app', 'qr') AND o.category = t.category AND {before})
               OR t.subject IS NOT NULL AND EXISTS (
                   SELECT 1 FROM ticket o
                   WHERE o.subject = t.subject AND o.subject_kind = t.subject_kind AND {before}))) AS repeated,
           count(*) FILTER (WHERE e.move IN ({overdue})) AS overdue,
           count(*) FILTER (WHERE e.move IN ('close', 'withdraw', 'fold')) AS closed,
           count(*) FILTER (WHERE e.move = 'close' AND e.facts ->> 'outcome' = 'fixed') AS fixed,
           count(*) FILTER (WHERE e.move IN ('reopen', 'poorly_rated')) AS reopened,
           coalesce(sum(CASE WHEN e.move = 'hand_down' THEN lay.more
                             WHEN e.move IN ('poorly_rated', 'unfold') THEN 1 END), 0) AS unclosed,
           coalesce(array_agg({took}) FILTER (WHERE {given} AND NOT EXISTS (
               SELECT 1 FROM ticket_entry b WHERE b.district = e.district AND b.ticket_id = e.ticket_id
               AND b.sequence < e.sequence AND {given_before})), '{{}}') AS answering,
           coalesce(array_agg({took}) FILTER (WHERE e.move IN ('resolve', 'parts_done')), '{{}}') AS solving
    FROM ticket_entry e JOIN ticket t ON t.district = e.district AND t.id = e.ticket_id CROSS JOIN LATERAL (
        SELECT rpad(coalesce((
            SELECT d.facts ->> 'from' FROM ticket_entry d WHERE d.district = e.district AND d.ticket_id = e.ticket_id
            AND d.sequence > e.sequence AND d.facts ->> 'from' IS NOT NULL ORDER BY d.sequence LIMIT 1
        ), t.unit::text), 18, '0')::bigint, 1
        UNION ALL SELECT rpad(e.facts ->> 'from', 18, '0')::bigint, -1 WHERE e.move = 'hand_down'
    ) AS lay (unit, more)
    WHERE e.district = :district AND e.id BETWEEN :first_id AND :last_id
      AND e.at >= :first_at AND e.at < :last_at AND t.unit BETWEEN :lo AND :hi AND lay.unit BETWEEN :lo AND :hi
    GROUP BY 1, 2, 3, 4, 5, 6
""".format(
    overdue=", ".join(
        f"'{move.value}'"
        for move in (Clock.ANSWER.overdue, Clock.SOLVE.overdue, Clock.STREET.overdue, Clock.DISTRICT.overdue)
    ),
    before=(
        "o.district = t.district AND o.parent IS NULL AND o.unit / 1000000 = t.unit / 1000000 AND o.id < t.id"
        " AND o.id >= (lpad(to_hex((extract(epoch FROM t.opened_at - interval '30 days') * 1000)::bigint), 12, '0')"
        " || repeat('0', 20))::uuid"
    ),
    given=_GIVEN.format("e"),
    given_before=_GIVEN.format("b"),
    took="extract(epoch FROM e.at - t.opened_at)::integer",
)

_WHOSE: Final = "district, unit, category, department, part"
_COUNTS: Final = "opened, repeated, overdue, closed, fixed, reopened, unclosed"
KEEP: Final = text(f"""
    WITH counted AS (
        INSERT INTO ticket_daily ({_WHOSE}, day, {_COUNTS}, answering, solving) {_CELLS}
        RETURNING {_WHOSE}, opened + unclosed - closed AS more
    )
    INSERT INTO ticket_stock ({_WHOSE}, open)
    SELECT {_WHOSE}, sum(more) FROM counted GROUP BY {_WHOSE} HAVING sum(more) <> 0
    ON CONFLICT ({_WHOSE}) DO UPDATE SET open = ticket_stock.open + excluded.open
""")

# What was open when a time ended is what is open now, less what has come to be open since. Until when days are kept is
# asked here once more, as the night's count may have kept others meanwhile, which would count twice.
_READ: Final = """
    WITH cell AS MATERIALIZED (
        SELECT {key} AS key, day, opened, repeated, overdue, closed, fixed, reopened,
               opened + unclosed - closed AS more, answering, solving
        FROM (
            SELECT {whose}, day, {counts}, answering, solving FROM ticket_daily
            WHERE district = :district AND day BETWEEN :first AND {until} AND unit BETWEEN :lo AND :hi
            UNION ALL SELECT * FROM ({cells}) AS live WHERE day > {until}
        ) AS cells WHERE {wished}
    ), stock AS (
        SELECT {key} AS key, sum(open) AS open FROM ticket_stock
        WHERE district = :district AND unit BETWEEN :lo AND :hi AND {wished} GROUP BY 1
    ), base AS (
        SELECT key, coalesce(stock.open, 0) + coalesce(sum(cell.more) FILTER (WHERE day > {until}), 0)
               - coalesce(sum(cell.more) FILTER (WHERE day >= :first), 0) AS open
        FROM stock FULL JOIN cell USING (key) GROUP BY key, stock.open
    ), flow AS (
        SELECT key, date_trunc(:period, day)::date AS start, sum(opened) AS opened, sum(repeated) AS repeated,
               sum(overdue) AS overdue, sum(closed) AS closed, sum(fixed) AS fixed, sum(reopened) AS reopened,
               sum(more) AS more
        FROM cell WHERE day BETWEEN :first AND :last GROUP BY 1, 2
    ), time AS (
        SELECT DISTINCT date_trunc(:period, day)::date AS start
        FROM generate_series(CAST(:first AS timestamp), CAST(:last AS timestamp), interval '1 day') AS day
    ), answering AS ({answering}), solving AS ({solving}), figure AS (
        SELECT to_char(time.start, 'YYYY-MM-DD') AS start, key, coalesce(opened, 0) AS opened,
               coalesce(repeated, 0) AS repeated,
               base.open + sum(coalesce(more, 0)) OVER (PARTITION BY key ORDER BY time.start) AS open,
               coalesce(overdue, 0) AS overdue, coalesce(closed, 0) AS closed, coalesce(fixed, 0) AS fixed,
               coalesce(reopened, 0) AS reopened, answering.took[1] AS answering_median,
               answering.took[2] AS answering_90, solving.took[1] AS solving_median, solving.took[2] AS solving_90
        FROM base CROSS JOIN time LEFT JOIN flow USING (key, start)
        LEFT JOIN answering USING (key, start) LEFT JOIN solving USING (key, start)
    )
    SELECT * FROM figure
    WHERE opened <> 0 OR open <> 0 OR overdue <> 0 OR closed <> 0 OR reopened <> 0
        OR answering_median IS NOT NULL OR solving_median IS NOT NULL
"""
_TOOK: Final = """
    SELECT key, date_trunc(:period, day)::date AS start,
           percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY took) AS took
    FROM cell, unnest(cell.{which}) AS took WHERE day BETWEEN :first AND :last GROUP BY 1, 2
"""
_KEYS: Final = {
    By.UNIT: ("(unit - unit % :size)::text", "NOT part"),
    By.CATEGORY: ("category", "NOT part"),
    # A part of a ticket that was split is a department's own; of the rest it would be counted twice.
    By.DEPARTMENT: ("department", "department <> ''"),
}
FIGURES: Final = {
    by: text(
        _READ.format(
            key=key,
            wished=wished,
            whose=_WHOSE,
            counts=_COUNTS,
            cells=_CELLS,
            until="(SELECT day FROM figures_until WHERE district = :district)",
            answering=_TOOK.format(which="answering"),
            solving=_TOOK.format(which="solving"),
        )
    )
    for by, (key, wished) in _KEYS.items()
}
_RANKED: Final = """
    SELECT row_number() OVER (ORDER BY {order}, department)::integer AS place, * FROM (
        SELECT department, count(*) AS called, count(reported_at) AS reported, count(missed_at) AS missed,
               count(acted_at) AS acted, count(rating) AS rated, count(called_off_at) AS called_off,
               coalesce(sum(weight) FILTER (WHERE reported_at <= report_due_at), 0)::float
                   / nullif(sum(weight) FILTER (WHERE reported_at IS NOT NULL OR missed_at IS NOT NULL), 0) AS in_time,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY report_took) AS reporting_median,
               percentile_cont(0.9) WITHIN GROUP (ORDER BY report_took) AS reporting_90,
               sum(weight * act_took)::float / sum(weight) FILTER (WHERE act_took IS NOT NULL) AS solving_mean,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY act_took) AS solving_median,
               percentile_cont(0.9) WITHIN GROUP (ORDER BY act_took) AS solving_90,
               sum(weight * rating)::float / sum(weight) FILTER (WHERE rating IS NOT NULL) AS rating
        FROM whistle
        WHERE district = :district AND called_at >= :first_at AND called_at < :last_at AND unit BETWEEN :lo AND :hi
        GROUP BY department
    ) AS department
"""
_ORDERS: Final = {
    Order.REPORTING: "in_time DESC NULLS LAST, reporting_median NULLS LAST",
    Order.SOLVING: "solving_mean NULLS LAST",
    Order.RATING: "rating DESC NULLS LAST",
}
RANKINGS: Final = {order: text(_RANKED.format(order=by)) for order, by in _ORDERS.items()}
