"""Events (事件): facts that one service tells the others, as contracts that are released once and then only grow.

An event carries ids, codes, numbers and times, never personal data: a stream can't be erased. A new optional field
keeps the version; anything else is a new class with the next version, published beside the old one.
"""

import importlib
import pkgutil
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from linli import units
from linli.models import uuid7
from linli.units import UnitCode

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
"""A word of the platform's own: a role, a category, a rule."""
PlaceName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""The public name of a unit or a building, the only free text that travels."""

registry: Final[dict[str, type["Event"]]] = {}
"""Every contract that has been imported, by its type."""


def _say_what_is_always_sent(schema: dict[str, Any]) -> None:
    schema["required"] = ["id", "occurred_at", *schema.get("required", ())]


class Event(BaseModel):
    """Something that happened to one aggregate, told in the past tense.

    A subclass names itself: `class TicketOpened(Event, type="tickets.opened.v1", aggregate="ticket")`.

    Attributes:
        id: of this event; a consumer acts on it once.
        unit: where it happened; its district is the tenant.
        sequence: the aggregate's version after the change, so that a consumer can drop what is older.
        occurred_at: when it happened.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_extra=_say_what_is_always_sent)

    type: ClassVar[str]
    """`<publisher>.<name>.v<version>`."""
    publisher: ClassVar[str]
    aggregate_field: ClassVar[str]
    state: ClassVar[bool]
    """Whether it tells how the aggregate is now, so that only the last one of each is kept, for ever."""

    id: UUID = Field(default_factory=uuid7)
    unit: UnitCode = Field(ge=10**17)
    sequence: PositiveInt
    occurred_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    def __init_subclass__(cls, *, type: str, aggregate: str, state: bool = False, **rest: Any) -> None:  # noqa: A002, ANN401 as in CloudEvents
        super().__init_subclass__(**rest)
        cls.type = type
        cls.publisher = type.partition(".")[0]
        cls.aggregate_field = aggregate
        cls.state = state
        registry[type] = cls

    @property
    def district(self) -> int:
        """The tenant."""
        return units.district(self.unit)

    @property
    def aggregate(self) -> str:
        """What it happened to."""
        value = getattr(self, self.aggregate_field)
        return units.short(value) if self.aggregate_field == "unit" else str(value)

    @property
    def subject(self) -> str:
        """The NATS subject it is published on."""
        return self.subject_for(str(self.district), self.aggregate)

    @classmethod
    def subject_for(cls, district: str, aggregate: str) -> str:
        """Fill in the subject: `*` for wildcards, `{district}` for a template."""
        publisher, name, version = cls.type.split(".")
        parts = ["linli", publisher, district, name, *([aggregate] if cls.state else []), version]
        return ".".join(parts)


def template(subject: str) -> str:
    """Give a subject without what varies, fit for span names and metrics (`linli.tickets.{district}.opened.v1`)."""
    parts = subject.split(".")
    parts[2:3] = ["{district}"]
    parts[4:-1] = ["{aggregate}"] * len(parts[4:-1])
    return ".".join(parts)


def catalogue() -> list[type[Event]]:
    """Import and list all contracts, by type."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return [registry[type_] for type_ in sorted(registry) if registry[type_].__module__.startswith(__name__)]
