"""Settings of a service, read from the environment or from files in /run/secrets."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from linli.shards import BadShards, Shards

_SECRETS = Path("/run/secrets")


def _shards(value: object) -> object:
    return Shards.parse(value) if isinstance(value, str) else value


class Essentials(BaseSettings):
    """What everything with a database and an address must be told; names are upper-cased and start with `LINLI_`.

    A missing address or key fails at start with the name of the variable: there are no default passwords.
    """

    model_config = SettingsConfigDict(
        env_prefix="LINLI_", secrets_dir=_SECRETS if _SECRETS.is_dir() else None, extra="ignore"
    )

    database_url: SecretStr
    """`postgresql://<service>_app:...`: the role that sees only what a transaction's scope allows."""
    relay_database_url: SecretStr
    """`postgresql://<service>_relay:...`: the role that works for all districts, such as on the outbox."""
    jwks_url: str
    """Where the directory publishes its signing keys."""
    token_issuer: str = "linli"  # noqa: S105 a name, no secret
    token_audience: str = "linli"  # noqa: S105 a name, no secret
    pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    statement_timeout: Annotated[float, Field(gt=0)] = 10
    """Seconds a statement may take."""
    log_level: str = "INFO"


class Settings(Essentials):
    """What a service must be told besides."""

    nats_url: SecretStr
    """`nats://<service>:...@host:port`, several separated by commas."""
    master_key: SecretStr
    """32 bytes in base64 that wrap the districts' data keys."""
    shards: Annotated[Shards, NoDecode, BeforeValidator(_shards)] = Shards()
    """Which districts live on other database servers: `{"postgres-2:5432": [310104, 310115]}`."""
    files: str = ""
    """Where tickets keeps photos and files: a folder, or `s3://bucket/prefix`; without one it takes none."""
    public_url: str = "http://localhost:8080"
    """Where people reach the gateway: what QR codes lead to."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1
    """Share of traces that are recorded, beside those that a caller records."""

    @model_validator(mode="after")
    def _no_server_twice(self) -> Self:
        home = Shards.address(self.database_url.get_secret_value())
        if home in self.shards.addresses:
            raise BadShards(f"{home} is LINLI_DATABASE_URL's own server", f"{home} 是 LINLI_DATABASE_URL 本身的服务器")
        return self
