"""Tables of wishes (微心愿), with the steps a wish may take."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from linli.db import NOBODY
from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, Forbidden


class WishState(StrEnum):
    """Where a wish stands on its way to come true."""

    LISTED = "listed"
    CLAIMED = "claimed"
    FULFILLED = "fulfilled"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class WishMove(StrEnum):
    """What is done with a wish, or happens to it when the claim runs out."""

    CLAIM = "claim"
    GIVE_BACK = "give_back"
    EXPIRE = "expire"
    FULFIL = "fulfil"
    CONFIRM = "confirm"
    DENY = "deny"
    WITHDRAW = "withdraw"


WISH_MOVES: Final = {
    WishMove.CLAIM: (WishState.LISTED, WishState.CLAIMED),
    WishMove.GIVE_BACK: (WishState.CLAIMED, WishState.LISTED),
    WishMove.EXPIRE: (WishState.CLAIMED, WishState.LISTED),
    WishMove.FULFIL: (WishState.CLAIMED, WishState.FULFILLED),
    WishMove.CONFIRM: (WishState.FULFILLED, WishState.CONFIRMED),
    WishMove.DENY: (WishState.FULFILLED, WishState.LISTED),
    WishMove.WITHDRAW: (WishState.LISTED, WishState.WITHDRAWN),
}
"""The whole life of a wish: which state a move starts from, and which it ends in."""


class WishTaken(Conflict):
    """Somebody has claimed this wish before you. It comes back to the list if he does not fulfil it in time."""

    title_zh = "心愿已被认领"
    detail_zh = "该心愿已被他人认领；若未按时完成，将重新回到清单。"


class IllegalWishMove(Conflict):
    """A wish that is {state} can't make the move {move}; possible now: {possible}."""

    title_zh = "心愿当前状态不允许此操作"
    detail_zh = "心愿当前状态为 {state}，不能执行 {move}；当前可执行：{possible}。"


class OwnWish(Conflict):
    """This is your own wish; somebody else has to claim it."""

    title_zh = "不能认领自己的心愿"
    detail_zh = "这是您自己的心愿，须由他人认领。"


class NotYourWish(Forbidden):
    """Only {who} may {move} this wish."""

    title_zh = "不是您的心愿"
    detail_zh = "只有 {who} 可以对该心愿执行 {move}。"


class Wish(Placed, Versioned, Base):
    """A small thing somebody would be glad of; it names nobody, so that the whole district may read it.

    Attributes:
        claimer: who fulfils it, NOBODY while it is on the list.
    """

    __tablename__ = "wish"

    kind: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    state: Mapped[str] = mapped_column(default=WishState.LISTED.value)
    claimer: Mapped[UUID] = mapped_column(default=NOBODY)
    claimed_at: Mapped[datetime | None]
    claim_due_at: Mapped[datetime | None]
    listed_at: Mapped[datetime]
    fulfilled_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]

    def possible(self) -> list[str]:
        """List the moves that somebody may make now."""
        return [
            move.value
            for move, (before, _) in WISH_MOVES.items()
            if self.state == before and move is not WishMove.EXPIRE
        ]

    def must_be_free(self) -> None:
        """Refuse a claim that came too late.

        Raises:
            WishTaken: 409, when somebody was faster.
            IllegalWishMove: 409, when it is no longer on the list for another reason.
        """
        if self.state == WishState.CLAIMED:
            raise WishTaken
        self._may(WishMove.CLAIM)

    def claim(self, claimer: UUID, at: datetime, due_at: datetime) -> None:
        """Promise to fulfil it until then (认领)."""
        self.must_be_free()
        self._move(WishMove.CLAIM)
        self.claimer, self.claimed_at, self.claim_due_at = claimer, at, due_at

    def return_to_list(self, move: WishMove) -> None:
        """End the claim: given back, run out, or said to be fulfilled when it was not (退回清单)."""
        self._move(move)
        self.claimer, self.claimed_at, self.claim_due_at, self.fulfilled_at = NOBODY, None, None, None

    def fulfil(self) -> None:
        """Say that it has come true (完成)."""
        self._move(WishMove.FULFIL)
        self.claim_due_at, self.fulfilled_at = None, datetime.now(UTC)

    def confirm(self) -> None:
        """Say that it has come true indeed (确认)."""
        self._move(WishMove.CONFIRM)
        self.confirmed_at = datetime.now(UTC)

    def withdraw(self) -> None:
        """Take it off the list (撤回)."""
        self._move(WishMove.WITHDRAW)

    def _may(self, move: WishMove) -> WishState:
        before, after = WISH_MOVES[move]
        if self.state != before:
            possible = ", ".join(self.possible()) or "nothing (无)"
            raise IllegalWishMove(state=self.state, move=move.value, possible=possible)
        return after

    def _move(self, move: WishMove) -> None:
        self.state = self._may(move).value


class WishPerson(Placed, Base):
    """Who made a wish: seen by the community's staff, by himself, and by the claimer as long as he is that.

    The claimer is the wish's own: the database keeps it so.

    Attributes:
        listed_by: the staff who wrote it down for him, None where he listed it himself.
    """

    __tablename__ = "wish_person"
    __table_args__ = (
        ForeignKeyConstraint(
            ["district", "id", "claimer"], ["wish.district", "wish.id", "wish.claimer"], onupdate="CASCADE"
        ),
    )

    wisher: Mapped[UUID]
    claimer: Mapped[UUID] = mapped_column(default=NOBODY)
    listed_by: Mapped[UUID | None]
