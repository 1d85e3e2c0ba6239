"""The token endpoint (RFC 6749, RFC 8693), the keys its tokens are checked with, and its metadata (RFC 8414)."""

import base64
import binascii
from typing import Any, Final
from urllib.parse import unquote_plus
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from opentelemetry import metrics, trace
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from directory import oauth
from directory.attempts import Attempts
from directory.idtokens import Claimed, ProviderKeys, verify
from directory.keys import JWKS_MAX_AGE, TOKEN_LIFE, SigningKeys
from directory.oauth import Grant, OAuthError, invalid_client, invalid_request
from directory.operations import tokens as operations
from linli.db import Scope, transaction

router = APIRouter(prefix="/directory", tags=["oauth"])

_failed: Final = metrics.get_meter("linli").create_counter(
    "linli.signins.failed", "{signin}", "Token requests that were refused"
)
_PUBLIC: Final = {"Cache-Control": f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"}
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "required": ["grant_type"],
                "properties": {
                    "grant_type": {"type": "string", "enum": [oauth.CLIENT_CREDENTIALS, oauth.TOKEN_EXCHANGE]},
                    "client_id": {"type": "string"},
                    "client_secret": {"type": "string"},
                    "scope": {"type": "string", "examples": ["grid_worker@310104003001001"]},
                    "subject_token": {"type": "string"},
                    "subject_token_type": {"type": "string", "enum": [oauth.ID_TOKEN, oauth.JWT]},
                },
            }
        }
    },
}

_TEXT: Final = {"type": "string"}


def _answer(description: str, required: list[str], **properties: Any) -> dict[str, Any]:  # noqa: ANN401 JSON schemas
    schema = {"type": "object", "required": required, "properties": properties}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: _answer(
        "An access token",
        ["access_token", "token_type", "expires_in", "scope"],
        access_token=_TEXT,
        issued_token_type={**_TEXT, "description": "After an exchange only", "examples": [oauth.ACCESS_TOKEN]},
        token_type={**_TEXT, "examples": ["Bearer"]},
        expires_in={"type": "integer", "description": "Seconds", "examples": [int(TOKEN_LIFE.total_seconds())]},
        scope={**_TEXT, "examples": ["grid_worker@310104003001001"]},
    ),
    "default": _answer(
        "An OAuth 2.0 error (RFC 6749)",
        ["error", "error_description"],
        error={**_TEXT, "examples": ["invalid_client"]},
        error_description=_TEXT,
    ),
}


async def on_oauth_error(_: Request, error: Exception) -> JSONResponse:
    """Answer a refused token request the way RFC 6749 wants it."""
    assert isinstance(error, OAuthError)  # noqa: S101 registered for it
    # Who it was is nobody's business: an attacker may make up names, and somebody may type a secret for one.
    facts = {"reason": error.error, "district": str(error.district)}
    _failed.add(1, facts)
    trace.get_current_span().set_attributes({"linli.district": error.district, "linli.signin.failed": error.error})
    body = {"error": error.error, "error_description": error.description}
    return JSONResponse(body, error.status, {**_NO_STORE, **error.headers})


@router.post("/oauth/token", openapi_extra={"requestBody": _FORM}, responses=_ANSWERS)
async def token(request: Request) -> JSONResponse:
    """Give an access token of ten minutes.

    Apps send `grant_type=client_credentials` with their id and secret. People are sent here by their app with an ID
    token of the district's OIDC provider: `grant_type=urn:ietf:params:oauth:grant-type:token-exchange`; of several
    roles `scope=<role>@<unit>` chooses one.
    """
    form = oauth.read_form(request.headers.get("content-type", ""), await request.body())
    client = _client(request.headers.get("authorization"), form)
    state = request.app.state
    signer = await state.signing_keys.signer(state.sessions)
    match form.get("grant_type"):
        case oauth.CLIENT_CREDENTIALS:
            if client is None:
                raise invalid_client()
            async with transaction(state.sessions, Scope.issuer()) as session:
                app = await _authenticated(request, session, *client)
            grant, issued = operations.grant_app(app, form.get("scope")), {}
        case oauth.TOKEN_EXCHANGE:
            grant, issued = await _exchange(request, form, client), {"issued_token_type": oauth.ACCESS_TOKEN}
        case None:
            raise invalid_request("grant_type is missing")
        case _:
            raise OAuthError("unsupported_grant_type", f"use {oauth.CLIENT_CREDENTIALS} or {oauth.TOKEN_EXCHANGE}")
    settings = state.settings
    body = {
        "access_token": operations.access_token(
            signer, grant, issuer=settings.token_issuer, audience=settings.token_audience
        ),
        **issued,
        "token_type": "Bearer",
        "expires_in": int(TOKEN_LIFE.total_seconds()),
        "scope": grant.scope,
    }
    return JSONResponse(body, headers=_NO_STORE)


async def _exchange(request: Request, form: dict[str, str], client: tuple[str, str] | None) -> Grant:
    state = request.app.state
    subject_token = form.get("subject_token")
    if subject_token is None or form.get("subject_token_type") not in {oauth.ID_TOKEN, oauth.JWT}:
        raise invalid_request(f"subject_token and subject_token_type={oauth.ID_TOKEN} are needed")
    if form.get("requested_token_type", oauth.ACCESS_TOKEN) not in {oauth.ACCESS_TOKEN, oauth.JWT}:
        raise invalid_request("only access tokens are issued")
    if "actor_token" in form:
        raise invalid_request("nobody acts for another here; leave actor_token out")
    if form.get("audience", state.settings.token_audience) != state.settings.token_audience:
        raise OAuthError("invalid_target", f"the only audience is {state.settings.token_audience}")
    claimed = Claimed.of(subject_token)
    async with transaction(state.sessions, Scope.issuer()) as session:
        app = None if client is None else await _authenticated(request, session, *client)
        provider = await operations.provider_of(session, claimed)
    # No connection is held while the provider's keys are fetched from afar.
    provider_keys: ProviderKeys = state.provider_keys
    try:
        key = await provider_keys.find(claimed, provider.jwks, provider.jwks_uri)
        believed = verify(claimed, key, issuer=provider.issuer, audience=provider.audience)
        async with transaction(state.sessions, Scope.issuer()) as session:
            return await operations.grant_person(session, provider, believed, app, form.get("scope"))
    except OAuthError as error:
        error.district = provider.district
        raise


async def _authenticated(request: Request, session: AsyncSession, client_id: str, secret: str) -> Row[Any]:
    try:
        # An id can be written in many ways, and they are one client's; what is none has no secret to try out.
        app_id = UUID(client_id)
    except ValueError as error:
        raise invalid_client() from error
    attempts: Attempts = request.app.state.attempts
    address = request.client.host if request.client else ""
    attempts.check(app_id, secret, address)
    try:
        app = await operations.authenticate(session, app_id, secret)
    except OAuthError:
        attempts.wrong(app_id, address)
        raise
    attempts.right(app_id, secret)
    return app


def _client(authorization: str | None, form: dict[str, str]) -> tuple[str, str] | None:
    """Read the client's id and secret, from the header or from the form but not from both."""
    if authorization is None:
        secret = form.get("client_secret")
        return None if secret is None else (form.get("client_id", ""), secret)
    if "client_secret" in form:
        raise invalid_request("authenticate in one way: by header or by form")
    scheme, _, credentials = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise invalid_client()
        id_, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise invalid_client() from error
    if not colon or form.get("client_id", unquote_plus(id_)) != unquote_plus(id_):
        raise invalid_client()
    return unquote_plus(id_), unquote_plus(secret)


@router.get("/.well-known/jwks.json")
async def jwks(request: Request) -> JSONResponse:
    """Publish the keys that access tokens are checked with."""
    keys: SigningKeys = request.app.state.signing_keys
    return JSONResponse(await keys.jwks(request.app.state.sessions), headers=_PUBLIC)


@router.get("/.well-known/oauth-authorization-server")
async def metadata(request: Request) -> JSONResponse:
    """Tell OAuth clients what there is and where."""
    here = str(request.base_url).rstrip("/") + "/directory"
    document = {
        "issuer": request.app.state.settings.token_issuer,
        "token_endpoint": f"{here}/oauth/token",
        "jwks_uri": f"{here}/.well-known/jwks.json",
        "grant_types_supported": [oauth.CLIENT_CREDENTIALS, oauth.TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
    }
    return JSONResponse(document, headers=_PUBLIC)
