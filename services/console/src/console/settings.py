"""What the console must be told."""

from typing import Annotated

from pydantic import BeforeValidator

from linli.settings import Essentials


def _unless_empty(value: object) -> object:
    return value or None  # Compose and Kubernetes say "not set" with an empty text


class ConsoleSettings(Essentials):
    """The console speaks with no broker and keeps nobody's data: it needs a database, and the directory's keys.

    `LINLI_RELAY_DATABASE_URL` is the login that writes what services send, `LINLI_DATABASE_URL` the one that reads.
    """

    otlp_forward: Annotated[str | None, BeforeValidator(_unless_empty)] = None
    """An OTLP/HTTP address that is sent all telemetry too, as it came: `http://otel-collector:4318`."""
