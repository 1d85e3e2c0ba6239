"""Working time over the holidays of 2026, with their make-up workdays."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickets.calendar import ZONE, Calendar

CHINA = Calendar()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def walk(calendar: Calendar, start: datetime, minutes: int) -> datetime:
    """Count working minutes one by one, as a patient person would."""
    now = start.astimezone(ZONE)
    while minutes:
        if calendar.works(now.date()) and time(9) <= now.time() < time(17):
            minutes -= 1
        now += timedelta(minutes=1)
    return now


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-01-02", False),  # Friday, given for the Sunday after
        ("2026-01-04", True),  # that Sunday
        ("2026-02-14", True),  # Saturday before Spring Festival
        ("2026-02-16", False),
        ("2026-02-23", False),
        ("2026-02-28", True),
        ("2026-03-02", True),
        ("2026-03-07", False),
        ("2026-05-09", True),
        ("2026-09-20", True),
        ("2026-10-07", False),
        ("2026-10-10", True),
    ],
)
def test_make_up_workdays_are_worked_and_holidays_are_not(day: str, works: bool) -> None:  # noqa: FBT001 a table
    assert CHINA.works(date.fromisoformat(day)) is works


@pytest.mark.parametrize(
    ("start", "minutes", "due"),
    [
        ("2026-01-05T09:00", 480, "2026-01-05T17:00"),
        ("2026-01-05T16:59", 2, "2026-01-06T09:01"),
        ("2026-01-05T03:00", 60, "2026-01-05T10:00"),
        ("2025-12-31T17:00", 60, "2026-01-04T10:00"),  # over New Year, into the Sunday that is worked
        ("2026-02-13T12:00", 480, "2026-02-14T12:00"),  # on the Saturday that is worked
        ("2026-02-14T12:00", 480, "2026-02-24T12:00"),  # over Spring Festival
        ("2026-09-30T16:00", 120, "2026-10-08T10:00"),  # over National Day
        ("2026-10-09T17:00", 480, "2026-10-10T17:00"),
    ],
)
def test_time_is_counted_while_people_work(start: str, minutes: int, due: str) -> None:
    assert CHINA.due_after(at(start), minutes) == at(due)


def test_a_district_corrects_days_of_its_own() -> None:
    storm = Calendar({date(2026, 7, 20): False, date(2026, 7, 25): True})
    assert storm.due_after(at("2026-07-17T17:00"), 60) == at("2026-07-21T10:00")
    assert storm.due_after(at("2026-07-24T17:00"), 60) == at("2026-07-25T10:00")


@settings(max_examples=60, deadline=None)
@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1)),  # noqa: DTZ001 hypothesis wants it so
    minutes=st.integers(1, 1500),
    corrected=st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.booleans(), max_size=30),
)
def test_the_deadline_is_where_counting_every_minute_ends(
    start: datetime, minutes: int, corrected: dict[date, bool]
) -> None:
    calendar = Calendar(corrected)
    begin = start.replace(second=0, microsecond=0, tzinfo=ZONE)
    due = calendar.due_after(begin, minutes)
    assert due == walk(calendar, begin, minutes)
    assert calendar.worked(begin, due) == timedelta(minutes=minutes)


@settings(max_examples=200, deadline=None)
@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    minutes=st.integers(1, 5000),
    pause=st.timedeltas(timedelta(), timedelta(days=40)),
)
def test_a_clock_that_stood_still_has_what_was_left_of_it(start: datetime, minutes: int, pause: timedelta) -> None:
    asked = start + pause / 2
    left = CHINA.left(start, minutes, asked)
    lost = timedelta(minutes=left) - (timedelta(minutes=minutes) - CHINA.worked(start, asked))
    assert left == 0 or timedelta() <= lost < timedelta(minutes=1)
    again = start + pause
    assert left == 0 or CHINA.worked(again, CHINA.due_after(again, left)) == timedelta(minutes=left)


def test_a_district_that_never_works_again_ends_the_search() -> None:
    class Idle(Calendar):
        def works(self, day: date) -> bool:  # noqa: ARG002 on no day
            return False

    assert Idle().due_after(at("2026-01-05T09:00"), 1) > at("2035-01-01T00:00")
