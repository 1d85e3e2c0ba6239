"""Routes of the keys with which apps report through Open311."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets.models.open311 import Key
from tickets.operations import open311_reports as operations
from tickets.schemas.open311 import KeyMade, KeyMake, KeyOut

router = Router(prefix="/tickets/v1/open311-keys", tags=["open311"])
Writer = Annotated[Principal, require("open311.write")]


@router.post("", status_code=201)
async def make_key(body: KeyMake, session: Transaction, caller: Writer, response: Response) -> KeyMade:
    """Make a key for an app (发放接入密钥): it is shown this once."""
    key, secret = await operations.make_key(session, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/open311-keys/{key.id}"
    set_etag(response, key)
    facts = {name: getattr(key, name) for name in KeyOut.model_fields}
    return KeyMade.model_validate({**facts, "key": secret})


@router.get("", dependencies=[require("open311.write")])
async def list_keys(
    session: Transaction, page: Paging, request: Request, response: Response, within: Within
) -> Paged[KeyOut]:
    """List the keys, those that were revoked among them."""
    rows, following = await page.of(
        session, operations.keys_within(within), key=(Key.id,), request=request, response=response
    )
    return Paged(items=[KeyOut.model_validate(row) for row in rows], next=following)


@router.get("/{key_id}", dependencies=[require("open311.write")])
async def read_key(key_id: UUID, session: Transaction, response: Response) -> KeyOut:
    """Read what a key is good for."""
    key = await operations.find_key(session, key_id)
    set_etag(response, key)
    return KeyOut.model_validate(key)


@router.post("/{key_id}/revoke", dependencies=[require("open311.write")])
async def revoke_key(key_id: UUID, match: IfMatch, session: Transaction, response: Response) -> KeyOut:
    """Let a key open nothing from now on (吊销)."""
    key = await operations.find_key(session, key_id, to_change=True)
    match.check(key)
    key.revoke()
    await session.flush()
    set_etag(response, key)
    return KeyOut.model_validate(key)
