"""What goes over HTTP of a district's categories."""

from typing import Annotated, Any

from pydantic import Field

from linli.schemas import In, Line, Out
from tickets.models.categories import Visibility
from tickets.models.moves import Level
from tickets.schemas.tickets import Category, Code

Minutes = Annotated[int, Field(ge=1, le=120_000)]


class CategorySet(In):
    """What a category is, and what its tickets are given."""

    name: Line
    name_en: Line
    parent: Category | None = Field(default=None, description="Code of the category that it is one of (上级类别)")
    answer_minutes: Minutes | None = Field(
        default=None, description="Working minutes until somebody must answer (接单); null as its parent's, as below"
    )
    solve_minutes: Minutes | None = Field(default=None, description="Until it must be dealt with (办结)")
    confirm_minutes: Minutes | None = Field(
        default=None, description="That its reporter has to say whether it is (确认)"
    )
    level: Level = Field(default=Level.COMMUNITY, description="Where its tickets begin (处置层级)")
    department: Code | None = Field(default=None, description="Code of the department that they are for (承办部门)")
    form: dict[str, Any] | None = Field(
        default=None,
        description="JSON Schema 2020-12 of what is asked: an object, without references and patterns (表单)",
        examples=[{"type": "object", "required": ["lamp"], "properties": {"lamp": {"type": "string"}}}],
    )
    visibility: Visibility = Field(default=Visibility.DISTRICT, description="Who may see its tickets (可见范围)")
    weight: int = Field(default=1, ge=1, le=100, description="What one counts for when departments are compared (权重)")
    active: bool = Field(default=True, description="Whether new tickets may be of it")


class CategoryOut(Out):
    """A category as it stands."""

    code: str
    parent: str | None
    name: str
    name_en: str
    answer_minutes: int | None
    solve_minutes: int | None
    confirm_minutes: int | None
    level: Level
    department: str | None
    form: dict[str, Any] | None
    visibility: Visibility
    weight: int
    active: bool
    version: int
