"""Places with a QR code over HTTP."""

from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from linli.schemas import In, Line, Out, Text
from linli.units import UnitCode
from tickets.models.places import Place
from tickets.schemas.tickets import Category, Latitude, Longitude


class _Point(In):
    latitude: Latitude | None = Field(default=None, description="WGS 84, with the longitude (纬度)")
    longitude: Longitude | None = Field(default=None, description="WGS 84, with the latitude (经度)")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("a point has a latitude and a longitude (经纬度须同时填写)")
        return self


class PlaceMake(_Point):
    """A place to be reported on (点位)."""

    unit: UnitCode = Field(description="Where it is: community, grid or micro-grid (所在单元)")
    name: Line


class PlaceChange(_Point):
    """What a place is like from now on."""

    name: Line
    active: bool = Field(default=True, description="Whether its code leads anywhere (是否启用)")


class PlaceReport(In):
    """A report on a place (扫码报事)."""

    title: Line
    description: Text
    category: Category = Field(default="other", description="Code of its kind (类别)")
    answers: dict[str, Any] | None = Field(default=None, description="What the category's form asks for")


class PlaceSeen(Out):
    """What whoever scans a code learns of its place."""

    id: UUID
    unit: UnitCode
    name: str


class PlaceOut(PlaceSeen):
    """A place with its code."""

    latitude: float | None
    longitude: float | None
    code: str
    url: str = Field(description="What the QR code says (二维码网址)")
    active: bool
    version: int

    @classmethod
    def of(cls, place: Place, url: str) -> Self:
        """Read a place, and say where its code leads."""
        facts = {name: getattr(place, name) for name in cls.model_fields if name != "url"}
        return cls.model_validate({**facts, "url": url})
