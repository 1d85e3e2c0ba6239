"""What programs that are generated from the OpenAPI document rely on."""

from typing import Any

import pytest
from pydantic import BaseModel
from services.directory.tests.conftest import COMMUNITY

from directory import schemas
from linli.schemas import In, Out
from linli.testing import Running


def models(base: type[BaseModel]) -> list[type[BaseModel]]:
    found = [one for one in vars(schemas).values() if isinstance(one, type) and issubclass(one, base)]
    return [one for one in found if one is not base]


@pytest.fixture
async def document(directory: Running) -> dict[str, Any]:
    found: dict[str, Any] = (await directory.client().get("/directory/v1/openapi.json")).json()
    return found


@pytest.mark.parametrize("model", models(Out), ids=lambda model: model.__name__)
async def test_the_document_names_the_fields_that_answers_have(document: dict[str, Any], model: type[Out]) -> None:
    documented = document["components"]["schemas"][model.__name__]["properties"]
    assert set(documented) == set(model.model_json_schema(mode="serialization")["properties"])


@pytest.mark.parametrize("model", models(In), ids=lambda model: model.__name__)
async def test_every_body_has_an_example_that_can_be_sent(document: dict[str, Any], model: type[In]) -> None:
    schema = document["components"]["schemas"][model.__name__]
    assert schema.get("examples"), "the page would make one up"
    for example in schema["examples"]:
        assert model.model_validate(example).model_fields_set == set(example)


async def test_token_answers_are_documented_as_oauth_has_them(directory: Running, document: dict[str, Any]) -> None:
    documented = document["paths"]["/directory/oauth/token"]["post"]["responses"]

    def fits(answer: Any, status: str) -> None:  # noqa: ANN401 it is JSON
        (kind,) = documented[status]["content"]
        assert answer.headers["content-type"] == kind == "application/json"
        schema = documented[status]["content"][kind]["schema"]
        assert set(answer.json()) <= set(schema["properties"])
        assert set(schema["required"]) <= set(answer.json())

    client = directory.client()
    fits(await client.post("/directory/oauth/token", data={"grant_type": "password"}), "default")
    app = await directory.client("district_admin", "310104").post(
        "/directory/v1/apps", json={"unit": COMMUNITY, "name": "小程序"}
    )
    login = {"client_id": app.json()["client_id"], "client_secret": app.json()["secret"]}
    granted = await client.post("/directory/oauth/token", data={"grant_type": "client_credentials", **login})
    assert granted.status_code == 200, granted.text
    fits(granted, "200")
