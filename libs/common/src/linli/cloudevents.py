"""CloudEvents 1.0 over NATS in binary mode: attributes are `ce-*` headers, the payload is the event's JSON."""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from pydantic import ValidationError

from linli.events import Event, registry

# All printable ASCII but space, double quote and percent, which the NATS binding wants percent-encoded.
_SAFE = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

_PLAIN = re.compile(r"[A-Za-z0-9:/._-]*")


class Unreadable(ValueError):  # noqa: N818 it says what the message is
    """A message that is no event of ours; no repetition will change that."""


def headers_of(event: Event) -> dict[str, str]:
    """Write an event's attributes as message headers."""
    aggregate = event.aggregate
    return {
        "ce-specversion": "1.0",
        "ce-id": str(event.id),
        "ce-source": f"/linli/{event.publisher}",
        "ce-type": event.type,
        # Nearly always an id or a code, which needs no quoting; to quote costs more than to look.
        "ce-subject": aggregate if _PLAIN.fullmatch(aggregate) else quote(aggregate, safe=_SAFE),
        "ce-time": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "ce-datacontenttype": "application/json",
        "ce-sequence": str(event.sequence),
    }


def read(subject: str, headers: Mapping[str, str] | None, payload: bytes) -> Event:
    """Read a message as the event it is.

    Raises:
        Unreadable: when it breaks its contract, or contradicts the subject it came on.
    """
    try:
        type_ = unquote((headers or {}).get("ce-type", ""), errors="strict")
    except UnicodeDecodeError as error:
        raise Unreadable("ce-type is not percent-encoded UTF-8") from error
    contract = registry.get(type_)
    if contract is None:
        raise Unreadable(f"no contract is known for ce-type {type_!r}")
    try:
        event = contract.model_validate_json(payload)
    except ValidationError as error:
        # Values stay out: an operator reads this, and a stray one may be anybody's data.
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors(include_url=False)[:5])
        raise Unreadable(f"the payload breaks {type_}: {what}") from error
    # Without an id of its own it would have another at each delivery, and an effect each time.
    if (headers or {}).get("ce-id") != str(event.id):
        raise Unreadable("the payload's id is not ce-id")
    if event.subject != subject:
        raise Unreadable(f"an event for {event.subject} came on {subject}")
    return event


def district_of(subject: str) -> int:
    """Find the district in a subject, 0 when there is none."""
    found = re.match(r"linli\.[^.]+\.([1-9]\d{5})\.", subject)
    return int(found.group(1)) if found else 0
