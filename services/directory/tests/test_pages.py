import re

import pytest

from linli.testing import Running


async def test_the_documentation_needs_nothing_from_elsewhere(directory: Running) -> None:
    client = directory.client()
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    own = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(path.startswith("/") and not path.startswith("//") for path in own)
    for path in own:
        if path.startswith(("/docs/", "/directory/")) or path in {"/", "/problems"}:
            assert (await client.get(path)).status_code == 200, path
    for name in ("directory", "residents", "tickets", "points", "bookings", "notifications"):
        assert f"/{name}/v1/asyncapi.json" in own
        assert f"/docs?service={name}" in own
    script = (await client.get("/docs/static/docs.js")).text
    assert "openapi.json" in script


async def test_the_landing_page_leads_on_in_two_languages(directory: Running) -> None:
    page = (await directory.client().get("/")).text
    assert 'href="/docs"' in page
    assert "邻里" in page
    assert "Linli" in page


async def test_the_kinds_of_problems_are_collected_from_the_documents_of_all_services(directory: Running) -> None:
    client = directory.client()
    page = await client.get("/problems")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert '<script src="/docs/static/problems.js">' in page.text
    script = (await client.get("/docs/static/problems.js")).text
    assert '["x-problems"]' in script
    for name in ("directory", "residents", "tickets", "points", "bookings", "notifications"):
        assert f'"{name}"' in script
        assert f"/{name}/v1/openapi.json" in page.text, "for who has no JavaScript"
    listed = {problem["type"] for problem in (await client.get("/directory/v1/openapi.json")).json()["x-problems"]}
    for kind in ("group-would-be-split", "not-found", "key-reused", "gateway-timeout"):
        assert f"urn:linli:problem:{kind}" in listed
    assert (await client.get("/docs/static/icon.svg")).headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [
        (404, "no-such-route", None),
        (429, "gateway-busy", "1"),
        (502, "bad-gateway", "5"),
        (503, "unavailable", "5"),
        (504, "gateway-timeout", "5"),
    ],
)
async def test_the_gateway_answers_with_problems(
    directory: Running, status: int, kind: str, retry_after: str | None
) -> None:
    answer = await directory.client().get(f"/problems/{status}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["type"], answer.json()["status"]) == (f"urn:linli:problem:{kind}", status)
    assert answer.headers.get("retry-after") == retry_after
    assert answer.json()["detail_zh"]


async def test_the_gateway_has_no_answer_for_what_is_no_error(directory: Running) -> None:
    assert (await directory.client().get("/problems/200")).status_code == 422
