"""What goes over HTTP. Phone and ID number leave masked, except by `reveal`."""

from collections import Counter
from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from linli.schemas import In, Out, Text
from linli.units import UnitCode
from residents import identity
from residents.models import Gender

_Short = StringConstraints(min_length=1, max_length=40)
Phone = Annotated[str, _Short, AfterValidator(identity.phone_number)]
IdNumber = Annotated[str, _Short, AfterValidator(identity.id_number)]
DayOfBirth = Annotated[date, AfterValidator(identity.day_of_birth)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]
Door = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=r"^[^\x00-\x1f\x7f]*$")]
Staircase = Annotated[int, Field(ge=1, le=99, description="Number of the staircase (单元/楼组)")]
Secret = Literal["phone", "id_number"]


def _example(**fields: JsonValue) -> ConfigDict:
    """Put a body into the documentation that can be sent as it stands, but for its ids."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


_BUILDING = "0198c1de-0000-7000-8000-000000000001"
_HOUSEHOLD = "0198c1de-0000-7000-8000-000000000002"
_PERSON: dict[str, JsonValue] = {"name": "林晓梅", "gender": "female", "born_on": "1949-01-01", "phone": "13800000000"}


class HouseholdIn(In):
    """A household (户): a door in a building."""

    model_config = _example(building=_BUILDING, staircase=2, door="502")

    building: UUID
    staircase: Staircase | None = None
    door: Door = Field(description="Room number (室号)", examples=["502"])


class PersonIn(In):
    """A person; with an ID number, date of birth and gender follow from it."""

    name: Name
    gender: Gender | None = None
    born_on: DayOfBirth | None = None
    phone: Phone | None = None
    id_number: IdNumber | None = None
    lives_here: bool = Field(default=True, description="false: registered here, lives elsewhere (人户分离)")

    @model_validator(mode="after")
    def _birth_is_known(self) -> Self:
        if self.id_number is None:
            if self.born_on is None or self.gender is None:
                raise ValueError("give id_number, or born_on and gender (请提供身份证号，或出生日期和性别)")
        elif self.born_on not in (None, self.born) or self.gender not in (None, self.sex):
            raise ValueError("born_on or gender contradicts id_number (出生日期或性别与身份证号不符)")
        return self

    @property
    def born(self) -> date:
        """The date of birth, given or read from the ID number."""
        return identity.born_on(self.id_number) if self.id_number else self.born_on or date.min

    @property
    def sex(self) -> str:
        """The gender, given or read from the ID number."""
        return identity.gender(self.id_number) if self.id_number else self.gender or ""


class ResidentIn(PersonIn):
    """A person to be registered in a household."""

    model_config = _example(household=_HOUSEHOLD, **_PERSON)

    household: UUID


class ResidentChange(In):
    """What changes; what is not sent stays, null removes."""

    model_config = _example(phone="13800000000")

    name: Name | None = None
    phone: Phone | None = None
    id_number: IdNumber | None = None
    lives_here: bool | None = None
    household: UUID | None = Field(default=None, description="Move to another household (迁入其他户)")

    @model_validator(mode="after")
    def _required_stay(self) -> Self:
        if any(getattr(self, name) is None for name in self.model_fields_set - {"phone", "id_number"}):
            raise ValueError("name, lives_here and household can't be removed (姓名、是否实住、所在户不能为空)")
        if not self.model_fields_set:
            raise ValueError("nothing to change (没有要修改的内容)")
        return self


class ImportedPerson(PersonIn):
    """A person of an imported household; with an `id` of the caller's making, the import is safe to run twice."""

    id: UUID | None = None


class ImportedHousehold(HouseholdIn):
    """A household with its people; with an `id` of the caller's making, the import is safe to run twice."""

    id: UUID | None = None
    residents: Annotated[list[ImportedPerson], Field(max_length=50, default_factory=list)]


class Import(In):
    """Many households at once, all or none."""

    model_config = _example(households=[{"building": _BUILDING, "staircase": 2, "door": "502", "residents": [_PERSON]}])

    households: Annotated[list[ImportedHousehold], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _ids_are_given_once(self) -> Self:
        ids = Counter(one.id for one in self.households if one.id)
        ids.update(person.id for one in self.households for person in one.residents if person.id)
        if twice := [str(id_) for id_, times in ids.items() if times > 1]:
            raise ValueError(f"an id stands twice in this import: {twice[0]} (编号重复)")
        return self


class Search(In):
    """One of phone, ID number and (the beginning of) a name; in the body, so that no log keeps it."""

    model_config = _example(phone="13800000000")

    phone: Phone | None = None
    id_number: IdNumber | None = None
    name: Name | None = None
    within: UnitCode | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if len({"phone", "id_number", "name"} & self.model_fields_set) != 1:
            raise ValueError("give exactly one of phone, id_number and name (请提供电话、身份证号、姓名之一)")
        return self


class Reveal(In):
    """Which fields to show in full, and why."""

    model_config = _example(fields=["phone"], purpose="入户走访前联系")

    fields: Annotated[list[Secret], Field(min_length=1, max_length=2)]
    purpose: Annotated[Text, Field(min_length=2, max_length=200, description="Why (用途)")]


class HouseholdOut(Out):
    """A household and who is behind its door, in numbers."""

    id: UUID
    unit: UnitCode
    building: UUID
    staircase: int | None
    door: str
    residents: int
    living: int
    occupied: bool
    living_alone: bool
    all_elderly: bool


class ResidentOut(Out):
    """A resident; phone and ID number are masked."""

    id: UUID
    unit: UnitCode
    household: UUID
    name: str
    gender: Gender
    born_on: date
    lives_here: bool
    phone: str | None = Field(examples=["138****1234"])
    id_number: str | None = Field(examples=["3****************X"])
    registered_at: datetime
    version: int


class Revealed(Out):
    """What was asked for, in full; null where nothing is known."""

    phone: str | None = None
    id_number: str | None = None


class Imported(Out):
    """How many rows an import made, and how many it found there already."""

    households_created: int
    households_existing: int
    residents_created: int
    residents_existing: int


class Counts(Out):
    """What a unit's people know by heart (底数): buildings, households, residents."""

    unit: UnitCode
    buildings: int = Field(description="楼栋")
    households: int = Field(description="户")
    occupied_households: int = Field(description="Somebody lives there (实住户)")
    residents: int = Field(description="Registered people, living here or not (登记人数)")
    living_alone: int = Field(description="People who live alone (独居)")
    living_alone_elderly: int = Field(description="Of these, 60 or older (独居老人)")
    all_elderly: int = Field(description="People in households where everybody is 60 or older (纯老)")
