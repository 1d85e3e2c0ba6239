"""Draws QR codes, one or a sheet of them to be printed and cut (二维码)."""

import io
from collections.abc import Sequence
from html import escape
from itertools import product
from typing import Final
from unicodedata import east_asian_width

import segno

from tickets.georeport import writable

SHEET: Final = 12
_COLUMNS: Final = 3
_ROWS: Final = 4
_WIDTH: Final = 62
_HEIGHT: Final = 70
_LEFT: Final = 12
_TOP: Final = 8
_CODE: Final = 44
"""Millimetres: an A4 sheet is 210 by 297."""
_LINE: Final = 26
"""Half-width letters that fit into a line."""
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="210mm" height="297mm"'
    ' viewBox="0 0 210 297" font-family="Noto Sans CJK SC, Microsoft YaHei, SimHei, sans-serif" text-anchor="middle">'
    '<rect width="210" height="297" fill="#fff"/>'
)


def svg(text: str) -> bytes:
    """Draw a code that can be printed in any size."""
    return _saved(text, "svg", border=4)


def png(text: str) -> bytes:
    """Draw a code for a screen or a document."""
    return _saved(text, "png", border=4, scale=12)


def sheet(places: Sequence[tuple[str, str]]) -> bytes:
    """Draw an A4 sheet of codes with their names; there is nothing in it that a browser would have to load or run.

    Args:
        places: name and text of each code, as many as fit.
    """
    drawn = [_HEAD]
    for (row, column), (name, text) in zip(product(range(_ROWS), range(_COLUMNS)), places, strict=False):
        left, top = _LEFT + column * _WIDTH, _TOP + row * _HEIGHT
        middle = left + _WIDTH / 2
        code = segno.make(text, error="m", micro=False).svg_inline(
            border=4, omitsize=True, lineclass=None, svgclass=None
        )
        at = f'x="{middle - _CODE / 2}" y="{top + 6}" width="{_CODE}" height="{_CODE}"'
        drawn.append(
            f'<rect x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#bbb"'
            f' stroke-width="0.2" stroke-dasharray="1 1"/>'
            f'<text x="{middle}" y="{top + 6}" font-size="4.5">扫码报事 Scan to report</text>'
            + code.replace("<svg", f"<svg {at}", 1)
        )
        drawn += [
            f'<text x="{middle}" y="{top + 54 + 6 * number}" font-size="4.5" font-weight="bold">{escape(line)}</text>'
            for number, line in enumerate(_lines(writable(name)))
        ]
    return ("".join(drawn) + "</svg>").encode()


def _saved(text: str, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    segno.make(text, error="m", micro=False).save(buffer, kind=kind, **options)
    return buffer.getvalue()


def _lines(name: str) -> list[str]:
    """Break a name into at most two lines by the room its letters take."""
    lines, room = [""], _LINE
    for letter in name:
        wide = 2 if east_asian_width(letter) in "WF" else 1
        if wide > room:
            if len(lines) == 2:  # noqa: PLR2004 as many as there is room for
                lines[-1] = lines[-1][:-1] + "…"
                break
            lines.append("")
            room = _LINE
        lines[-1] += letter
        room -= wide
    return lines
