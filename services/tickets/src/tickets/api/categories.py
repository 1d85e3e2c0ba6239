"""Routes of a district's categories."""

from typing import Annotated

from fastapi import Request, Response

from linli.etags import IfMatchIfAny, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction
from tickets.models.categories import Category
from tickets.operations import categories as operations
from tickets.schemas.categories import CategoryOut, CategorySet
from tickets.schemas.tickets import Category as Code

router = Router(prefix="/tickets/v1/categories", tags=["categories"])


@router.get("")
async def list_categories(
    session: Transaction,
    caller: Annotated[Principal, require("tickets.read")],
    page: Paging,
    request: Request,
    response: Response,
    parent: Code | None = None,
    *,
    active: bool | None = None,
) -> Paged[CategoryOut]:
    """List the district's categories (诉求类别), by code."""
    rows, following = await page.of(
        session,
        operations.categories_of(caller.district, parent, active=active),
        key=(Category.code,),
        request=request,
        response=response,
    )
    return Paged(items=[CategoryOut.model_validate(row) for row in rows], next=following)


@router.get("/{code}")
async def read_category(
    code: Code, session: Transaction, caller: Annotated[Principal, require("tickets.read")], response: Response
) -> CategoryOut:
    """Read one category."""
    category = await operations.find_category(session, caller.district, code)
    set_etag(response, category)
    return CategoryOut.model_validate(category)


@router.put("/{code}", responses={201: {"model": CategoryOut}})
async def put_category(
    code: Code,
    body: CategorySet,
    match: IfMatchIfAny,
    session: Transaction,
    caller: Annotated[Principal, require("categories.write")],
    response: Response,
) -> CategoryOut:
    """Describe a category, a new one or anew: it holds for what is opened from now on. One there needs If-Match."""
    category, new = await operations.put_category(session, caller, code, match, dict(body))
    response.status_code = 201 if new else 200
    set_etag(response, category)
    return CategoryOut.model_validate(category)
