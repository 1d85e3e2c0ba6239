"""What every operation of every service does with what it can't take: a 4xx problem that says what to do."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.integration.conftest import SERVICES, Platform

pytestmark = pytest.mark.xdist_group("platform")

STREET = "310104003"
Operation = tuple[str, str, dict[str, Any]]


async def operations(platform: Platform, service: str) -> list[Operation]:
    """List a service's operations; the token endpoint has its own habits, which RFC 6749 sets."""
    async with platform.client() as client:
        document = (await client.get(f"/{service}/v1/openapi.json")).raise_for_status().json()
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "/v1/" in path
    ]


def filled(path: str) -> str:
    """Put ids that nobody has into a path."""

    def value(found: re.Match[str]) -> str:
        return STREET if found[1] in {"unit", "code", "district"} else str(UUID(int=7))

    return re.sub(r"{(\w+)}", value, path)


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
async def callers(platform: Platform) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Callers who together may use every operation."""
    found = [platform.client("district_admin", "310104"), platform.client("operator", "0")]
    yield found
    for caller in found:
        await caller.aclose()


async def allowed(callers: list[httpx.AsyncClient], method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
    """Call as the first caller whose role may."""
    for caller in callers:
        answer = await caller.request(method, path, **request)
        if answer.status_code != 403:
            return answer
    return answer


async def test_without_a_token_or_with_a_broken_one_nobody_gets_in(platform: Platform, service: str) -> None:
    for method, path, _ in await operations(platform, service):
        for authorization in (None, "Bearer nonsense", "Bearer a.b.c", "Basic eDp5"):
            headers = {"Authorization": authorization} if authorization else {}
            async with platform.client(**headers) as client:
                answer = await client.request(method, filled(path), json={})
            assert_problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_bodies_that_cannot_be_taken_are_named(
    platform: Platform, service: str, callers: list[httpx.AsyncClient]
) -> None:
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    for method, path, operation in await operations(platform, service):
        if "requestBody" not in operation:
            continue
        for content, status in (
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b"[]", 422),
            (b"null", 422),
            (b'{"no_such_field": 1}', 422),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, 422),
        ):
            answer = await allowed(callers, method, filled(path), content=content, headers=headers)
            body = assert_problem(answer, status, 400)
            if status == 422 and answer.status_code == 422:
                assert body["errors"], path
                assert all(re.match(r"#(/|$)", error["pointer"]) for error in body["errors"]), body
                assert all(error["detail"] and error["detail_zh"] for error in body["errors"]), body


async def test_a_giant_body_is_refused(platform: Platform, service: str, callers: list[httpx.AsyncClient]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    for method, path, operation in await operations(platform, service):
        if "requestBody" in operation:
            answer = await allowed(callers, method, filled(path), content=b" " * (1024 * 1024 + 1))
            assert assert_problem(answer, 413)["limit"] == 1024 * 1024
            answer = await callers[0].request(method, filled(path), content=chunks())
            assert_problem(answer, 413)


async def test_parameters_that_cannot_be_taken_are_named(
    platform: Platform, service: str, callers: list[httpx.AsyncClient]
) -> None:
    for method, path, operation in await operations(platform, service):
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path":
                answer = await allowed(
                    callers, method, path.replace("{" + name + "}", "%20x'%00"), headers={"If-Match": "*"}
                )
                assert_problem(answer, 404, 405, 422)
            elif parameter["in"] == "query" and name == "cursor":
                for cursor in ("nonsense", "e30", "W10", "eyJhIjoxfQ", "WyJhIiwgMV0", "%00"):
                    assert_problem(await allowed(callers, method, filled(path), params={"cursor": cursor}), 400, 404)
            elif parameter["in"] == "query" and name == "limit":
                for limit in ("0", "201", "-1", "x", "1e9"):
                    assert_problem(await allowed(callers, method, filled(path), params={"limit": limit}), 422)
            elif parameter["in"] == "query" and parameter["schema"].get("type") != "string":
                assert_problem(await allowed(callers, method, filled(path), params={name: "\x00nonsense"}), 422)


async def test_what_is_not_there_is_404(platform: Platform, service: str, callers: list[httpx.AsyncClient]) -> None:
    for method, path, _ in await operations(platform, service):
        if method == "GET" and re.search(r"{\w*id}$", path):
            answer = await allowed(callers, method, re.sub(r"{\w+}", str(uuid4()), path))
            assert_problem(answer, 404)
    answer = await callers[0].get(f"/{service}/v1/no-such-thing")
    assert assert_problem(answer, 404)["type"] == "urn:linli:problem:no-such-route"
    answer = await callers[0].request("DELETE", f"/{service}/v1/openapi.json")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["allow"]


async def test_every_change_wants_an_etag_and_every_post_takes_a_key(platform: Platform, service: str) -> None:
    for method, path, operation in await operations(platform, service):
        headers = {
            parameter["name"].lower() for parameter in operation.get("parameters", []) if parameter["in"] == "header"
        }
        if method == "POST":
            assert "idempotency-key" in headers, f"{method} {path}"
        if method in {"PUT", "PATCH", "DELETE"}:
            assert "if-match" in headers, f"{method} {path}"


async def test_every_list_is_paged(platform: Platform, service: str) -> None:
    for method, path, operation in await operations(platform, service):
        answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if method == "GET" and "Paged" in answer.get("$ref", ""):
            query = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
            assert {"cursor", "limit"} <= query, path
        assert answer.get("type") != "array", f"{path} answers a bare list"


async def test_the_documents_are_there(platform: Platform, service: str) -> None:
    async with platform.client() as client:
        assert (await client.get(f"/{service}/v1/asyncapi.json")).json()["asyncapi"].startswith("3.")
        page = (await client.get("/docs")).text
        assert f"/{service}/v1/openapi.json" in page
        assert f"/{service}/v1/asyncapi.json" in page
    async with httpx.AsyncClient() as direct:
        base = f"http://127.0.0.1:{platform.port + 1 + SERVICES.index(service)}"
        assert (await direct.get(f"{base}/healthz")).status_code == 200
        assert (await direct.get(f"{base}/readyz")).json()["status"] == "ready"
