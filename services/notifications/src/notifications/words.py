"""What a notification's text is made of (文案)."""

from typing import NamedTuple


class Words(NamedTuple):
    """A notification in words."""

    title: str
    title_zh: str
    body: str
    body_zh: str
