"""The page's files, and what is no page."""

from pathlib import Path

import pytest
from services.console.tests.conftest import Console, running

from linli.testing import Stage


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the page."""
    monkeypatch.setattr("console.page._STATIC", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("static")
async def test_a_page_that_was_not_built_says_how_to_build_it(console: Console) -> None:
    async with console.client(None) as client:
        answer = await client.get("/console")
        assert answer.status_code == 503
        assert "make page" in answer.text


async def test_every_room_is_the_one_page_and_loads_nothing_from_elsewhere(static: Path, console: Console) -> None:
    (static / "index.html").write_text("<title>邻里</title>")
    async with console.client(None) as client:
        for path in ("/console", "/console/", f"/console/traces/{'a' * 32}", "/console/subjects/x?error=true"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "邻里" in answer.text
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert answer.headers["Cache-Control"] == "no-cache"


async def test_files_with_a_hash_in_their_name_are_kept_by_browsers(static: Path, stage: Stage) -> None:
    (static / "assets").mkdir()
    (static / "assets" / "index-abc.js").write_text("1")
    (static / "secret").write_text("no")
    async with running(stage) as console, console.client(None) as client:
        answer = await client.get("/console/assets/index-abc.js")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"].startswith("text/javascript")
        for path in ("/console/assets/index-gone.js", "/console/assets/../secret", "/console/assets/%2e%2e/secret"):
            assert (await client.get(path)).text != "no"


async def test_what_is_no_operation_is_a_problem_and_no_page(console: Console) -> None:
    async with console.client() as client:
        for path in ("/console/v1/nothing", "/console/v1/"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert answer.headers["Content-Type"] == "application/problem+json"
        for query in ("slower_than=-1", "since=yesterday", "unit=31", "subject=x", "error=maybe", "limit=0"):
            assert (await client.get(f"/console/v1/traces?{query}")).status_code == 422, query
        assert (await client.get("/console/v1/traces?cursor=abc")).status_code == 400
        assert (await client.get("/console/v1/traces/ABC")).status_code == 422
        document = (await client.get("/console/v1/openapi.json")).json()
        assert all(path.startswith("/console/v1/") for path in document["paths"])


async def test_no_answer_to_somebody_is_kept_on_the_way(console: Console) -> None:
    trace_id = await console.report()
    await console.written(4)
    async with console.client() as client:
        for path in ("me", "traces", f"traces/{trace_id}", f"traces/{'f' * 32}", "subjects/x", "services"):
            assert (await client.get(f"/console/v1/{path}")).headers.get("Cache-Control") == "no-store", path
    async with console.client(None) as client:
        assert "Cache-Control" not in (await client.get("/console/v1/openapi.json")).headers
