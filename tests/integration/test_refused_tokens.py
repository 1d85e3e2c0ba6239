"""Tokens that are not the directory's word, or no longer: refused by every service, at the gateway, in words.

Some are signed with the directory's own key, as only somebody could who has stolen its database and the master key:
what is tested is that each claim is looked at, not the signature alone.
"""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from tests.integration.conftest import SERVICES, Platform

from linli.crypto import MasterKeys

pytestmark = pytest.mark.xdist_group("platform")

URL = "/directory/oauth/token"
GRID = "310104003001001"
ASKED = {service: f"/{service}/v1/dead-letters" for service in SERVICES} | {"console": "/console/v1/traces"}
"""What an operator may ask of each."""
ISSUER, AUDIENCE = "https://oidc.linli.invalid", "linli-310104"
"""Of the OIDC provider that `linli token` stands in for."""
Key = ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
async def stolen(platform: Platform) -> tuple[str, Key]:
    """The directory's signing key, with its id."""
    master = MasterKeys((platform.home / "secrets" / "master_key").read_text())
    async with platform.database("directory") as database:
        row = await database.fetchrow(
            "SELECT * FROM signing_key WHERE active_from <= now() ORDER BY number DESC LIMIT 1"
        )
    key = load_der_private_key(master.unwrap(0, row["number"], row["private"]), None)
    assert isinstance(key, Key)
    return row["kid"], key


@pytest.fixture
async def claims(platform: Platform) -> dict[str, Any]:
    """What a good token of an operator says."""
    found: dict[str, Any] = jwt.decode(platform.token("operator", "0"), options={"verify_signature": False})
    return found


@pytest.fixture
async def nobody(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.client() as client:
        yield client


def public(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def by_hand(header: dict[str, object], claims: dict[str, Any], secret: bytes | None) -> str:
    """Write a token that no library would."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    said = b".".join(parts)
    mac = b"" if secret is None else base64.urlsafe_b64encode(hmac.digest(secret, said, "sha256")).rstrip(b"=")
    return (said + b"." + mac).decode()


def forged(claims: dict[str, Any], kid: str, key: Key) -> dict[str, str]:
    """Give access tokens that are not good, by what is wrong with them."""
    now, stranger = int(time.time()), ec.generate_private_key(ec.SECP256R1())

    def signed(with_key: Key = key, key_id: str = kid, typ: str = "at+jwt", **changes: object) -> str:
        return jwt.encode({**claims, **changes}, with_key, "ES256", {"kid": key_id, "typ": typ})

    without_end = {name: value for name, value in claims.items() if name != "exp"}
    return {
        "of another issuer": signed(iss="https://elsewhere.invalid"),
        "of another audience": signed(aud="another"),
        "expired": signed(iat=now - 700, nbf=now - 700, exp=now - 60),
        "without an end": jwt.encode(without_end, key, "ES256", {"kid": kid, "typ": "at+jwt"}),
        "not yet valid": signed(nbf=now + 300),
        "of another type": signed(typ="JWT"),
        "of no type": by_hand({"alg": "ES256", "kid": kid}, claims, b"x"),
        "of an unknown key id": signed(stranger, uuid4().hex),
        "of a stranger under a known key id": signed(stranger),
        "unsigned": by_hand({"alg": "none", "kid": kid, "typ": "at+jwt"}, claims, None),
        "signed with the public key": by_hand({"alg": "HS256", "kid": kid, "typ": "at+jwt"}, claims, public(key)),
    }


NAMES = list(forged({}, "x", ec.generate_private_key(ec.SECP256R1())))


@pytest.mark.parametrize("service", ASKED)
async def test_a_good_token_is_taken(platform: Platform, nobody: httpx.AsyncClient, service: str) -> None:
    headers = {"Authorization": f"Bearer {platform.token('operator', '0')}"}
    assert (await nobody.get(ASKED[service], headers=headers)).status_code == 200


@pytest.mark.parametrize("name", NAMES)
async def test_a_token_that_is_not_good_is_refused_by_every_service(
    nobody: httpx.AsyncClient, claims: dict[str, Any], stolen: tuple[str, Key], name: str
) -> None:
    for path in ASKED.values():
        answer = await nobody.get(path, headers={"Authorization": f"Bearer {forged(claims, *stolen)[name]}"})
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        body = answer.json()
        assert body["type"] == "urn:linli:problem:unauthorized"
        assert "/directory/oauth/token" in body["detail"]
        assert "令牌" in body["detail_zh"]


def provider(platform: Platform) -> Key:
    key = load_pem_private_key((platform.home / "secrets" / "oidc_key.pem").read_bytes(), None)
    assert isinstance(key, Key)
    return key


def id_token(platform: Platform, subject: str = "", key_id: str = "embedded", **changes: object) -> str:
    now = int(time.time())
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject or uuid4().hex, "iat": now, "exp": now + 60}
    return jwt.encode({**body, "jti": uuid4().hex, **changes}, provider(platform), "ES256", {"kid": key_id})


async def exchange(client: httpx.AsyncClient, token: str, **form: str) -> httpx.Response:
    body = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    }
    return await client.post(URL, data=body | form)


def refused(answer: httpx.Response, error: str) -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
    assert len(answer.json()["error_description"]) > 10
    assert answer.headers["cache-control"] == "no-store"


async def test_a_subject_token_that_is_not_good_is_not_exchanged(platform: Platform, nobody: httpx.AsyncClient) -> None:
    platform.token("resident", "310104")  # it registers the provider
    now, key = int(time.time()), provider(platform)
    body = jwt.decode(id_token(platform), options={"verify_signature": False})
    for token in (
        id_token(platform, iss="https://elsewhere.invalid"),
        id_token(platform, aud="another"),
        id_token(platform, iat=now - 400, exp=now - 60),
        id_token(platform, key_id="another"),
        by_hand({"alg": "none", "kid": "embedded"}, body, None),
        by_hand({"alg": "HS256", "kid": "embedded"}, body, public(key)),
        jwt.encode(body, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "embedded"}),
        platform.token("operator", "0"),  # an access token is no subject token
    ):
        refused(await exchange(nobody, token), "invalid_grant")


async def test_a_subject_token_is_exchanged_once(platform: Platform, nobody: httpx.AsyncClient) -> None:
    token = id_token(platform)
    assert (await exchange(nobody, token)).status_code == 200
    for _ in range(2):
        refused(await exchange(nobody, token), "invalid_grant")


async def test_who_has_left_gets_no_token_and_the_last_one_ends(
    platform: Platform, nobody: httpx.AsyncClient, stolen: tuple[str, Key]
) -> None:
    subject = f"left-{uuid4().hex}"
    async with platform.client("district_admin", "310104") as admin:
        person = {"unit": GRID, "name": "将离任", "issuer": ISSUER, "subject": subject}
        staff = (await admin.post("/directory/v1/staff", json=person)).raise_for_status().json()
        seat = {"role": "grid_worker", "unit": GRID}
        held = await admin.post(f"/directory/v1/staff/{staff['id']}/assignments", json=seat)
        held.raise_for_status()
        scope = f"grid_worker@{GRID}"
        last = (await exchange(nobody, id_token(platform, subject), scope=scope)).raise_for_status().json()
        ended = await admin.post(
            f"/directory/v1/assignments/{held.json()['id']}/end", headers={"If-Match": held.headers["etag"]}
        )
        assert ended.is_success, ended.text
    refused(await exchange(nobody, id_token(platform, subject), scope=scope), "invalid_scope")
    # Whoever he is now, he is a resident like everybody.
    now_is = (await exchange(nobody, id_token(platform, subject))).raise_for_status().json()
    assert now_is["scope"] == "resident@310104"
    # The last one runs out within ten minutes; nothing makes it good again.
    assert last["expires_in"] <= 600
    said = jwt.decode(last["access_token"], options={"verify_signature": False})
    assert said["exp"] - time.time() <= 600
    kid, key = stolen
    later = {**said, "iat": said["iat"] - 700, "nbf": said["nbf"] - 700, "exp": said["exp"] - 700}
    over = jwt.encode(later, key, "ES256", {"kid": kid, "typ": "at+jwt"})
    answer = await nobody.get("/residents/v1/residents", headers={"Authorization": f"Bearer {over}"})
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)
