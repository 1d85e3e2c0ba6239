"""Routes of needs and resources."""

from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import PublicWithin, Router, Transaction
from tickets.models.lists import Listed, Need, NeedState, Resource, ResourceState
from tickets.operations import lists as operations
from tickets.schemas.lists import NeedIn, NeedOut, ResourceIn, ResourceOut
from tickets.schemas.tickets import Category

router = Router(prefix="/tickets/v1", tags=["lists"])

Reader = Annotated[Principal, require("lists.read")]
Keeper = Annotated[Principal, require("lists.write")]
Provider = Annotated[Principal, require("resources.write")]
Seen = TypeVar("Seen", NeedOut, ResourceOut)


@router.post("/needs", status_code=201)
async def list_need(body: NeedIn, session: Transaction, caller: Keeper, response: Response) -> NeedOut:
    """Put what a unit needs on the list (需求清单)."""
    need = Need(listed_by=caller.id, **dict(body))
    await operations.put_on_list(session, caller, need)
    response.headers["Location"] = f"/tickets/v1/needs/{need.id}"
    return _answer(need, NeedOut, response)


@router.get("/needs")
async def list_needs(
    session: Transaction,
    caller: Reader,
    page: Paging,
    request: Request,
    response: Response,
    within: PublicWithin,
    kind: Category | None = None,
    state: NeedState | None = None,
) -> Paged[NeedOut]:
    """List needs (需求清单), newest first."""
    rows, following = await page.of(
        session,
        operations.listed_within(Need, caller.district, within, kind, state),
        key=(Need.id.desc(),),
        request=request,
        response=response,
    )
    return Paged(items=[NeedOut.model_validate(row) for row in rows], next=following)


@router.get("/needs/{need_id}", dependencies=[require("lists.read")])
async def read_need(need_id: UUID, session: Transaction, response: Response) -> NeedOut:
    """Read one need."""
    return _answer(await operations.find_listed(session, Need, need_id), NeedOut, response)


@router.post("/needs/{need_id}/withdraw")
async def withdraw_need(
    need_id: UUID, match: IfMatch, session: Transaction, caller: Keeper, response: Response
) -> NeedOut:
    """Take a need off the list (撤回)."""
    return _answer(await _withdrawn(session, caller, Need, need_id, match), NeedOut, response)


@router.get("/needs/{need_id}/candidates", dependencies=[require("lists.write")])
async def list_candidates(
    need_id: UUID, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[ResourceOut]:
    """List the resources that could meet a need (匹配): of its kind, the nearest first."""
    need = await operations.find_listed(session, Need, need_id)
    rows, following = await page.of(
        session,
        operations.candidates_for(need),
        key=(operations.nearness(need), Resource.id),
        request=request,
        response=response,
    )
    return Paged(items=[ResourceOut.model_validate(row) for row in rows], next=following)


@router.post("/resources", status_code=201)
async def list_resource(body: ResourceIn, session: Transaction, caller: Provider, response: Response) -> ResourceOut:
    """Put what the caller offers on the list (资源清单)."""
    resource = Resource(provider=caller.id, **dict(body))
    await operations.put_on_list(session, caller, resource)
    response.headers["Location"] = f"/tickets/v1/resources/{resource.id}"
    return _answer(resource, ResourceOut, response)


@router.get("/resources")
async def list_resources(
    session: Transaction,
    caller: Reader,
    page: Paging,
    request: Request,
    response: Response,
    within: PublicWithin,
    kind: Category | None = None,
    state: ResourceState | None = None,
) -> Paged[ResourceOut]:
    """List resources (资源清单), newest first."""
    rows, following = await page.of(
        session,
        operations.listed_within(Resource, caller.district, within, kind, state),
        key=(Resource.id.desc(),),
        request=request,
        response=response,
    )
    return Paged(items=[ResourceOut.model_validate(row) for row in rows], next=following)


@router.get("/resources/{resource_id}", dependencies=[require("lists.read")])
async def read_resource(resource_id: UUID, session: Transaction, response: Response) -> ResourceOut:
    """Read one resource."""
    return _answer(await operations.find_listed(session, Resource, resource_id), ResourceOut, response)


@router.post("/resources/{resource_id}/withdraw")
async def withdraw_resource(
    resource_id: UUID, match: IfMatch, session: Transaction, caller: Provider, response: Response
) -> ResourceOut:
    """Take a resource off the list (撤回)."""
    return _answer(await _withdrawn(session, caller, Resource, resource_id, match), ResourceOut, response)


async def _withdrawn(
    session: Transaction, caller: Principal, what: type[operations.Row], id_: UUID, match: IfMatch
) -> operations.Row:
    row = await operations.find_listed(session, what, id_, to_change=True)
    match.check(row)
    await operations.withdraw(session, caller, row)
    return row


def _answer(row: Listed, out: type[Seen], response: Response) -> Seen:
    set_etag(response, row)
    return out.model_validate(row)
