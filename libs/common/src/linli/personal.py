"""What a service that encrypts personal data offers besides (个人信息): its audit log to read, its keys to replace."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select

from linli import units
from linli.audit import AuditRow
from linli.crypto import Keyring
from linli.paging import Paging
from linli.problems import NotFound
from linli.schemas import Out, Paged
from linli.security import Principal, require
from linli.service import DistrictTransaction, Router, Transaction
from linli.units import Level, UnitCode


class AuditOut(Out):
    """One act on personal data."""

    sequence: int
    at: datetime
    unit: UnitCode
    actor: UUID
    client: str
    action: str
    purpose: str | None
    subjects: list[UUID]
    fields: list[str]


class KeyOut(Out):
    """A district's newest data key."""

    district: UnitCode
    key: int


# Asynchronous, though it waits for nothing: FastAPI would hand it to a thread for each request.
async def _keyring(request: Request) -> Keyring:
    found: Keyring = request.app.state.keyring
    return found


Keys = Annotated[Keyring, Depends(_keyring)]
"""The service's keyring, which its composition root puts at `app.state.keyring`."""


def router(service: str) -> APIRouter:
    """Make the routes that show who looked at whose data, and that replace a district's data key."""
    routes = Router(prefix=f"/{service}/v1", tags=["personal data"])

    @routes.get("/audit")
    async def list_audit(
        session: Transaction,
        caller: Annotated[Principal, require("audit.read")],
        page: Paging,
        request: Request,
        response: Response,
    ) -> Paged[AuditOut]:
        """List who looked at whose data and why, newest first (审计日志)."""
        rows, following = await page.of(
            session,
            select(AuditRow).where(AuditRow.district == caller.district),
            key=(AuditRow.sequence.desc(),),
            request=request,
            response=response,
        )
        return Paged(items=[AuditOut.model_validate(row) for row in rows], next=following)

    @routes.post("/districts/{district}/keys", status_code=201)
    async def rotate_keys(
        district: UnitCode,
        session: DistrictTransaction,
        keyring: Keys,
        _: Annotated[Principal, require("keys.rotate")],
    ) -> KeyOut:
        """Make a new data key for a district (轮换密钥); what the old ones encrypted stays readable."""
        if units.level(district) is not Level.DISTRICT:
            raise NotFound(kind="district", id=units.short(district))
        return KeyOut(district=district, key=await keyring.rotate(session, units.district(district)))

    return routes
