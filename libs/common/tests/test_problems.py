"""Every kind of problem, of every service, says the same in both languages."""

import importlib
import string
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from linli.problems import InternalError, NotFound, Problem, Unavailable, catalogue

SOURCES = [
    *Path(__file__).parents[1].glob("src/linli/**/*.py"),
    *Path(__file__).parents[3].glob("services/*/src/*/**/*.py"),
]
MEMBERS = {"type", "title", "title_zh", "status", "detail", "detail_zh", "errors", "trace_id", "instance"}


def kinds() -> list[type[Problem]]:
    for path in SOURCES:
        if "problems import" in path.read_text() and "migrations" not in path.parts:
            parts = path.with_suffix("").parts
            importlib.import_module(".".join(parts[parts.index("src") + 1 :]))
    return [kind for kind in dict.fromkeys(catalogue()) if "tests" not in kind.__module__]


KINDS = kinds()


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_all_services_are_looked_at() -> None:
    assert {kind.__module__.partition(".")[0] for kind in KINDS} >= {"linli", "tickets", "directory", "bookings"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_of_problem_says_the_same_in_both_languages(kind: type[Problem]) -> None:
    assert kind.__doc__
    for attribute in ("title_zh", "detail_zh"):
        text = getattr(kind, attribute)
        assert any("\u4e00" <= character <= "\u9fff" for character in text), f"{attribute} is not Chinese: {text}"
    assert "detail_zh" in vars(kind), "the Chinese words are of another kind"
    assert places(kind.template()) == places(kind.detail_zh)
    assert not places(kind.template()) & MEMBERS, "a fact would stand in the place of a member"
    assert 400 <= kind.status < 600
    assert ("Retry-After" in kind.headers) or kind.status not in {429, 503}


def test_no_two_kinds_have_the_same_type() -> None:
    types = [kind.type() for kind in KINDS]
    assert sorted(types) == sorted(set(types))


def test_facts_are_part_of_the_answer_as_json() -> None:
    id_ = UUID(int=7)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    body = NotFound(kind="ticket", id=id_, at=at, of=["x"], count=1, none=None).body("abc")
    assert (body["id"], body["at"], body["of"], body["count"], body["none"]) == (*(str(id_), str(at), ["x"], 1, None),)
    assert (body["status"], body["trace_id"], body["type"]) == (404, "abc", "urn:linli:problem:not-found")
    assert str(id_) in str(body["detail"])
    assert str(id_) in str(body["detail_zh"])


def test_braces_in_a_fact_are_only_braces() -> None:
    assert "{x} %s" in str(NotFound(kind="{x}", id="%s").detail)


def test_a_missing_fact_is_a_mistake_in_the_code() -> None:
    with pytest.raises(KeyError):
        NotFound(kind="ticket")


def test_types_are_urns_made_of_the_class_name() -> None:
    assert InternalError.type() == "urn:linli:problem:internal-error"
    assert Unavailable.title == "Unavailable"
