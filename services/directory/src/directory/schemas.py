"""What goes over HTTP."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, AwareDatetime, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from linli.schemas import In, Line, Out
from linli.units import Kind, UnitCode

Role = Literal["volunteer", "grid_worker", "department_staff", "community_manager", "street_admin", "district_admin"]
"""A role that somebody can be assigned; everybody is a resident without it."""
AppRole = Literal[Role, "app"]
Url = Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[^\s]+$")]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Staircases = Annotated[int, Field(ge=0, le=100)]
ROWS = 5_000
"""Rows an import may have."""


def _called(name: str, column: str) -> Any:  # noqa: ANN401 what pydantic's Field gives
    """Read a field from a column of another name; the document shows the first choice, which is the answer's."""
    return Field(validation_alias=AliasChoices(name, column))


def _example(**fields: JsonValue) -> ConfigDict:
    """Put a body into the documentation that can be sent as it stands, but for its ids."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


_UNIT: dict[str, JsonValue] = {"code": "310104003001", "name": "永嘉居民区"}
_BUILDING: dict[str, JsonValue] = {"unit": "310104003001001001", "name": "12号楼", "staircases": 3}


class UnitIn(In):
    """A unit to create, or a row of an import."""

    model_config = _example(**_UNIT)

    code: UnitCode
    name: Line


class UnitsIn(In):
    """Units to import."""

    model_config = _example(units=[_UNIT])

    units: Annotated[list[UnitIn], Field(min_length=1, max_length=ROWS)]


class UnitChange(In):
    """What to change of a unit; what is left out stays."""

    model_config = _example(name="永嘉居民区")

    name: Line | None = None
    active: bool | None = None


class UnitOut(Out):
    """A unit."""

    code: UnitCode = _called("code", "unit")
    parent: UnitCode | None
    kind: Kind
    name: str
    active: bool
    version: int


class CountsOut(Out):
    """What an import did, in rows."""

    created: int
    updated: int
    unchanged: int


class GroupIn(In):
    """A residents' group to create in a grid."""

    model_config = _example(unit="310104003001001", name="第一居民小组")

    unit: UnitCode
    name: Line


class GroupOut(Out):
    """A residents' group."""

    id: UUID
    unit: UnitCode
    name: str
    version: int


class BuildingIn(In):
    """A building to create, or a row of an import; without an id it is known by its name within the community."""

    model_config = _example(**_BUILDING)

    id: UUID | None = None
    unit: UnitCode
    name: Line
    group: UUID | None = None
    staircases: Staircases = 0


class BuildingsIn(In):
    """Buildings to import."""

    model_config = _example(buildings=[_BUILDING])

    buildings: Annotated[list[BuildingIn], Field(min_length=1, max_length=ROWS)]


class BuildingChange(In):
    """What to change of a building; what is left out stays, a group of null takes it out of its group."""

    model_config = _example(name="12号楼", staircases=4)

    unit: UnitCode | None = None
    name: Line | None = None
    group: UUID | None = None
    staircases: Staircases | None = None
    active: bool | None = None

    def changes(self) -> dict[str, Any]:
        """Give the columns to set."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        changes = {name: value for name, value in given.items() if value is not None and name != "group"}
        return {**changes, "group_id": self.group} if "group" in given else changes


class BuildingOut(Out):
    """A building."""

    id: UUID
    unit: UnitCode
    group: UUID | None = _called("group", "group_id")
    name: str
    staircases: int
    active: bool
    version: int


class StaircaseChange(In):
    """Who heads a staircase; null for nobody."""

    model_config = _example(head="0198c1de-0000-7000-8000-000000000001")

    head: UUID | None


class StaircaseOut(Out):
    """A staircase."""

    id: UUID
    building: UUID = _called("building", "building_id")
    unit: UnitCode
    number: int
    head: UUID | None
    version: int


class StaffIn(In):
    """Somebody to take on; issuer and subject say with which account he signs in."""

    model_config = _example(unit="310104003001", name="周敏", issuer="https://login.example.org", subject="zhoumin")

    unit: UnitCode
    name: Line
    issuer: Url | None = None
    subject: Subject | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> "StaffIn":
        if (self.issuer is None) != (self.subject is None):
            raise ValueError("give issuer and subject together (issuer 与 subject 须同时提供)")
        return self

    @property
    def login(self) -> tuple[str, str] | None:
        """The account, if there is one."""
        return (self.issuer, self.subject) if self.issuer and self.subject else None


class StaffChange(In):
    """What to change of a member of staff; a new home unit ends his roles at the old one."""

    model_config = _example(unit="310104003002")

    name: Line | None = None
    unit: UnitCode | None = None


class StaffOut(Out):
    """A member of staff."""

    id: UUID
    unit: UnitCode
    name: str
    version: int


class AssignmentIn(In):
    """A role to give."""

    model_config = _example(role="grid_worker", unit="310104003001001")

    role: Role
    unit: UnitCode


class AssignmentOut(Out):
    """A role that somebody has or had."""

    id: UUID
    staff: UUID
    unit: UnitCode
    role: str
    active: bool
    ended_at: AwareDatetime | None
    version: int


class AppIn(In):
    """A street's app to register."""

    model_config = _example(unit="310104003", name="街道小程序", roles=["app"])

    unit: UnitCode
    name: Line
    roles: Annotated[tuple[AppRole, ...], Field(min_length=1, max_length=4)] = ("app",)


class AppOut(Out):
    """An app; its id is its OAuth2 `client_id`."""

    client_id: UUID = _called("client_id", "id")
    unit: UnitCode
    name: str
    roles: list[str]
    active: bool
    version: int


class AppSecretOut(AppOut):
    """An app with its new secret; it is shown once, a repeated request gives null."""

    secret: str | None


class ProviderIn(In):
    """A district's OIDC provider: its keys, or the address where they are published."""

    model_config = _example(
        issuer="https://login.example.org",
        audience="linli-310104",
        jwks_uri="https://login.example.org/jwks.json",
    )

    issuer: Url
    audience: Line
    jwks: dict[str, Any] | None = None
    jwks_uri: Url | None = None


class ProviderOut(Out):
    """A district's OIDC provider."""

    district: UnitCode
    issuer: str
    audience: str
    jwks: dict[str, Any] | None
    jwks_uri: str | None
    version: int


class SigningKeyOut(Out):
    """A key that signs access tokens, from a time on."""

    kid: str
    active_from: AwareDatetime
