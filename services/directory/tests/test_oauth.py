import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from services.directory.tests.conftest import COMMUNITY, DISTRICT, FOREIGN, GRID, MICRO, OTHER_MICRO, STREET, made, move

from linli.testing import Running

TOKEN = "/directory/oauth/token"
ISSUER = "https://id.xuhui.example.cn"
AUDIENCE = "linli-310104"
KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(65537, 2048)
JWKS = {
    "keys": [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "rsa", "use": "sig"},
        {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "ec", "use": "sig"},
    ]
}


@pytest.fixture(scope="module", autouse=True)
async def _provider(directory: Running) -> None:
    answer = await directory.client("operator", "0").put(
        f"/directory/v1/providers/{DISTRICT}", json={"issuer": ISSUER, "audience": AUDIENCE, "jwks": JWKS}
    )
    assert answer.status_code == 201, answer.text


def id_token(
    subject: str | None = None,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY,
    alg: str = "RS256",
    kid: str | None = "rsa",
    **claims: object,
) -> str:
    now = int(time.time())
    body: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject or uuid4().hex,
        "iat": now,
        "exp": now + 300,
        **claims,
    }
    return jwt.encode(body, key, alg, {"kid": kid} if kid else None)


async def exchange(
    directory: Running, token: str, auth: tuple[str, str] | None = None, /, **form: str
) -> httpx.Response:
    body = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        **form,
    }
    return await directory.client().post(TOKEN, data=body, auth=auth or httpx.USE_CLIENT_DEFAULT)


async def claims_of(directory: Running, answer: httpx.Response) -> dict[str, Any]:
    """Check a token the way every service does: by the published keys alone."""
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    published = (await directory.client().get("/directory/.well-known/jwks.json")).json()
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    key = jwt.PyJWKSet.from_dict(published)[header["kid"]]
    found: dict[str, Any] = jwt.decode(token, key, ["ES256"], audience="linli", issuer="linli")
    assert found["exp"] - found["iat"] <= 600
    assert found["jti"]
    return found


async def an_app(directory: Running, unit: str = STREET, **fields: object) -> dict[str, Any]:
    return await made(directory.client("district_admin", unit[:6]), "/apps", unit=unit, name="随手拍", **fields)


def refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"


async def test_an_app_gets_a_token_for_its_secret(directory: Running) -> None:
    app = await an_app(directory)
    form = {"grant_type": "client_credentials"}
    secret = {"client_id": app["client_id"], "client_secret": app["secret"]}
    for answer in (
        await directory.client().post(TOKEN, data=form, auth=(app["client_id"], app["secret"])),
        await directory.client().post(TOKEN, data=form | secret),
    ):
        claims = await claims_of(directory, answer)
        assert (claims["sub"], claims["client_id"]) == (app["client_id"], app["client_id"])
        assert (claims["roles"], claims["unit"], claims["grids"]) == (["app"], STREET, [])
        assert answer.headers["cache-control"] == "no-store"
        assert {name: answer.json()[name] for name in ("token_type", "expires_in", "scope")} == {
            "token_type": "Bearer",
            "expires_in": 600,
            "scope": f"app@{STREET}",
        }


async def test_a_secret_is_shown_once_and_only_its_hash_is_kept(
    directory: Running,
) -> None:
    client = directory.client("district_admin", DISTRICT)
    body, headers = {"unit": STREET, "name": "随手拍"}, {"Idempotency-Key": "register-once"}
    first = await client.post("/directory/v1/apps", json=body, headers=headers)
    again = await client.post("/directory/v1/apps", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() | {"secret": None} == again.json()
    assert first.headers["etag"] == again.headers["etag"]
    secret = first.json()["secret"]
    kept = await directory.database.fetchval(
        "SELECT secret_sha256 FROM app_client WHERE id = $1", UUID(first.json()["client_id"])
    )
    assert kept == hashlib.sha256(secret.encode()).digest()
    answers = await directory.database.fetch("SELECT body FROM idempotency_key")
    assert len(answers) == 1
    assert secret.encode() not in answers[0]["body"]


async def test_a_wrong_unknown_or_disabled_client_is_refused_in_the_same_words(directory: Running) -> None:
    app = await an_app(directory)
    disabled = await an_app(directory)
    client = directory.client("district_admin", DISTRICT)
    assert (await client.post(f"/directory/v1/apps/{disabled['client_id']}/disable")).status_code == 428
    answer = await move(client, f"/apps/{disabled['client_id']}/disable", '"1"')
    assert answer.json()["active"] is False
    answers = [
        await directory.client().post(TOKEN, data={"grant_type": "client_credentials"}, auth=auth)
        for auth in (
            (app["client_id"], "wrong"),
            (str(uuid4()), app["secret"]),
            ("no uuid", app["secret"]),
            (disabled["client_id"], disabled["secret"]),
        )
    ]
    for answer in answers:
        refused(answer, "invalid_client", 401)
        assert answer.headers["www-authenticate"] == 'Basic realm="linli"'
        assert answer.content == answers[0].content
    refused(await directory.client().post(TOKEN, data={"grant_type": "client_credentials"}), "invalid_client", 401)


async def test_a_rotated_secret_replaces_the_old_one(directory: Running) -> None:
    app = await an_app(directory)
    client = directory.client("district_admin", DISTRICT)
    path = f"/apps/{app['client_id']}/rotate-secret"
    assert (await client.post(f"/directory/v1{path}")).status_code == 428
    rotated = (await move(client, path, '"1"')).json()
    assert (rotated["version"], (await move(client, path, '"1"')).status_code) == (2, 412)
    form = {"grant_type": "client_credentials"}
    old = await directory.client().post(TOKEN, data=form, auth=(app["client_id"], app["secret"]))
    refused(old, "invalid_client", 401)
    new = await directory.client().post(TOKEN, data=form, auth=(app["client_id"], rotated["secret"]))
    assert new.status_code == 200


async def test_an_app_may_ask_for_less_than_it_has_and_never_for_more(directory: Running) -> None:
    app = await an_app(directory, roles=["street_admin"])

    async def ask(scope: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "scope": scope}
        return await directory.client().post(TOKEN, data=form, auth=(app["client_id"], app["secret"]))

    claims = await claims_of(directory, await ask(f"grid_worker@{GRID}"))
    assert (claims["roles"], claims["unit"], claims["grids"]) == (["grid_worker"], GRID, [GRID])
    claims = await claims_of(directory, await ask(f"community_manager@{COMMUNITY}"))
    assert (claims["roles"], claims["unit"]) == (["community_manager"], COMMUNITY)
    for scope in (
        f"district_admin@{DISTRICT}",
        "operator@0",
        "street_admin@310104004",
        f"street_admin@{COMMUNITY}",
        f"resident@{DISTRICT}",
        "king@310104003",
        "nonsense",
        "grid_worker@1",
    ):
        refused(await ask(scope), "invalid_scope")


@pytest.mark.parametrize("unit", [GRID, MICRO])
async def test_an_app_that_works_in_a_grid_sees_it_without_asking_for_less(directory: Running, unit: str) -> None:
    app = await an_app(directory, unit, roles=["grid_worker", "volunteer"])
    form = {"grant_type": "client_credentials"}
    answer = await directory.client().post(TOKEN, data=form, auth=(app["client_id"], app["secret"]))
    claims = await claims_of(directory, answer)
    assert (claims["roles"], claims["unit"], claims["grids"]) == (["grid_worker", "volunteer"], unit, [GRID])


async def test_whoever_is_unknown_becomes_a_resident_and_keeps_his_id(directory: Running) -> None:
    subject = uuid4().hex
    first = await exchange(directory, id_token(subject))
    claims = await claims_of(directory, first)
    assert (claims["roles"], claims["unit"], claims["client_id"]) == (["resident"], DISTRICT, AUDIENCE)
    assert first.json()["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert first.json()["scope"] == f"resident@{DISTRICT}"
    again = await claims_of(directory, await exchange(directory, id_token(subject, EC_KEY, "ES256", "ec")))
    assert again["sub"] == claims["sub"]
    staff = await made(
        directory.client("street_admin", STREET), "/staff", name="志愿者", unit=STREET, issuer=ISSUER, subject=subject
    )
    assert staff["id"] == claims["sub"]


async def test_staff_get_their_highest_role_or_the_one_they_choose(directory: Running) -> None:
    client, subject = directory.client("street_admin", STREET), uuid4().hex
    staff = await made(client, "/staff", name="王", unit=COMMUNITY, issuer=ISSUER, subject=subject)
    seats = [(MICRO, "grid_worker"), (OTHER_MICRO, "grid_worker"), (f"{COMMUNITY}002", "grid_worker")]
    for unit, role in [*seats, (COMMUNITY, "volunteer")]:
        held = await made(client, f"/staff/{staff['id']}/assignments", role=role, unit=unit)
    claims = await claims_of(directory, await exchange(directory, id_token(subject)))
    assert (claims["sub"], claims["roles"], claims["unit"]) == (staff["id"], ["grid_worker"], MICRO)
    assert claims["grids"] == [GRID, f"{COMMUNITY}002"]
    for scope in (f"volunteer@{COMMUNITY}", f"resident@{DISTRICT}"):
        answer = await exchange(directory, id_token(subject), scope=scope)
        claims = await claims_of(directory, answer)
        assert (answer.json()["scope"], claims["grids"]) == (scope, [])
    assert (await move(client, f"/assignments/{held['id']}/end")).status_code == 200
    for scope in (f"volunteer@{COMMUNITY}", f"street_admin@{STREET}", f"grid_worker@{GRID}"):
        refused(await exchange(directory, id_token(subject), scope=scope), "invalid_scope")


async def test_an_app_vouches_for_people_of_its_own_district_only(directory: Running) -> None:
    app = await an_app(directory)
    claims = await claims_of(directory, await exchange(directory, id_token(), (app["client_id"], app["secret"])))
    assert claims["client_id"] == app["client_id"]
    refused(await exchange(directory, id_token(), (app["client_id"], "wrong")), "invalid_client", 401)
    foreign = await an_app(directory, FOREIGN)
    auth = (foreign["client_id"], foreign["secret"])
    refused(await exchange(directory, id_token(), auth), "unauthorized_client")


def forged() -> dict[str, str]:
    now = int(time.time())
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "iat": now, "exp": now + 300}

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": "rsa", "typ": "JWT"}) + b"." + part(body)
    mac = base64.urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")
    none = part({"alg": "none", "kid": "rsa"}) + b"." + part(body) + b"."
    return {
        "unsigned": none.decode(),
        "signed with the public key": (signed + b"." + mac).decode(),
        "of a stranger's key": id_token(key=STRANGER),
        "of an unknown key id": id_token(kid="other"),
        "without key id among several keys": id_token(kid=None),
        "of another kind of key": id_token(key=EC_KEY, alg="ES256", kid="rsa"),
        "expired": id_token(exp=now - 31, iat=now - 400),
        "from the future": id_token(iat=now + 600, exp=now + 900),
        "not yet valid": id_token(nbf=now + 600),
        "for somebody else": id_token(aud="another"),
        "for several, authorized for another": id_token(aud=[AUDIENCE, "another"], azp="another"),
        "of another issuer": id_token(iss="https://evil.example"),
        "running for two days": id_token(exp=now + 2 * 86400),
        "without subject": id_token(sub=""),
        "with a giant subject": id_token("x" * 256),
        "of an issuer that is no name": id_token(iss="https://id\0"),
        "of half a character": id_token(aud=[AUDIENCE, "\ud800"]),
        "for everybody": id_token(aud=[f"a{number}" for number in range(50_000)]),
        "with half a character for a jti": id_token(jti="\ud800"),
        "with a zero byte in its subject": id_token("a\0"),
        "signed by a list": (part({"alg": [], "kid": "rsa"}) + b"." + part(body) + b".").decode(),
        "signed by an object": (part({"alg": {}}) + b"." + part(body) + b".").decode(),
        "that ends at a word": id_token(exp=str(now + 300)),
        "no token": "nonsense",
        "of blanks": "a.b.c",
    }


@pytest.mark.parametrize("name", list(forged()))
async def test_a_token_that_is_not_beyond_doubt_is_refused(directory: Running, name: str) -> None:
    before = await directory.database.fetchval("SELECT count(*) FROM identity")
    refused(await exchange(directory, forged()[name]), "invalid_grant")
    assert await directory.database.fetchval("SELECT count(*) FROM identity") == before


@pytest.mark.parametrize("missing", ["exp", "iat", "sub"])
async def test_a_token_must_say_when_and_who(directory: Running, missing: str) -> None:
    claims = jwt.decode(id_token(), options={"verify_signature": False})
    del claims[missing]
    token = jwt.encode(claims, KEY, "RS256", {"kid": "rsa"})
    refused(await exchange(directory, token), "invalid_grant")


async def test_a_token_is_exchanged_once_when_it_can_be_told_apart(directory: Running) -> None:
    token = id_token(jti=uuid4().hex)
    assert (await exchange(directory, token)).status_code == 200
    refused(await exchange(directory, token), "invalid_grant")
    unspent = id_token(jti=uuid4().hex)
    refused(await exchange(directory, unspent, scope="street_admin@310104003"), "invalid_scope")
    assert (await exchange(directory, unspent)).status_code == 200
    await directory.database.execute("UPDATE spent_token SET expires_at = now() - interval '1 second'")
    assert (await exchange(directory, id_token(jti=uuid4().hex))).status_code == 200
    assert await directory.database.fetchval("SELECT count(*) FROM spent_token") == 1


async def test_requests_that_are_not_as_the_rfc_wants_them_are_refused(directory: Running) -> None:
    client = directory.client()
    refused(await client.post(TOKEN, json={"grant_type": "client_credentials"}), "invalid_request")
    refused(await client.post(TOKEN, data={}), "invalid_request")
    refused(await client.post(TOKEN, data={"grant_type": "password"}), "unsupported_grant_type")
    twice = {"content-type": "application/x-www-form-urlencoded"}
    refused(await client.post(TOKEN, content="grant_type=a&grant_type=a", headers=twice), "invalid_request")
    refused(await client.post(TOKEN, content=b"\xff\xfe", headers=twice), "invalid_request")
    refused(await client.post(TOKEN, content="&".join(f"a{n}=1" for n in range(50)), headers=twice), "invalid_request")
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    refused(await client.post(TOKEN, data=form, auth=("a", "b")), "invalid_request")
    for header in ("Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"nocolon").decode()):
        answer = await client.post(TOKEN, data={"grant_type": "client_credentials"}, headers={"authorization": header})
        refused(answer, "invalid_client", 401)
    refused(await exchange(directory, "", scope=""), "invalid_request")
    urn = "urn:ietf:params:oauth:token-type"
    for form in ({"subject_token_type": f"{urn}:saml2"}, {"requested_token_type": f"{urn}:refresh_token"}):
        refused(await exchange(directory, id_token(), **form), "invalid_request")
    refused(await exchange(directory, id_token(), actor_token="x"), "invalid_request")
    refused(await exchange(directory, id_token(), audience="elsewhere"), "invalid_target")
    assert (await exchange(directory, id_token(), audience="linli")).status_code == 200


async def test_the_metadata_names_what_there_is(directory: Running) -> None:
    answer = await directory.client().get("/directory/.well-known/oauth-authorization-server")
    assert answer.json()["issuer"] == "linli"
    assert answer.json()["token_endpoint"] == "http://test/directory/oauth/token"
    assert answer.headers["cache-control"] == "public, max-age=300"
