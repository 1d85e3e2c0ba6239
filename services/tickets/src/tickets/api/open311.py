"""Routes of Open311 GeoReport v2, as its public specification has them, with the extension for updates.

Reading needs no token and sees what a district has made public; reporting needs an `api_key`. What a reporter says of
himself (email, device_id, account_id, first_name, last_name, phone) is taken and not kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from linli.db import Scope, transaction
from linli.problems import BadRequest, Unavailable
from linli.security import Principal
from tickets.api import open311_form
from tickets.georeport import Form, respond
from tickets.models.open311 import ApiKeyInvalid, ArgumentUnknown
from tickets.operations import open311 as operations
from tickets.operations import open311_reports as reports
from tickets.operations import open311_services as services
from tickets.schemas.open311 import (
    Discovery,
    Endpoint,
    ErrorOut,
    Named,
    Posted,
    RequestUpdate,
    Service,
    ServiceDefinition,
    ServiceRequest,
    Updated,
)

_XML: Final = {"text/xml": {"schema": {"type": "string"}}}
READERS: Final = 3
"""How many of those who need no token are answered at a time: connections are left for residents and staff."""
_WAIT: Final = 5.0
_READ_ONLY: Final = text("SET TRANSACTION READ ONLY")
_FIELDS: Final = 200
_FIELD: Final = 16 * 1024
_OF_THE_REPORTER: Final = ("email", "device_id", "account_id", "first_name", "last_name", "phone")
_CHANGED: Final = "2026-11-22T00:00:00Z"

router = APIRouter(
    prefix="/tickets/open311/v2",
    tags=["open311"],
    responses={"default": {"model": list[ErrorOut], "content": {**_XML}, "description": "What is wrong (错误)"}},
)


def _answers(model: Any) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401 a model, or a list of one
    return {200: {"model": model, "content": {**_XML}, "description": "XML or JSON, by the ending of the address"}}


def _takes(required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {name: {"type": "string"} for name in (*required, *optional)},
        "additionalProperties": {"type": "string"},
    }
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


@dataclass(frozen=True, slots=True)
class _Seen:
    unit: int
    session: AsyncSession


async def _seen(
    request: Request,
    jurisdiction_id: Annotated[
        str | None,
        Query(description="Code of a district or street (区或街道代码)", examples=["310104003"], max_length=100),
    ] = None,
) -> AsyncIterator[_Seen]:
    unit = services.jurisdiction(jurisdiction_id)
    readers: asyncio.Semaphore = request.app.state.open311_readers
    try:
        async with asyncio.timeout(_WAIT):
            await readers.acquire()
    except TimeoutError:
        raise Unavailable from None
    try:
        async with transaction(request.app.state.sessions, Scope.of_unit(unit)) as session:
            await session.execute(_READ_ONLY)
            await services.require_jurisdiction(session, unit)
            yield _Seen(unit, session)
    finally:
        readers.release()


Seen = Annotated[_Seen, Depends(_seen, scope="function")]
"""What everybody may see of a jurisdiction, in a transaction that sees no other, and changes nothing."""


async def _given(request: Request) -> AsyncIterator[FormData]:
    async with AsyncExitStack() as stack:
        form = request.form(max_fields=_FIELDS, max_files=1, max_part_size=_FIELD)
        try:
            given = await stack.enter_async_context(form)
        except HTTPException as error:
            raise BadRequest(reason="the form is damaged, or has too many or too long fields (表单无效)") from error
        yield given


Given = Annotated[FormData, Depends(_given, scope="function")]
"""The fields of a form: the specification says urlencoded, and clients also send what carries files."""


@dataclass(frozen=True, slots=True)
class _Acting:
    caller: Principal
    session: AsyncSession


async def _acting(request: Request, given: Given) -> AsyncIterator[_Acting]:
    sessions = request.app.state.sessions
    unit = services.jurisdiction(
        open311_form.field(given, "jurisdiction_id") or request.query_params.get("jurisdiction_id")
    )
    async with transaction(sessions, Scope.of_unit(unit)) as session:
        await services.require_jurisdiction(session, unit)
    secret = open311_form.field(given, "api_key")
    if not secret:
        raise ApiKeyInvalid(permission="api_key")
    async with transaction(sessions, Scope.of_district(unit // 10**12)) as session:
        caller = await reports.open_with(session, secret, unit)
    async with transaction(sessions, caller.scope) as session:
        yield _Acting(caller, session)


Acting = Annotated[_Acting, Depends(_acting, scope="function")]
"""Who acts with the form's api_key, in a transaction that sees its jurisdiction alone."""


@router.get("/discovery.{form}", responses=_answers(Discovery), response_model=None)
async def discover(form: Form, request: Request) -> Response:
    """Say which APIs there are."""
    public = request.app.state.settings.public_url.rstrip("/")
    endpoint = Endpoint(
        specification="http://wiki.open311.org/GeoReport_v2",
        url=f"{public}/tickets/open311/v2",
        changeset=_CHANGED,
        type="production",
        formats=[one.media_type for one in Form],
    )
    contact = "各区管理员 The administrators of each district"
    found = Discovery(changeset=_CHANGED, contact=contact, key_service=f"{public}/docs", endpoints=[endpoint])
    return respond(form, "discovery", found)


@router.get("/services.{form}", responses=_answers(list[Service]), response_model=None)
async def list_services(form: Form, seen: Seen) -> Response:
    """List what can be reported in a jurisdiction: the district's public categories."""
    return respond(form, "services", await services.services(seen.session, seen.unit))


@router.get("/services/{service_code}.{form}", responses=_answers(ServiceDefinition), response_model=None)
async def define_service(service_code: str, form: Form, seen: Seen) -> Response:
    """Say what is asked for when something of a kind is reported."""
    category = await services.find_service(seen.session, seen.unit, service_code)
    return respond(form, "service_definition", services.definition(category))


@router.post(
    "/requests.{form}",
    responses=_answers(list[Posted]),
    response_model=None,
    openapi_extra=_takes(
        ("jurisdiction_id", "api_key", "service_code"),
        ("lat", "long", "address_string", "address_id", "description", "media_url", *_OF_THE_REPORTER),
    ),
)
async def report(form: Form, given: Given, acting: Acting) -> Response:
    """Report something: `attribute[CODE]` answers what its service asks for.

    `address_id` is the code of a unit or the id of a place; without one the report lies with the jurisdiction itself.
    """
    latitude, longitude = open311_form.point(given)
    said = reports.Report(
        service_code=open311_form.field(given, "service_code"),
        description=open311_form.field(given, "description", open311_form.DESCRIPTION),
        latitude=latitude,
        longitude=longitude,
        address_string=open311_form.field(given, "address_string"),
        address_id=open311_form.field(given, "address_id"),
        media_url=open311_form.address(given, "media_url"),
        attributes=open311_form.attributes(given),
    )
    ticket = await reports.report(acting.session, acting.caller, said)
    posted = Posted(service_request_id=str(ticket.id), service_notice=None, account_id=None)
    return respond(form, "service_requests", [posted])


@router.get("/tokens/{token}.{form}", responses=_answers(list[Named]), response_model=None)
async def read_token(token: str, form: Form, seen: Seen) -> Response:
    """Tell which report a token stands for: reports have their id at once, and it is its own token."""
    found = await operations.named_requests(seen.session, seen.unit, open311_form.ids(token, "token"))
    if not found:
        raise ArgumentUnknown(name="token")
    return respond(
        form, "service_requests", [Named(service_request_id=one.service_request_id, token=token) for one in found]
    )


@router.get("/requests.{form}", responses=_answers(list[ServiceRequest]), response_model=None)
async def list_requests(
    form: Form,
    seen: Seen,
    service_request_id: Annotated[str | None, Query(description="Ids, comma delimited; overrides all others")] = None,
    service_code: Annotated[str | None, Query(description="Codes, comma delimited")] = None,
    status: Annotated[str | None, Query(description="open, closed, or both, comma delimited")] = None,
    start_date: Annotated[str | None, Query(description="W3C date and time with zone")] = None,
    end_date: Annotated[str | None, Query(description="The same; at most 90 days after start_date")] = None,
) -> Response:
    """List public reports: of the last 90 days unless said otherwise, at most 1,000, the newest first."""
    if service_request_id:
        ids = open311_form.ids(service_request_id, "service_request_id")
        return respond(form, "service_requests", await operations.named_requests(seen.session, seen.unit, ids))
    window = operations.window(open311_form.moment("start_date", start_date), open311_form.moment("end_date", end_date))
    codes, statuses = open311_form.several(service_code), open311_form.statuses(status)
    found = await operations.service_requests(seen.session, seen.unit, codes, statuses, window)
    return respond(form, "service_requests", found)


@router.get("/requests/{service_request_id}.{form}", responses=_answers(list[ServiceRequest]), response_model=None)
async def read_request(service_request_id: str, form: Form, seen: Seen) -> Response:
    """Read a public report."""
    ids = open311_form.ids(service_request_id, "service_request_id")[:1]
    found = await operations.named_requests(seen.session, seen.unit, ids)
    if not found:
        raise ArgumentUnknown(name="service_request_id")
    return respond(form, "service_requests", found)


@router.get("/servicerequestupdates.{form}", responses=_answers(list[RequestUpdate]), response_model=None)
async def list_updates(form: Form, seen: Seen, start_date: str | None = None, end_date: str | None = None) -> Response:
    """List the steps of public reports in a time: of the last 90 days unless said otherwise, at most 1,000."""
    window = operations.window(open311_form.moment("start_date", start_date), open311_form.moment("end_date", end_date))
    found = await operations.request_updates(seen.session, seen.unit, *window)
    return respond(form, "service_request_updates", found)


@router.post(
    "/servicerequestupdates.{form}",
    responses=_answers(list[Updated]),
    response_model=None,
    openapi_extra=_takes(
        ("jurisdiction_id", "api_key", "service_request_id", "update_id", "updated_datetime", "status", "description"),
        ("media_url", *_OF_THE_REPORTER),
    ),
)
async def add_update(form: Form, given: Given, acting: Acting) -> Response:
    """Add something to one's own report; with the same `update_id` again it has no further effect."""
    open311_form.moment("updated_datetime", open311_form.needed(given, "updated_datetime"))
    statuses = open311_form.statuses(open311_form.needed(given, "status").lower())
    ids = open311_form.ids(open311_form.needed(given, "service_request_id"), "service_request_id")
    if not ids:
        raise ArgumentUnknown(name="service_request_id")
    word = reports.Word(
        service_request_id=ids[0],
        update_id=open311_form.needed(given, "update_id"),
        status=statuses[-1],
        description=open311_form.needed(given, "description", open311_form.DESCRIPTION),
    )
    made = await reports.add_update(acting.session, acting.caller, word)
    return respond(form, "service_request_updates", [Updated(update_id=str(made))])
