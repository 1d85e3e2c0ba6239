"""What goes over HTTP in Open311 GeoReport v2, and its keys."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, PlainSerializer

from linli.schemas import In, Line, Out
from linli.units import UnitCode
from tickets.georeport import w3c

Moment = Annotated[datetime, PlainSerializer(w3c, return_type=str, when_used="json")]
Status = Literal["open", "closed"]


class KeyMake(In):
    """An app that is to report (接入方)."""

    name: Line
    unit: UnitCode = Field(description="District or street that it may report in (适用辖区)")


class KeyOut(Out):
    """A key, without what it is."""

    id: UUID
    unit: UnitCode
    name: str
    made_by: UUID
    made_at: datetime
    revoked_at: datetime | None
    version: int


class KeyMade(KeyOut):
    """A key that was just made: this once, it is shown."""

    key: str


class Endpoint(BaseModel):
    """Where an API is."""

    specification: str
    url: str
    changeset: str
    type: str
    formats: list[str]


class Discovery(BaseModel):
    """Which APIs there are."""

    changeset: str
    contact: str
    key_service: str
    endpoints: list[Endpoint]


class Service(BaseModel):
    """A kind of matter that can be reported."""

    service_code: str
    service_name: str
    description: str
    metadata: bool
    type: str
    keywords: str
    group: str


class Value(BaseModel):
    """An answer to choose."""

    key: str
    name: str


class Attribute(BaseModel):
    """What is asked for besides."""

    variable: bool
    code: str
    datatype: str
    required: bool
    datatype_description: str | None
    order: int
    description: str
    values: list[Value] | None = None


class ServiceDefinition(BaseModel):
    """What is asked for when something of a kind is reported."""

    service_code: str
    attributes: list[Attribute]


class Posted(BaseModel):
    """A report that was taken in."""

    service_request_id: str
    service_notice: str | None
    account_id: str | None


class Named(BaseModel):
    """The report that a token stands for."""

    service_request_id: str
    token: str


class ServiceRequest(BaseModel):
    """A report as everybody may see it."""

    service_request_id: str
    status: Status
    status_notes: str | None
    service_name: str
    service_code: str
    description: str | None
    agency_responsible: str | None
    service_notice: str | None
    requested_datetime: Moment
    updated_datetime: Moment
    expected_datetime: Moment | None
    address: str | None
    address_id: str
    zipcode: str | None
    lat: float | None
    long: float | None
    media_url: str | None


class RequestUpdate(BaseModel):
    """A step of a report as everybody may see it."""

    update_id: str
    service_request_id: str
    status: Status
    updated_datetime: Moment
    description: str
    media_url: str | None


class Updated(BaseModel):
    """An update that was taken in."""

    update_id: str


class ErrorOut(BaseModel):
    """What is wrong."""

    code: int
    description: str
