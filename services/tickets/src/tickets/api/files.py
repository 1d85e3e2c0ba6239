"""Routes of photos and files."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, Final
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from linli.db import transaction
from linli.etags import IfMatch, etag, set_etag
from linli.models import uuid7
from linli.paging import Paging
from linli.problems import BadRequest, NotFound
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction
from tickets.files import Store
from tickets.models.files import File, object_name
from tickets.operations import files as operations
from tickets.operations.tickets import find_ticket
from tickets.pictures import Kind
from tickets.schemas.files import FileOut

UPLOAD: Final = r"/tickets/v1/tickets/[^/]+/files"
LARGEST: Final = 10 * 1024 * 1024
_IN_MEMORY: Final = 256 * 1024
_BAD_FORM: Final = "the form is damaged, or has not one part `file` and no other (表单应只含一个 file)"
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_FORM: Final = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
        "additionalProperties": False,
    }
}
_TAKEN: Final = {kind.media_type: _BINARY for kind in Kind}
CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {**_TAKEN}, "description": "The content (文件内容)"},
    304: {"description": "As you have it (未修改)"},
}
"""What is answered where a file's content is read."""

router = Router(prefix="/tickets/v1/tickets/{ticket_id}/files", tags=["files"])
Writer = Annotated[Principal, require("files.write")]


Locate = Annotated[
    bool, Query(description="Take the ticket's place from the picture; its reporter may (以照片位置定位)")
]


async def _kept(
    request: Request,
    ticket_id: UUID,
    caller: Writer,
    *,
    _: Annotated[Locate, Query(alias="locate")] = False,  # refused here, before anything is received
) -> operations.Kept:
    """Receive a file and keep it, before the request's transaction begins: a slow client or store holds none."""
    file_id, now = uuid7(), datetime.now(UTC)
    async with transaction(request.app.state.sessions, caller.scope) as session:
        ticket = await operations.announce_file(session, ticket_id, file_id)
    store: Store = request.app.state.files
    async with store.receiving(), _received(request) as file:
        content = await store.keep(object_name(ticket.district, file_id), file)
    return operations.Kept(file_id, now, content)


@router.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": _FORM, **_TAKEN}}},
)
async def add_file(
    ticket_id: UUID,
    kept: Annotated[operations.Kept, Depends(_kept)],
    session: Transaction,
    caller: Writer,
    response: Response,
    *,
    locate: Locate = False,
) -> FileOut:
    """Add a photo or PDF of at most 10 MiB (上传附件), as the body itself or as `file` of a form.

    What it is, is told by its content. Pictures are drawn anew, at most 2,048 pixels wide or high: nothing of what the
    camera wrote into them, such as the place, is kept or shown.
    """
    file = await operations.add_file(session, caller, ticket_id, kept, locate=locate)
    response.headers["Location"] = f"/tickets/v1/tickets/{ticket_id}/files/{file.id}"
    set_etag(response, file)
    return FileOut.model_validate(file)


@router.get("", dependencies=[require("tickets.read")])
async def list_files(
    ticket_id: UUID, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[FileOut]:
    """List the files of a ticket, oldest first; those that were removed say so."""
    ticket = await find_ticket(session, ticket_id)
    rows, following = await page.of(
        session, operations.files_of(ticket), key=(File.id,), request=request, response=response
    )
    return Paged(items=[FileOut.model_validate(row) for row in rows], next=following)


@router.get("/{file_id}", dependencies=[require("tickets.read")], response_class=StreamingResponse, responses=CONTENT)
async def read_file(ticket_id: UUID, file_id: UUID, session: Transaction, request: Request) -> Response:
    """Read a file's content."""
    file = await operations.find_file(session, ticket_id, file_id)
    return await content(request, file, file.media_type)


@router.get(
    "/{file_id}/thumbnail",
    dependencies=[require("tickets.read")],
    response_class=StreamingResponse,
    responses={**CONTENT, 200: {"content": {"image/webp": _BINARY}, "description": "A small picture (缩略图)"}},
)
async def read_thumbnail(ticket_id: UUID, file_id: UUID, session: Transaction, request: Request) -> Response:
    """Read a picture's thumbnail, a WebP of at most 320 pixels (缩略图)."""
    file = await operations.find_file(session, ticket_id, file_id)
    if file.width is None:
        raise NotFound(kind="thumbnail", id=str(file_id))
    return await content(request, file, "image/webp", thumbnail=True)


@router.delete("/{file_id}")
async def remove_file(
    ticket_id: UUID, file_id: UUID, match: IfMatch, session: Transaction, caller: Writer, response: Response
) -> FileOut:
    """Take a file away (删除附件): whoever added it, or staff. That it was there is kept."""
    file = await operations.find_file(session, ticket_id, file_id, to_change=True)
    match.check(file)
    await operations.remove_file(session, caller, file)
    set_etag(response, file)
    return FileOut.model_validate(file)


async def content(request: Request, file: File, media_type: str, *, thumbnail: bool = False) -> Response:
    """Answer with what is in the store of a file, or that it is as the client has it.

    Raises:
        FileRemoved: 410.
    """
    file.must_be_there()
    headers = {
        "ETag": etag(file),
        "Cache-Control": "private, max-age=300",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "Content-Disposition": f'{"attachment" if file.kind == Kind.PDF else "inline"}; filename="{file.id}.'
        f'{media_type.rpartition("/")[2]}"',
    }
    if etag(file) in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    store: Store = request.app.state.files
    pieces = await store.read(file.object_name, thumbnail=thumbnail)
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[BinaryIO]:
    """Give the uploaded file, which is on disk when it is not small."""
    if "idempotency-key" in request.headers:
        await request.body()  # the whole of it is held against the key
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with AsyncExitStack() as stack:
            try:
                form = await stack.enter_async_context(request.form(max_files=1, max_fields=0))
            except HTTPException as error:
                raise BadRequest(reason=_BAD_FORM) from error
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise BadRequest(reason=_BAD_FORM)
            yield part.file
        return
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        yield file  # type: ignore[misc] # a BinaryIO in all but name
