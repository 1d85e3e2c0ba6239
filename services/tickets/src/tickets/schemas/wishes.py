"""What goes over HTTP about wishes."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from linli import units
from linli.schemas import In, Line, Out, Text
from linli.units import UnitCode
from tickets.models.wishes import Wish, WishState
from tickets.schemas.tickets import Category


class WishIn(In):
    """A new wish (微心愿). Everybody in the district reads it: its words should name nobody."""

    unit: UnitCode = Field(description="Where it is wished: community, grid or micro-grid (所在单元)")
    kind: Category = Field(default="other", description="Code of its kind (类别)")
    title: Line
    description: Text
    wisher: UUID | None = Field(
        default=None, description="Whose wish it is, when staff write it down for somebody (代许愿人)"
    )


class WishOut(Out):
    """A wish as it stands.

    Who wished, and in which grid he lives, is told to the community's staff, to himself, and to the claimer as long as
    he is that; to others it is null, and the unit that of the community.
    """

    id: UUID
    unit: UnitCode
    kind: str
    title: str
    description: str
    state: WishState
    mine: bool = Field(description="Whether the caller has claimed it (是否由本人认领)")
    wisher: UUID | None
    claim_due_at: datetime | None = Field(description="When it returns to the list unless fulfilled (认领时限)")
    listed_at: datetime
    fulfilled_at: datetime | None
    confirmed_at: datetime | None
    version: int

    @classmethod
    def of(cls, wish: Wish, caller: UUID, wisher: UUID | None) -> Self:
        """Show a wish to somebody."""
        return cls(
            id=wish.id,
            unit=wish.unit if wisher else units.community(wish.unit),
            kind=wish.kind,
            title=wish.title,
            description=wish.description,
            state=WishState(wish.state),
            mine=wish.claimer == caller,
            wisher=wisher,
            claim_due_at=wish.claim_due_at,
            listed_at=wish.listed_at,
            fulfilled_at=wish.fulfilled_at,
            confirmed_at=wish.confirmed_at,
            version=wish.version,
        )
