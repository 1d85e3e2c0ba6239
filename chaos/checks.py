"""What was acknowledged beside what is there: every step and all its effects, each of them once."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace

import asyncpg

from chaos.load import Work
from chaos.stack import Stack
from linli_cli.home import SERVICES

_WITHIN = 60.0
_TICKETS = """
SELECT t.id, t.title, t.reporter, t.assignee, t.resolved_by, array_agg(e.move) AS moves FROM ticket t
JOIN ticket_entry e ON (e.district, e.ticket_id) = (t.district, t.id) WHERE t.title LIKE 'chaos %'
GROUP BY 1, 2, 3, 4, 5"""
_MESSAGES = "SELECT subject, kind, recipient FROM notification WHERE subject = ANY ($1)"
_AWARDS = "SELECT cause, holder FROM transfer WHERE cause = ANY ($1)"
_LEDGER = """
SELECT (SELECT coalesce(sum(balance), 0) FROM account) = 0 AND NOT EXISTS (
    SELECT FROM account a WHERE a.balance <> (
        SELECT coalesce(sum(CASE WHEN t.credit_account = a.id THEN t.amount ELSE -t.amount END), 0) FROM transfer t
        WHERE a.id IN (t.credit_account, t.debit_account)))"""
_EVENTS = "SELECT count(*) FROM event_log WHERE headers ->> 'ce-type' !~ 'directory'"
_DEAD = "SELECT consumer, subject, error FROM dead_letter"
Effects = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        acknowledged: how many steps were.
        events: how many events went out of all outboxes.
        least: how many have to.
        effects: how many effects there are.
        lost: acknowledged steps that are not there, and effects that are missing.
        doubled: steps and effects that are there more often than once, or without a cause.
        broken: what was said in refusals; who can't be served is asked to come again.
        dead: messages that were given up (死信), and why.
        ledger: whether balances are what transfers come to, and add up to zero.
        unreconciled: what `linli events reconcile` found; empty when that was nothing.
    """

    acknowledged: int
    events: int
    least: int
    effects: int
    lost: list[str]
    doubled: list[str]
    broken: list[str]
    dead: list[str]
    ledger: bool
    unreconciled: str = ""


async def verdict(stack: Stack, work: Work, least: int) -> Verdict:
    """Wait until effects have come and nothing is on its way any more, and compare.

    Args:
        stack: that was broken.
        work: what was done.
        least: how many events have to go out.
    """
    deadline = time.monotonic() + _WITHIN
    while (await _compare(stack, work, least)).lost and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    # It waits for what is delivered again, which might be done again: so all is compared once more after it.
    done = await asyncio.to_thread(stack.linli, "events", "reconcile", "--since", "1d", check=False)
    found = await _compare(stack, work, least)
    return replace(found, unreconciled=f"{done.stdout}\n{done.stderr}" if done.returncode else "")


async def _compare(stack: Stack, work: Work, least: int) -> Verdict:
    async with stack.database("tickets") as database:
        tickets = await database.fetch(_TICKETS)
    steps: Effects = Counter((row["title"], move) for row in tickets for move in row["moves"])
    acknowledged = {(title, step) for title, done in work.acknowledged.items() for step in done}
    wanted: Effects = Counter()
    for row in tickets:
        for move in row["moves"]:
            wanted.update(_of(move, row["id"], row["reporter"], row["assignee"], row["resolved_by"]))
    ids = [row["id"] for row in tickets]
    async with stack.database("notifications") as database:
        found: Effects = Counter(tuple(map(str, row)) for row in await database.fetch(_MESSAGES, ids))
    async with stack.database("points") as database:
        found.update((str(row[0]), "points", str(row[1])) for row in await database.fetch(_AWARDS, ids))
        ledger = await database.fetchval(_LEDGER)
    lost = [" ".join(step) for step in acknowledged - steps.keys()]
    lost += [" ".join(effect) for effect in wanted - found]
    doubled = [" ".join(step) for step, times in steps.items() if times > 1]
    doubled += [" ".join(effect) for effect in found - wanted]
    return Verdict(
        acknowledged=len(acknowledged),
        events=sum([row[0] for row in await _everywhere(stack, _EVENTS)]),
        least=least,
        effects=found.total(),
        lost=sorted(lost),
        doubled=sorted(doubled),
        broken=work.broken,
        dead=[" ".join(row) for row in await _everywhere(stack, _DEAD)],
        ledger=ledger,
    )


def _of(move: str, ticket: object, reporter: object, assignee: object, resolver: object) -> Effects:
    """Give what a step has to lead to; whoever is told twice in one is told as the one who has to do something."""
    told: dict[str, list[tuple[str, object]]] = {
        "open": [("ticket_opened", reporter)],
        "assign": [("ticket_assigned", reporter), ("ticket_assigned_to_you", assignee)],
        "resolve": [("ticket_resolved", reporter)],
        "close": [("ticket_closed", reporter)],
        "rate": [("ticket_rated", resolver), ("points_awarded", resolver), ("points", resolver)],
    }
    return Counter((str(ticket), kind, str(person)) for kind, person in told[move])


async def _everywhere(stack: Stack, query: str) -> list[asyncpg.Record]:
    found = []
    for service in SERVICES:
        async with stack.database(service) as database:
            found += await database.fetch(query)
    return found
