"""Use cases of a district's categories (诉求类别): one function each, inside the caller's transaction."""

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli.etags import Match
from linli.problems import NotFound, PreconditionRequired
from linli.security import Principal
from tickets.models.categories import MOST, Category, TooManyCategories, check_place
from tickets.models.forms import check_form
from tickets.operations.departments import require_department
from tickets.operations.rules import change_rules, lock_rules


def categories_of(district: int, parent: str | None, *, active: bool | None) -> Select[tuple[Category]]:
    """Select a district's categories."""
    statement = select(Category).where(Category.district == district)
    if parent is not None:
        statement = statement.where(Category.parent == parent)
    if active is not None:
        statement = statement.where(Category.active == active)
    return statement


async def find_category(session: AsyncSession, district: int, code: str) -> Category:
    """Read a category.

    Raises:
        NotFound: 404.
    """
    category = await session.scalar(select(Category).where(Category.district == district, Category.code == code))
    if category is None:
        raise NotFound(kind="category", id=code)
    return category


async def put_category(
    session: AsyncSession, caller: Principal, code: str, match: Match | None, facts: dict[str, Any]
) -> tuple[Category, bool]:
    """Describe a category, a new one or anew; it holds for tickets that are opened from now on.

    Returns:
        The category, and whether it is new.

    Raises:
        PreconditionRequired: 428, for one that is there, without its ETag.
        PreconditionFailed: 412.
        NotInTheTree: 422.
        Unprocessable: 422, for a form that is none.
        UnknownDepartment: 422.
        TooManyCategories: 409.
    """
    if facts["form"] is not None:
        check_form(facts["form"])
    if facts["department"] is not None:
        await require_department(session, facts["department"], "#/department", to_stay=True)
    # First, so that of two who change the tree at once the second sees what the first has done.
    await lock_rules(session, caller.district)
    everything = await session.scalars(categories_of(caller.district, None, active=None))
    tree = {category.code: category for category in everything}
    check_place(code, facts["parent"], tree.values())
    category = tree.get(code)
    if category is None:
        if len(tree) >= MOST:
            raise TooManyCategories(most=MOST)
        made = Category(district=caller.district, unit=caller.district * 10**12, code=code, **facts)
        session.add(made)
        await change_rules(session, caller.district)
        return made, True
    if match is None:
        raise PreconditionRequired
    match.check(category)
    for name, value in facts.items():
        setattr(category, name, value)
    await change_rules(session, caller.district)
    return category, False
