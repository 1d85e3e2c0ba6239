"""Photos and files of tickets."""

import asyncio
import io
import os
import struct
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from services.tickets.tests.conftest import COMMUNITY, GRID, MICRO, SIBLING

from linli.testing import Running, Stage, eventually
from tickets import clocks
from tickets.app import create_app
from tickets.pictures import SIDE, NoSuchKind, TooManyPixels, examine
from tickets.subscribers import subscriptions

REPORT = {"unit": MICRO, "title": "楼道堆物", "description": "3号楼二楼堆放杂物，影响通行"}
CAMERA = "camera that nobody should know of"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


def photo(form: str = "JPEG", size: tuple[int, int] = (640, 480), mode: str = "RGB", *, turned: bool = False) -> bytes:
    """Make a picture as a phone would: with its place, its maker, a comment."""
    image = Image.new(mode, size, "red")
    image.paste("blue", (0, 0, size[0] // 2, size[1] // 2))
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = CAMERA
    if turned:
        exif[ExifTags.Base.Orientation] = 6
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude] = "N", (31.0, 12.0, 30.0)
    place[ExifTags.GPS.GPSLongitudeRef], place[ExifTags.GPS.GPSLongitude] = "E", (121.0, 26.0, 6.0)
    buffer = io.BytesIO()
    more = {"comment": CAMERA} if form == "JPEG" else {}
    image.save(buffer, form, exif=exif, xmp=CAMERA.encode(), icc_profile=CAMERA.encode(), **more)
    return buffer.getvalue()


async def opened(client: httpx.AsyncClient) -> str:
    answer = await client.post("/tickets/v1/tickets", json=REPORT)
    assert answer.status_code == 201, answer.text
    return f"/tickets/v1/tickets/{answer.json()['id']}"


async def added(client: httpx.AsyncClient, ticket: str, body: bytes, **headers: str) -> httpx.Response:
    return await client.post(f"{ticket}/files", content=body, headers={"Content-Type": "image/jpeg", **headers})


def stored(folder: Path, file: str) -> list[Path]:
    # Folders that become empty are deleted meanwhile: a walk passes over them, where a glob would raise.
    return [Path(here, name) for here, _, names in os.walk(folder) for name in names if file in name]


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
async def test_a_photo_is_kept_without_what_the_camera_wrote(
    tickets: Running, folder: Path, form: str, mode: str
) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    original = photo(form, (3000, 1500), mode)
    assert CAMERA.encode() in original
    answer = await added(reporter, ticket, original)
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert (file["kind"], file["width"], file["height"]) == (form.lower(), SIDE, SIDE // 2)
    read = await reporter.get(answer.headers["location"])
    assert read.headers["content-type"] == f"image/{form.lower()}"
    assert len(read.content) == file["size"]
    small = await reporter.get(f"{answer.headers['location']}/thumbnail")
    assert small.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(small.content)).size == (320, 160)
    kept = stored(folder, file["id"])
    assert len(kept) == 2
    for content in (read.content, small.content, *(path.read_bytes() for path in kept)):
        assert CAMERA.encode() not in content
        shown = Image.open(io.BytesIO(content))
        assert not dict(shown.getexif())
        assert shown.info.keys() <= {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
            "loop",
            "background",
            "timestamp",
            "duration",
        }


async def test_the_place_of_a_photo_is_taken_only_if_the_reporter_says_so(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    place = "SELECT latitude, longitude FROM ticket WHERE id = $1"
    ticket_id = ticket.rpartition("/")[2]
    await added(reporter, ticket, photo())
    assert tuple(await tickets.database.fetchrow(place, ticket_id)) == (None, None)
    manager = tickets.client("community_manager", COMMUNITY)
    assert (await manager.post(f"{ticket}/files?locate=true", content=photo())).status_code == 403
    assert (await reporter.post(f"{ticket}/files?locate=true", content=PDF)).status_code == 201
    assert tuple(await tickets.database.fetchrow(place, ticket_id)) == (None, None)
    assert (await reporter.post(f"{ticket}/files?locate=true", content=photo())).status_code == 201
    assert tuple(await tickets.database.fetchrow(place, ticket_id)) == (31.208333, 121.435)
    trail = (await reporter.get(f"{ticket}/timeline")).json()["items"]
    assert [step["move"] for step in trail] == ["open", "note"]
    (noted,) = [event for event in await tickets.events("tickets.noted.v1") if event["ticket"] == ticket_id]
    files = [event["file"] for event in await tickets.events("tickets.file_changed.v1") if event["ticket"] == ticket_id]
    assert noted["file"] == trail[-1]["facts"]["file"] == files[-1], "who listens to both is told of one deed"


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(["JPEG", "PNG", "WEBP"]), data=st.data())
def test_a_damaged_picture_is_refused_or_drawn_and_nothing_else(form: str, data: st.DataObject) -> None:
    content = bytearray(photo(form, (40, 30)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    try:
        kept = examine(io.BytesIO(bytes(content[:cut])))
    except (NoSuchKind, TooManyPixels):
        return
    assert CAMERA.encode() not in kept.body
    assert kept.thumbnail
    assert max(Image.open(io.BytesIO(kept.thumbnail)).size) <= 320


async def test_a_photo_stands_upright(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    answer = await added(reporter, await opened(reporter), photo(size=(640, 480), turned=True))
    assert (answer.json()["width"], answer.json()["height"]) == (480, 640)


async def test_a_form_carries_a_file_too(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    answer = await reporter.post(f"{ticket}/files", files={"file": ("a.exe", PDF, "application/x-msdownload")})
    assert (answer.status_code, answer.json()["kind"]) == (201, "pdf")
    read = await reporter.get(answer.headers["location"])
    assert read.content == PDF
    assert read.headers["content-disposition"].startswith("attachment;")
    assert (await reporter.get(f"{answer.headers['location']}/thumbnail")).status_code == 404
    for wrong in ({"other": ("a", PDF)}, [("file", ("a", PDF)), ("file", ("b", PDF))]):
        refused = await reporter.post(f"{ticket}/files", files=wrong)
        assert refused.status_code == 400, refused.text
    assert (await reporter.post(f"{ticket}/files", data={"file": "text"}, files={})).status_code == 415


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 30,000 pixels wide and high."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"<html><script>alert(1)</script></html>", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"GIF89a" + bytes(100), 415),
        (b"MZ" + bytes(100), 415),
        (b"%PDF-1.7 cut off", 415),
        (b" " + PDF, 415),
        (photo()[:-200], 415),
        (photo("PNG")[:300], 415),
        (bomb(), 413),
        (photo("PNG", (3600, 3600), "1"), 413),
        (bytes(10 * 1024 * 1024 + 1), 413),
    ],
    ids=["empty", "html", "svg", "gif", "exe", "cut pdf", "late pdf", "cut jpeg", "cut png", "bomb", "pixels", "bytes"],
)
async def test_what_is_no_such_file_is_refused_and_not_kept(
    tickets: Running, folder: Path, content: bytes, status: int
) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    before = len(stored(folder, ""))
    for name, kind in (("a.jpg", "image/jpeg"), ("a.pdf", "application/pdf")):
        refused = await reporter.post(f"{ticket}/files", files={"file": (name, content, kind)})
        assert refused.status_code == status, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
    refused = await added(reporter, ticket, content)
    assert refused.status_code == status
    assert (await reporter.get(f"{ticket}/files")).json()["items"] == []
    assert len(stored(folder, "")) == before


async def test_a_body_without_a_length_is_cut_off_at_ten_megabytes(tickets: Running) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(65536)

    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    refused = await reporter.post(f"{ticket}/files", content=endless())
    assert (refused.status_code, refused.json()["limit"]) == (413, 10 * 1024 * 1024)
    refused = await reporter.post("/tickets/v1/tickets", content=bytes(1024 * 1024 + 1))
    assert (refused.status_code, refused.json()["limit"]) == (413, 1024 * 1024)


async def test_a_file_is_seen_like_its_ticket(tickets: Running) -> None:
    person = uuid4()
    reporter = tickets.client("resident", "310104", person)
    ticket = await opened(reporter)
    file = (await added(reporter, ticket, photo())).headers["location"]
    foreign = {("resident", "310104", uuid4()), ("resident", "310115", person), ("grid_worker", SIBLING, None)}
    foreign |= {("community_manager", "310104003002", None), ("street_admin", "310104004", None)}
    for role, unit, who in {("grid_worker", GRID, None), ("community_manager", COMMUNITY, None)}:
        caller = tickets.client(role, unit, who)
        assert (await caller.get(file)).status_code == 200
        assert len((await caller.get(f"{ticket}/files")).json()["items"]) == 1
    other = await opened(reporter)
    for role, unit, who in foreign:
        caller = tickets.client(role, unit, who)
        for path in (file, f"{file}/thumbnail", f"{ticket}/files"):
            assert (await caller.get(path)).status_code == 404, (role, unit)
        assert (await added(caller, ticket, photo())).status_code == 404
        assert (await caller.delete(file, headers={"If-Match": "*"})).status_code == 404
    assert (await reporter.get(file.replace(ticket, other))).status_code == 404
    assert (await tickets.client().get(file)).status_code == 401


async def test_a_picture_of_many_greys_stays_what_it_shows(tickets: Running) -> None:
    row = b"".join((grey * 2**14).to_bytes(2, "little") * 1500 for grey in (1, 3))
    Image.frombytes("I;16", (3000, 8), row * 8).save(buffer := io.BytesIO(), "PNG")
    reporter = tickets.client("resident", "310104", uuid4())
    file = (await added(reporter, await opened(reporter), buffer.getvalue())).headers["location"]
    kept = Image.open(io.BytesIO((await reporter.get(file)).content)).convert("L")
    assert (kept.getpixel((10, 2)), kept.getpixel((2000, 2))) == (64, 192)


async def test_a_file_is_kept_by_its_reader_alone_and_asked_for_once(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    file = (await added(reporter, await opened(reporter), photo())).headers["location"]
    read = await reporter.get(file)
    assert read.headers["cache-control"] == "private, max-age=300"
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in read.headers["content-security-policy"]
    again = await reporter.get(file, headers={"If-None-Match": read.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_twenty_are_enough_also_for_those_who_come_at_once(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    answers = await asyncio.gather(*(added(reporter, ticket, PDF) for _ in range(24)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 4
    page = (await reporter.get(f"{ticket}/files?limit=15")).json()
    rest = (await reporter.get(f"{ticket}/files?limit=15&cursor={page['next']}")).json()
    assert len({file["id"] for file in page["items"] + rest["items"]}) == 20


async def test_a_removed_file_leaves_its_row_and_no_content(tickets: Running, folder: Path) -> None:
    person = uuid4()
    reporter = tickets.client("resident", "310104", person)
    ticket = await opened(reporter)
    answer = await added(reporter, ticket, photo())
    file = answer.headers["location"]
    assert (await reporter.delete(file)).status_code == 428
    assert (await reporter.delete(file, headers={"If-Match": '"7"'})).status_code == 412
    worker = tickets.client("grid_worker", GRID)
    assert (await worker.delete(file, headers={"If-Match": "*"})).status_code == 403
    removed = await reporter.delete(file, headers={"If-Match": answer.headers["etag"]})
    assert (removed.status_code, removed.json()["removed_by"]) == (200, str(person))
    for path in (file, f"{file}/thumbnail"):
        gone = await reporter.get(path)
        assert (gone.status_code, gone.json()["type"]) == (410, "urn:linli:problem:file-removed")
    assert (await reporter.delete(file, headers={"If-Match": "*"})).status_code == 410
    assert [one["removed_at"] is None for one in (await reporter.get(f"{ticket}/files")).json()["items"]] == [False]
    await eventually(lambda: not stored(folder, answer.json()["id"]))


async def test_staff_remove_what_others_added_and_both_is_told(tickets: Running) -> None:
    person, staff = uuid4(), uuid4()
    reporter = tickets.client("resident", "310104", person)
    ticket = await opened(reporter)
    answer = await added(reporter, ticket, photo())
    manager = tickets.client("community_manager", COMMUNITY, staff)
    assert (await manager.delete(answer.headers["location"], headers={"If-Match": "*"})).status_code == 200
    file = answer.json()
    told = [event for event in await tickets.events("tickets.file_changed.v1") if event["file"] == file["id"]]
    assert [(event["sequence"], event["step"], event["changed_by"]) for event in told] == [
        (1, "added", str(person)),
        (2, "removed", str(staff)),
    ]
    for event in told:
        assert (event["ticket"], event["reporter"], event["assignee"]) == (ticket.rpartition("/")[2], str(person), None)
        assert (event["kind"], event["size"]) == ("jpeg", file["size"])


async def test_content_that_no_row_came_to_is_swept_by_age(
    tickets: Running, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    kept = (await added(reporter, ticket, photo())).json()["id"]
    for _ in range(20):
        last = await added(reporter, ticket, PDF)
    assert last.status_code == 409
    orphan = await tickets.database.fetchrow("SELECT aggregate FROM timer WHERE kind = 'file' ORDER BY due_at DESC")
    assert len(stored(folder, str(orphan["aggregate"]))) == 1
    later = datetime.now(UTC) + timedelta(minutes=59)
    monkeypatch.setattr(clocks.timers, "now", lambda: later)
    await asyncio.sleep(1.2)
    assert stored(folder, str(orphan["aggregate"]))
    later += timedelta(minutes=2)
    await eventually(lambda: not stored(folder, str(orphan["aggregate"])))
    assert len(stored(folder, kept)) == 2


async def test_the_same_upload_twice_under_a_key_is_one_file(tickets: Running) -> None:
    reporter = tickets.client("resident", "310104", uuid4())
    ticket = await opened(reporter)
    body = photo()
    first = await added(reporter, ticket, body, **{"Idempotency-Key": "a"})
    again = await added(reporter, ticket, body, **{"Idempotency-Key": "a"})
    assert (again.status_code, again.content) == (201, first.content)
    assert len((await reporter.get(f"{ticket}/files")).json()["items"]) == 1
    assert (await added(reporter, ticket, PDF, **{"Idempotency-Key": "a"})).status_code == 422


async def test_without_a_store_nothing_is_taken(stage: Stage) -> None:
    async with stage.run("tickets", create_app, subscriptions) as running:
        await running.know_units(MICRO)
        reporter = running.client("resident", "310104", uuid4())
        refused = await added(reporter, await opened(reporter), photo())
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:linli:problem:no-place-for-files")


async def test_a_bucket_keeps_files_as_a_folder_does(stage: Stage, s3: str) -> None:
    bucket = f"{os.environ['AWS_ENDPOINT_URL']}/{s3.removeprefix('s3://')}"

    async def names() -> int:
        return (await outside.get(bucket)).text.count("<Key>tickets/310104/")

    async def none() -> bool:
        return not await names()

    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as outside,
        stage.run("tickets", create_app, subscriptions, files=f"{s3}/tickets") as running,
    ):
        await running.know_units(MICRO)
        reporter = running.client("resident", "310104", uuid4())
        ticket = await opened(reporter)
        answer = await added(reporter, ticket, photo())
        assert answer.status_code == 201, answer.text
        assert await names() == 2
        assert len((await reporter.get(answer.headers["location"])).content) == answer.json()["size"]
        await reporter.delete(answer.headers["location"], headers={"If-Match": "*"})
        await eventually(none)
        (await outside.delete(bucket)).raise_for_status()
        refused = await added(reporter, ticket, photo())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert len((await reporter.get(f"{ticket}/files")).json()["items"]) == 1
