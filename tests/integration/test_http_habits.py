"""What every operation of every service does with what it can't take: a 4xx problem that says what to do."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.integration.conftest import SERVICES, Platform
from tests.integration.openapi import UNKEYED, Document, filled, operations, parameters

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(300)]


def assert_problem(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    told = f"{answer.request.method} {answer.request.url} → {answer.status_code} {answer.text[:300]}"
    assert answer.status_code in statuses, told
    assert answer.headers["content-type"] == "application/problem+json", told
    body: dict[str, Any] = answer.json()
    assert body["type"].startswith("urn:linli:problem:"), told
    assert {"title", "title_zh", "detail", "detail_zh", "trace_id"} <= set(body), told
    assert body["status"] == answer.status_code
    assert "{" not in body["detail"] + body["detail_zh"], told
    return body


@pytest.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def document(platform: Platform, service: str) -> Document:
    async with platform.client() as client:
        found: Document = (await client.get(f"/{service}/v1/openapi.json")).raise_for_status().json()
    return found


@pytest.fixture
async def callers(platform: Platform) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Callers who together may use every operation."""
    roles = (("district_admin", "310104"), ("operator", "0"), ("volunteer", "310104"), ("department_staff", "310104"))
    found = [platform.client(role, unit) for role, unit in roles]
    yield found
    for caller in found:
        await caller.aclose()


async def allowed(callers: list[httpx.AsyncClient], method: str, **request: Any) -> httpx.Response:  # noqa: ANN401
    """Call as the first caller whose role may."""
    headers = {"If-Match": "*", **request.pop("headers", {})}
    for caller in callers:
        answer = await caller.request(method, **request, headers=headers)
        if answer.status_code != 403:
            return answer
    return answer


async def test_without_a_token_or_with_a_broken_one_nobody_gets_in(platform: Platform, document: Document) -> None:
    for authorization in (None, "Bearer nonsense", "Bearer a.b.c", "Basic eDp5"):
        headers = {"Authorization": authorization} if authorization else {}
        async with platform.client(**headers) as client:  # one for all: to make one takes longer than to ask
            for method, path, operation in operations(document):
                answer = await client.request(method, **filled(path, operation, document))
                assert_problem(answer, 401)
                assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_bodies_that_cannot_be_taken_are_named(document: Document, callers: list[httpx.AsyncClient]) -> None:
    json = {"Content-Type": "application/json"}
    for method, path, operation in operations(document):
        request = filled(path, operation, document)
        if request.pop("json", None) is None:
            continue
        for content, status in (
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b"[]", 422),
            (b"null", 422),
            (b'{"no_such_field": 1}', 422),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
        ):
            answer = await allowed(callers, method, **request, content=content, headers=json)
            body = assert_problem(answer, status, 422)
            if status == 422:
                assert body["errors"], path
                assert all(re.match(r"#(/|$)", error["pointer"]) for error in body["errors"]), body
                assert all(error["detail"] and error["detail_zh"] for error in body["errors"]), body


async def test_an_unknown_field_is_refused(document: Document, callers: list[httpx.AsyncClient]) -> None:
    for method, path, operation in operations(document):
        request = filled(path, operation, document)
        if "json" in request:
            request["json"]["no_such_field"] = 1
            body = assert_problem(await allowed(callers, method, **request), 422)
            assert "#/no_such_field" in {error["pointer"] for error in body["errors"]}


async def test_a_giant_body_is_refused(document: Document, callers: list[httpx.AsyncClient]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    for method, path, operation in operations(document):
        request = filled(path, operation, document)
        if request.pop("json", None) is not None:
            answer = await allowed(callers, method, **request, content=b" " * (1024 * 1024 + 1))
            assert assert_problem(answer, 413)["limit"] == 1024 * 1024
            assert_problem(await callers[0].request(method, **request, content=chunks()), 413)


async def test_parameters_that_cannot_be_taken_are_named(document: Document, callers: list[httpx.AsyncClient]) -> None:
    for method, path, operation in operations(document):
        request = filled(path, operation, document)
        for name in parameters(operation, "path"):
            bad = {**request, "url": re.sub(r"{\w+}", "x", path.replace("{" + name + "}", "%20x'%00"))}
            assert_problem(await allowed(callers, method, **bad), 404, 422)
        for name, parameter in parameters(operation, "query").items():
            values = {
                "cursor": ("nonsense", "e30", "W10", "eyJhIjoxfQ", "WyJhIiwgMV0", "%00"),
                "limit": ("0", "201", "-1", "x", "1e9"),
            }.get(name, ("\x00nonsense",) if parameter["schema"].get("type") != "string" else ())
            for value in values:
                bad = {**request, "params": {**request["params"], name: value}}
                answer = await allowed(callers, method, **bad)
                expected = (400, 404) if name == "cursor" else (422,)
                assert_problem(answer, *expected)


async def test_what_is_not_there_is_404(document: Document, service: str, callers: list[httpx.AsyncClient]) -> None:
    for method, path, operation in operations(document):
        if method == "GET" and re.search(r"{\w*id}$", path):
            answer = await allowed(callers, method, **filled(path, operation, document))
            assert_problem(answer, 404)
    answer = await callers[0].get(f"/{service}/v1/no-such-thing")
    assert assert_problem(answer, 404)["type"] == "urn:linli:problem:no-such-route"
    answer = await callers[0].request("DELETE", f"/{service}/v1/openapi.json")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["allow"]


async def test_every_change_wants_an_etag_and_every_post_takes_a_key(document: Document) -> None:
    for method, path, operation in operations(document):
        headers = {name.lower() for name in parameters(operation, "header")}
        if method == "POST" and not path.endswith(UNKEYED):
            assert "idempotency-key" in headers, f"{method} {path}"
        if method in {"PUT", "PATCH", "DELETE"}:
            assert "if-match" in headers, f"{method} {path}"


async def test_every_list_is_paged(document: Document) -> None:
    for method, path, operation in operations(document):
        answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if method == "GET" and "Paged" in answer.get("$ref", ""):
            assert {"cursor", "limit"} <= set(parameters(operation, "query")), path
        assert answer.get("type") != "array", f"{path} answers a bare list"


async def test_the_documents_are_there(platform: Platform, service: str) -> None:
    async with platform.client() as client:
        assert (await client.get(f"/{service}/v1/asyncapi.json")).json()["asyncapi"].startswith("3.")
        page = (await client.get("/docs")).text
        assert f"/{service}/v1/openapi.json" in page
        assert f"/{service}/v1/asyncapi.json" in page
    async with httpx.AsyncClient(trust_env=False, timeout=30) as direct, asyncio.timeout(30):
        base = f"http://127.0.0.1:{platform.port + 1 + SERVICES.index(service)}"
        assert (await direct.get(f"{base}/healthz")).status_code == 200
        # Its database has two seconds to answer, which a busy machine may stand still for.
        while (await direct.get(f"{base}/readyz")).json()["status"] != "ready":  # noqa: ASYNC110 over HTTP
            await asyncio.sleep(0.2)
