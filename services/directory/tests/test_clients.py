import asyncio
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from services.directory.tests.conftest import COMMUNITY, DISTRICT, FOREIGN, GRID, SIBLING, STREET, made, move

from directory.idtokens import Claimed, ProviderKeys
from directory.oauth import OAuthError
from linli.testing import Running

KEY = ec.generate_private_key(ec.SECP256R1())
NEXT_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid}


class Provider:
    """A district's OIDC provider, as far as its keys go."""

    def __init__(self) -> None:
        self.keys = [jwk(KEY, "one")]
        self.asked = 0
        self.broken = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = b"oops" if outer.broken else json.dumps({"keys": outer.keys}).encode()
                self.send_response(500 if outer.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}/jwks"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def oidc() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.server.shutdown()
    found.server.server_close()


async def put(client: httpx.AsyncClient, district: str, etag: str | None = None, /, **body: object) -> httpx.Response:
    headers = {"If-Match": etag} if etag else {}
    facts = {"issuer": f"https://id-{district}.example.cn", "audience": "linli", **body}
    return await client.put(f"/directory/v1/providers/{district}", json=facts, headers=headers)


async def test_a_provider_is_set_once_and_changed_with_its_etag(directory: Running) -> None:
    operator = directory.client("operator", "0")
    keys = {"keys": [jwk(KEY, "one")]}
    assert (await operator.get(f"/directory/v1/providers/{DISTRICT}")).status_code == 404
    first = await put(operator, DISTRICT, jwks=keys)
    assert (first.status_code, first.headers["etag"], first.json()["district"]) == (201, '"1"', DISTRICT)
    assert (await put(operator, DISTRICT, jwks=keys)).status_code == 428
    second = await put(operator, DISTRICT, '"1"', jwks=keys, audience="another")
    assert (second.status_code, second.headers["etag"]) == (200, '"2"')
    assert (await put(operator, DISTRICT, '"1"', jwks=keys)).status_code == 412
    assert (await put(operator, FOREIGN, '"1"', jwks=keys)).status_code == 412
    read = await directory.client("district_admin", DISTRICT).get(f"/directory/v1/providers/{DISTRICT}")
    assert read.json()["audience"] == "another"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "unusable-keys"),
        ({"jwks": {"keys": []}}, "unusable-keys"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "1"}]}}, "unusable-keys"),
        ({"jwks": json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY))}, "unusable-keys"),
        ({"jwks": {"keys": [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY))]}}, "unusable-keys"),
        ({"jwks": {"keys": "x"}}, "unusable-keys"),
        ({"jwks": {"keys": [1]}}, "unusable-keys"),
        ({"jwks_uri": "http://id.example.cn/jwks"}, "unusable-keys"),
        ({"jwks_uri": "https:///jwks"}, "unusable-keys"),
        ({"jwks_uri": "https://[id.example.cn/jwks"}, "unusable-keys"),
        ({"jwks_uri": "https://id.example.cn:99999/jwks"}, "unusable-keys"),
        ({"jwks_uri": "https://id.example.cn/\u0001"}, "unusable-keys"),
        ({"jwks_uri": "https://id.example.cn/jwks", "jwks": {"keys": []}}, "unusable-keys"),
        ({"jwks_uri": "ftp://id.example.cn/jwks"}, "unprocessable"),
        ({"issuer": "not a url", "jwks_uri": "https://id.example.cn/jwks"}, "unprocessable"),
    ],
)
async def test_keys_that_are_no_public_keys_are_refused(
    directory: Running, body: dict[str, object], problem: str
) -> None:
    answer = await put(directory.client("operator", "0"), FOREIGN, **body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:linli:problem:{problem}"), answer.text


@pytest.mark.parametrize("what", ["NaN", r'"\ud800"'], ids=["not a number", "half a character"])
async def test_a_key_set_that_can_not_be_kept_is_refused(directory: Running, what: str) -> None:
    facts = {"issuer": "https://id.example.cn", "audience": "linli", "jwks": {"keys": [jwk(KEY, "one")], "x": 0}}
    body = json.dumps(facts).replace('"x": 0', f'"x": {what}')
    answer = await directory.client("operator", "0").put(
        f"/directory/v1/providers/{FOREIGN}", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:linli:problem:unusable-keys"), answer.text


async def test_a_provider_that_hangs_keeps_nobody_else_waiting(oidc: Provider) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await over.wait()
        writer.close()

    keys = ProviderKeys()
    keys._PATIENCE = 60.0  # type: ignore[misc]
    claimed = Claimed("", "ES256", "one", "https://id.example.cn", frozenset({"linli"}))
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
        waiting = asyncio.create_task(keys.find(claimed, None, uri))
        await asked.wait()
        async with asyncio.timeout(30):
            await keys.find(claimed, None, oidc.uri)
        assert not waiting.done()
        over.set()
        with pytest.raises(OAuthError, match="does not answer"):
            await waiting


async def test_an_address_that_is_none_has_no_keys() -> None:
    claimed = Claimed("", "ES256", None, "https://id.example.cn", frozenset({"linli"}))
    with pytest.raises(OAuthError, match="does not answer"):
        await ProviderKeys().find(claimed, None, "https://id.example.cn/\x01")


@pytest.mark.parametrize("kid", [["one"], {"a": 1}])
async def test_a_key_id_that_is_no_word_is_passed_over(oidc: Provider, kid: object) -> None:
    claimed = Claimed("", "ES256", "one", "https://id.example.cn", frozenset({"linli"}))
    oidc.keys = [jwk(KEY, "one"), {**jwk(NEXT_KEY, ""), "kid": kid}]
    for jwks, uri in ((None, oidc.uri), ({"keys": oidc.keys}, None)):
        assert (await ProviderKeys().find(claimed, jwks, uri)).key_id == "one"


async def test_two_districts_never_share_issuer_and_audience(directory: Running) -> None:
    operator = directory.client("operator", "0")
    facts = {"issuer": "https://city.example.cn", "jwks_uri": "https://city.example.cn/jwks"}
    etag = (await put(operator, DISTRICT, "*", **facts)).headers.get("etag")
    if etag is None:
        assert (await put(operator, DISTRICT, **facts)).status_code == 201
    answer = await put(operator, FOREIGN, **facts)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:linli:problem:provider-clash")
    assert (await put(operator, FOREIGN, **facts, audience="linli-310115")).status_code == 201


async def test_only_the_platform_says_whose_word_is_taken(directory: Running) -> None:
    admin = directory.client("district_admin", DISTRICT)
    assert (await put(admin, DISTRICT, "*", jwks_uri="https://a.example.cn/jwks")).status_code == 403
    assert (await put(admin, FOREIGN, "*", jwks_uri="https://a.example.cn/jwks")).status_code == 403
    assert (await admin.get(f"/directory/v1/providers/{FOREIGN}")).status_code == 404
    assert (await put(directory.client("operator", "0"), STREET, jwks_uri="https://a.cn/jwks")).status_code == 422


async def test_a_providers_keys_are_fetched_kept_and_asked_for_again_when_new(
    directory: Running, oidc: Provider
) -> None:
    district = "310112"
    operator = directory.client("operator", "0")
    await made(operator, "/units", code=district, name="闵行区")
    answer = await put(operator, district, jwks_uri=oidc.uri)
    assert answer.status_code == 201, answer.text

    async def exchange(key: ec.EllipticCurvePrivateKey, kid: str) -> httpx.Response:
        now = int(time.time())
        body = {
            "iss": f"https://id-{district}.example.cn",
            "aud": "linli",
            "sub": uuid4().hex,
            "iat": now,
            "exp": now + 60,
        }
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": jwt.encode(body, key, "ES256", {"kid": kid}),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        return await directory.client().post("/directory/oauth/token", data=form)

    oidc.broken = True
    away = await exchange(KEY, "one")
    assert (away.status_code, away.json()["error"]) == (503, "temporarily_unavailable")
    oidc.broken = False
    keys = directory.app.state.provider_keys
    keys._asked.clear()
    for _ in range(3):
        assert (await exchange(KEY, "one")).status_code == 200
    assert oidc.asked == 2
    oidc.keys = [jwk(KEY, "one"), jwk(NEXT_KEY, "two")]
    for _ in range(3):
        assert (await exchange(NEXT_KEY, "two")).json()["error"] == "invalid_grant"
    assert oidc.asked == 2, "an unknown key id must not make us hammer the provider"
    keys._asked.clear()
    assert (await exchange(NEXT_KEY, "two")).status_code == 200
    oidc.broken = True
    keys._asked.clear()
    keys._known[oidc.uri] = (0.0, keys._known[oidc.uri][1])
    assert (await exchange(KEY, "one")).status_code == 200, "keys are kept while the provider is away"


async def test_apps_are_registered_inside_ones_scope_with_lower_roles(directory: Running) -> None:
    admin = directory.client("district_admin", DISTRICT)
    app = await made(admin, "/apps", unit=STREET, name="随手拍")
    assert app["roles"] == ["app"]
    assert len(app["secret"]) == 43
    read = await admin.get(f"/directory/v1/apps/{app['client_id']}")
    assert "secret" not in read.json()
    listed = (await admin.get(f"/directory/v1/apps?within={STREET}")).json()["items"]
    assert [item["client_id"] for item in listed] == [app["client_id"]]
    for body, status in (
        ({"unit": FOREIGN, "name": "x"}, 403),
        ({"unit": DISTRICT, "name": "x", "roles": ["district_admin"]}, 403),
        ({"unit": DISTRICT, "name": "x", "roles": ["operator"]}, 422),
        ({"unit": DISTRICT, "name": "x", "roles": ["street_admin"]}, 422),
        ({"unit": GRID, "name": "x"}, 422),
        ({"unit": f"{DISTRICT}777", "name": "x"}, 422),
        ({"unit": STREET, "name": "x", "roles": []}, 422),
        ({"unit": STREET, "name": "x", "secret": "mine"}, 422),
    ):
        answer = await admin.post("/directory/v1/apps", json=body)
        assert answer.status_code == status, (body, answer.text)


async def test_apps_out_of_reach_look_like_apps_that_are_not_there(directory: Running) -> None:
    foreign = await made(directory.client("district_admin", FOREIGN), "/apps", unit=FOREIGN, name="别区")
    platforms = await made(directory.client("operator", "0"), "/apps", unit=DISTRICT, name="本区")
    admin = directory.client("district_admin", DISTRICT)
    assert (await admin.get(f"/directory/v1/apps/{platforms['client_id']}")).status_code == 200
    path = f"/directory/v1/apps/{foreign['client_id']}"
    for attempt in (
        await admin.get(path),
        *[await move(admin, f"/apps/{foreign['client_id']}/{step}") for step in ("rotate-secret", "disable")],
    ):
        assert attempt.status_code == 404
    assert (await admin.get(f"/directory/v1/apps?within={FOREIGN}")).status_code == 403
    for role, unit in (("street_admin", STREET), ("community_manager", COMMUNITY), ("app", SIBLING)):
        assert (await directory.client(role, unit).get("/directory/v1/apps")).status_code == 403
