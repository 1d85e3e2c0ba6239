"""The words of OAuth 2.0: its errors (RFC 6749), its requests and the grants they ask for (RFC 8693)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from linli import units

CLIENT_CREDENTIALS: Final = "client_credentials"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 a name
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a name
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 a name
UNAUTHORIZED: Final = HTTPStatus.UNAUTHORIZED.value
_FIELDS: Final = 30


class OAuthError(Exception):
    """A token request that was refused.

    Attributes:
        error: one of the codes that RFC 6749 and RFC 8693 know.
        description: what to do about it, in ASCII as the RFC wants it.
        status: of the answer.
        district: whose app or people it concerns, as far as that is known; 0 otherwise.
        headers: of the answer.
    """

    def __init__(self, error: str, description: str, status: int = 400, *, district: int = 0) -> None:
        self.error = error
        self.description = description
        self.status = status
        self.district = district
        self.headers: dict[str, str] = {"WWW-Authenticate": 'Basic realm="linli"'} if status == UNAUTHORIZED else {}
        super().__init__(description)


def invalid_request(description: str) -> OAuthError:
    """Make the error for a request that can't be understood."""
    return OAuthError("invalid_request", description)


def invalid_client(district: int = 0) -> OAuthError:
    """Make the error for a client that is unknown, disabled or has another secret: all look the same."""
    return OAuthError("invalid_client", "client authentication failed", UNAUTHORIZED, district=district)


def too_many(seconds: int) -> OAuthError:
    """Make the error for a client whose secret was wrong too often, whether it is right this time or not."""
    error = OAuthError("temporarily_unavailable", f"too many wrong secrets; try again in {seconds} seconds", 429)
    error.headers["Retry-After"] = str(seconds)
    return error


def invalid_grant(description: str) -> OAuthError:
    """Make the error for a subject token that is not believed."""
    return OAuthError("invalid_grant", description)


def invalid_scope() -> OAuthError:
    """Make the error for a scope that is not the caller's."""
    return OAuthError("invalid_scope", "scope is <role>@<unit>, a role that you have there")


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """Read a form; no parameter may come twice, and an empty one counts as left out.

    Raises:
        OAuthError: invalid_request.
    """
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise invalid_request("send the request as application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=_FIELDS, errors="strict", keep_blank_values=True)
    except ValueError as error:
        raise invalid_request("the form can't be read") from error
    if len({name for name, _ in pairs}) != len(pairs):
        raise invalid_request("a parameter comes twice")
    return {name: value for name, value in pairs if value}


@dataclass(frozen=True, slots=True)
class Seat:
    """A role at a unit; as a scope it is written `<role>@<unit>`."""

    role: str
    unit: int

    @classmethod
    def of(cls, scope: str) -> "Seat":
        """Read a scope.

        Raises:
            OAuthError: invalid_scope.
        """
        role, _, unit = scope.partition("@")
        try:
            return cls(role, units.parse(unit))
        except ValueError as error:
            raise invalid_scope() from error

    def __str__(self) -> str:
        """Write it as a scope."""
        return f"{self.role}@{units.short(self.unit)}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token will say: who, through which client, with which role, where."""

    subject: UUID
    client: str
    seats: tuple[Seat, ...]
    grids: tuple[int, ...] = ()

    @property
    def unit(self) -> int:
        """Where the roles are held."""
        return self.seats[0].unit

    @property
    def roles(self) -> list[str]:
        """The roles' names."""
        return [seat.role for seat in self.seats]

    @property
    def scope(self) -> str:
        """All of it as a scope, separated by blanks as RFC 6749 wants it."""
        return " ".join(map(str, self.seats))
