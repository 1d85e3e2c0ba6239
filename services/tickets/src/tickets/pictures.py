"""What an uploaded file is, told by its content; pictures are drawn anew, so that nothing a camera wrote is kept."""

import io
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, ClassVar, Final

from PIL import ExifTags, Image, ImageOps

from linli.problems import Problem, UnsupportedMediaType

SIDE: Final = 2048
"""Pixels of a kept picture's longer side."""
THUMBNAIL: Final = 320
_QUALITY: Final = 85
_PDF: Final = b"%PDF-"
_PDF_END: Final = b"%%EOF"
_TAIL: Final = 2048


class Kind(StrEnum):
    """What a file is."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    PDF = "pdf"

    @property
    def media_type(self) -> str:
        """Name it as HTTP does."""
        return f"application/{self}" if self is Kind.PDF else f"image/{self}"


PIXELS: Final = {Kind.JPEG: 25_000_000, Kind.PNG: 12_500_000, Kind.WEBP: 12_500_000}
"""What a picture may have: all phones' usual ones do. The largest takes some 200 MB for a moment, whatever is in it."""
_KINDS: Final = {"JPEG": Kind.JPEG, "MPO": Kind.JPEG, "PNG": Kind.PNG, "WEBP": Kind.WEBP}
"""By Pillow's name; a phone's JPEG with further pictures in it is an MPO, and its first is taken."""


class NoSuchKind(UnsupportedMediaType):
    """The content is none of JPEG, PNG, WebP and PDF, or it is damaged, whatever its name says."""

    title_zh = "文件类型不支持"
    detail_zh = "文件内容不是 JPEG、PNG、WebP 或 PDF，或已损坏（与文件名无关）。"


class TooManyPixels(Problem):
    """A picture may have at most {limit} pixels, this one has {pixels}. Send a smaller one."""

    status = 413
    title_zh = "图片过大"
    detail_zh = "图片最多 {limit} 像素，此图有 {pixels} 像素，请缩小后再上传。"
    headers: ClassVar[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Content:
    """What is kept of an uploaded file.

    Attributes:
        kind: what it is.
        body: the file, or the picture drawn anew.
        thumbnail: a small WebP of a picture.
        width: in pixels, of a picture.
        height: the same.
        location: latitude and longitude (WGS 84) that the camera wrote into it; in no kept file.
    """

    kind: Kind
    body: bytes
    thumbnail: bytes | None = None
    width: int | None = None
    height: int | None = None
    location: tuple[float, float] | None = None


def examine(file: BinaryIO) -> Content:
    """Tell what a file is, and make of it what is kept; takes time, so call it in a thread.

    Raises:
        NoSuchKind: 415.
        TooManyPixels: 413.
    """
    if file.read(len(_PDF)) == _PDF:
        body = _PDF + file.read()
        if _PDF_END not in body[-_TAIL:]:
            raise NoSuchKind
        return Content(Kind.PDF, body)
    file.seek(0)
    try:
        return _drawn(file)
    except (TooManyPixels, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise (
            error if isinstance(error, TooManyPixels) else TooManyPixels(limit=PIXELS[Kind.JPEG], pixels="?")
        ) from error
    except Exception as error:  # a damaged picture fails in as many ways as there are
        raise NoSuchKind from error


def _drawn(file: BinaryIO) -> Content:
    with Image.open(file, formats=("JPEG", "PNG", "WEBP")) as image:
        kind = _KINDS[image.format or ""]
        if image.width * image.height > PIXELS[kind]:
            raise TooManyPixels(limit=PIXELS[kind], pixels=image.width * image.height)
        location = _location(image.getexif().get_ifd(ExifTags.IFD.GPSInfo))
        image.draft("RGB", (SIDE, SIDE))  # a large JPEG is read at a half or less
        image.thumbnail((SIDE, SIDE))
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # of 16 bits the upper 8; else all but the darkest would be white
        upright = upright.point(lambda grey: grey / 256).convert("L")
    picture = upright.convert("RGBA" if kind is not Kind.JPEG and upright.has_transparency_data else "RGB")
    picture.info.clear()  # comments, profiles and what else would be written with it
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return Content(kind, _written(picture, kind), _written(small, Kind.WEBP), picture.width, picture.height, location)


def _written(picture: Image.Image, kind: Kind) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind.value, quality=_QUALITY)
    return buffer.getvalue()


def _location(written: dict[int, object]) -> tuple[float, float] | None:
    """Read where a picture was taken; None when it does not say so in a way that can be believed."""
    try:
        latitude = _degrees(written[ExifTags.GPS.GPSLatitude], written[ExifTags.GPS.GPSLatitudeRef], "S")
        longitude = _degrees(written[ExifTags.GPS.GPSLongitude], written[ExifTags.GPS.GPSLongitudeRef], "W")
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    # Not both zero, and no number that is none: cameras without a fix write such.
    believable = -90 <= latitude <= 90 and -180 <= longitude <= 180 and (latitude or longitude)  # noqa: PLR2004 the globe
    return (round(latitude, 6), round(longitude, 6)) if believable else None


def _degrees(parts: object, side: object, negative: str) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)  # type: ignore[attr-defined] # else a TypeError
    found = degrees + minutes / 60 + seconds / 3600
    return -found if side == negative else found
