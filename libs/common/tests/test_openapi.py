from typing import Any

from fastapi import FastAPI

from linli.openapi import PROBLEM, list_problems
from linli.problems import Conflict


class ThingGone(Conflict):
    """Thing {thing} is gone."""

    title_zh = "已不在"
    detail_zh = "{thing} 已不在。"


def document(service: str) -> dict[str, Any]:
    app = FastAPI(responses=PROBLEM)

    @app.get("/things/{number}")
    async def read_thing(number: int) -> int:
        return number

    list_problems(app, service)
    return app.openapi()


def test_a_document_lists_the_problems_of_the_chassis_and_the_service_itself() -> None:
    own = __name__.partition(".")[0]
    listed = {entry["type"].rpartition(":")[2]: entry for entry in document(own)["x-problems"]}
    assert list(listed) == sorted(listed)
    assert {"not-found", "key-reused", "precondition-failed"} <= set(listed)
    assert listed["thing-gone"] == {
        "type": "urn:linli:problem:thing-gone",
        "title": "Thing gone",
        "title_zh": "已不在",
        "status": 409,
        "detail": "Thing {thing} is gone.",
        "detail_zh": "{thing} 已不在。",
    }


def test_a_document_lists_no_problem_of_another_service() -> None:
    assert "urn:linli:problem:thing-gone" not in {entry["type"] for entry in document("others")["x-problems"]}


def test_every_operation_says_that_it_answers_with_problems() -> None:
    made = document("others")
    responses = made["paths"]["/things/{number}"]["get"]["responses"]
    assert set(responses) == {"200", "default"}, "422 in FastAPI's own shape is what nobody gets"
    schema = responses["default"]["content"]["application/problem+json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Problem"}
    assert {"type", "detail_zh", "errors"} <= set(made["components"]["schemas"]["Problem"]["properties"])
    assert "HTTPValidationError" not in made["components"]["schemas"]
