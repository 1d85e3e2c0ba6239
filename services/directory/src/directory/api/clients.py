"""Street apps, OIDC providers and signing keys over HTTP."""

import json
from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from directory.api.units import Pages
from directory.keys import SigningKeys
from directory.models import AppClient, Provider
from directory.operations import clients as operations
from directory.operations.lookup import find, within_unit
from directory.schemas import AppIn, AppOut, AppSecretOut, ProviderIn, ProviderOut, SigningKeyOut
from linli.etags import IfMatch, IfMatchIfAny, set_etag
from linli.idempotency import Claim
from linli.problems import PreconditionFailed, PreconditionRequired
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from linli.units import PLATFORM, UnitCode

router = Router(prefix="/directory/v1", tags=["clients"])
Apps = Annotated[Principal, require("apps.write")]
Providers = Annotated[Principal, require("providers.write")]


class _WithoutSecret:
    """Keeps the answer to be given again under its Idempotency-Key, but not the secret in it."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    async def record(self, response: Response) -> None:
        body = json.dumps(json.loads(bytes(response.body)) | {"secret": None})
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        await self._claim.record(Response(body, response.status_code, headers))


def _with_secret(request: Request, response: Response, app: AppClient, secret: str) -> AppSecretOut:
    claim = getattr(request.state, "claim", None)
    if claim is not None:
        request.state.claim = _WithoutSecret(claim)
    set_etag(response, app)
    return AppSecretOut(
        client_id=app.id,
        unit=app.unit,
        name=app.name,
        roles=app.roles,
        active=app.active,
        version=app.version,
        secret=secret,
    )


@router.get("/apps")
async def list_apps(
    session: Transaction, principal: Apps, page: Pages, request: Request, response: Response, within: Within
) -> Paged[AppOut]:
    """List street apps (街道应用) at or below a unit, your own by default."""
    found = await within_unit(session, AppClient, principal.unit if within is None else within)
    rows, following = await page.of(session, found, key=(AppClient.id,), request=request, response=response)
    return Paged(items=[AppOut.model_validate(row) for row in rows], next=following)


@router.post("/apps", status_code=201)
async def register_app(
    body: AppIn, session: Transaction, principal: Apps, request: Request, response: Response
) -> AppSecretOut:
    """Register a street's app; its secret is shown once."""
    app, secret = await operations.register_app(session, principal, unit=body.unit, name=body.name, roles=body.roles)
    response.headers["Location"] = f"/directory/v1/apps/{app.id}"
    return _with_secret(request, response, app, secret)


@router.get("/apps/{client_id}")
async def get_app(client_id: UUID, session: Transaction, _: Apps, response: Response) -> AppOut:
    """Look up an app."""
    app = await find(session, AppClient, client_id, "app")
    set_etag(response, app)
    return AppOut.model_validate(app)


@router.post("/apps/{client_id}/rotate-secret")
async def rotate_secret(
    client_id: UUID, session: Transaction, principal: Apps, match: IfMatch, request: Request, response: Response
) -> AppSecretOut:
    """Give an app a new secret, shown once; the old one ends at once."""
    app = await find(session, AppClient, client_id, "app", lock=True)
    match.check(app)
    secret = await operations.rotate_secret(session, principal, app)
    return _with_secret(request, response, app, secret)


@router.post("/apps/{client_id}/disable")
async def disable_app(
    client_id: UUID, session: Transaction, principal: Apps, match: IfMatch, response: Response
) -> AppOut:
    """Stop giving tokens to an app."""
    app = await find(session, AppClient, client_id, "app", lock=True)
    match.check(app)
    app = await operations.disable_app(session, principal, app)
    set_etag(response, app)
    return AppOut.model_validate(app)


def _provider(row: Provider) -> ProviderOut:
    return ProviderOut(
        district=row.unit,
        issuer=row.issuer,
        audience=row.audience,
        jwks=row.jwks,
        jwks_uri=row.jwks_uri,
        version=row.version,
    )


@router.get("/providers/{district}")
async def get_provider(district: UnitCode, session: Transaction, _: Providers, response: Response) -> ProviderOut:
    """Look up a district's OIDC provider (统一身份认证)."""
    provider = await operations.the_provider(session, district)
    set_etag(response, provider)
    return _provider(provider)


@router.put("/providers/{district}", responses={201: {"model": ProviderOut}})
async def set_provider(
    district: UnitCode,
    body: ProviderIn,
    session: Transaction,
    principal: Providers,
    match: IfMatchIfAny,
    response: Response,
) -> ProviderOut:
    """Set a district's OIDC provider: `If-Match` when it has one already, 201 when it had none."""
    principal.must_cover(PLATFORM)
    provider = await operations.get_provider(session, district, lock=True)
    if provider is None:
        if match is not None:
            raise PreconditionFailed(etag="none")
        response.status_code = 201
    elif match is None:
        raise PreconditionRequired
    else:
        match.check(provider)
    provider = await operations.set_provider(session, district, provider, body.model_dump())
    set_etag(response, provider)
    return _provider(provider)


@router.post("/signing-keys/rotate", status_code=201)
async def rotate_signing_key(
    session: Transaction, _: Annotated[Principal, require("keys.rotate")], request: Request
) -> SigningKeyOut:
    """Publish a new signing key; it signs from `active_from` on, when every verifier must have seen it."""
    keys: SigningKeys = request.app.state.signing_keys
    return SigningKeyOut.model_validate(await keys.rotate(session))
