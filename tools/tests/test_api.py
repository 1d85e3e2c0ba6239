from collections.abc import Callable

import httpx
import pytest

from linli_cli.api import Api, ApiProblem

Answer = Callable[[httpx.Request], httpx.Response]


class Platform:
    """Answers one after the other, and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answers.pop(0)

    @property
    def api(self) -> Api:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://platform")
        return Api("http://platform", client=client)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_platform_is_asked_again_with_the_same_idempotency_key(status: int) -> None:
    platform = Platform(httpx.Response(status, headers={"Retry-After": "0"}), httpx.Response(201, json={"id": 1}))
    async with platform.api as api:
        assert (await api.post("/tickets", {})).status_code == 201
    first, second = (request.headers["Idempotency-Key"] for request in platform.asked)
    assert first == second


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(409, headers={"Retry-After": "0"}, json={"type": "urn:linli:problem:key-in-flight"}),
        httpx.Response(404, text="404 page not found"),
    ],
    ids=["an earlier try is still worked on", "a gateway without routes yet"],
)
async def test_what_passes_in_a_moment_is_waited_for(answer: httpx.Response) -> None:
    platform = Platform(answer, httpx.Response(201))
    async with platform.api as api:
        assert (await api.post("/tickets", {})).status_code == 201


@pytest.mark.parametrize("status", [404, 409])
async def test_a_problem_is_no_reason_to_try_again(status: int) -> None:
    platform = Platform(httpx.Response(status, json={"title": "No"}))
    async with platform.api as api:
        with pytest.raises(ApiProblem):
            await api.post("/tickets", {})


async def test_every_post_has_a_key_of_its_own() -> None:
    platform = Platform(httpx.Response(201), httpx.Response(201))
    async with platform.api as api:
        await api.post("/tickets", {})
        await api.post("/tickets", {})
    assert len({request.headers["Idempotency-Key"] for request in platform.asked}) == 2


async def test_a_change_that_may_have_been_made_is_not_repeated() -> None:
    platform = Platform(httpx.Response(502))
    async with platform.api as api:
        with pytest.raises(ApiProblem):
            await api.patch("/tickets/1", {}, etag='"1"')
    assert platform.asked[0].headers["If-Match"] == '"1"'


async def test_a_refusal_is_told_with_its_facts_in_both_languages() -> None:
    body = {
        "title": "Unprocessable",
        "title_zh": "字段有误",
        "detail": "Some fields are not right.",
        "detail_zh": "部分字段有误。",
        "errors": [{"pointer": "#/name", "detail": "is empty"}],
        "trace_id": "abc",
    }
    platform = Platform(httpx.Response(422, json=body))
    async with platform.api as api:
        with pytest.raises(ApiProblem) as caught:
            await api.put("/units/1", {})
    assert caught.value.status == 422
    assert caught.value.english == "PUT /units/1 → 422 Unprocessable: Some fields are not right."
    assert caught.value.chinese == "字段有误 部分字段有误。"
    assert caught.value.hint == "#/name: is empty\ntrace abc"


async def test_an_answer_that_is_no_problem_details_is_told_too() -> None:
    async with Platform(httpx.Response(500, text="oops")).api as api:
        with pytest.raises(ApiProblem, match="500 Internal Server Error"):
            await api.get("/units")


async def test_a_login_is_asked_for_each_request_so_that_no_token_is_used_too_long() -> None:
    tokens = iter(("first", "second"))

    async def login() -> str:
        return next(tokens)

    platform = Platform(httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(200))
    async with platform.api as api:
        await api.by(login).get("/units", limit=1)
    assert [request.headers["Authorization"] for request in platform.asked] == ["Bearer first", "Bearer second"]
    assert platform.asked[0].url.query == b"limit=1"
