"""What residents (居民) tell: who was registered, by id alone."""

from uuid import UUID

from pydantic import NonNegativeInt

from linli.events import Event


class ResidentRegistered(Event, type="residents.registered.v1", aggregate="resident"):
    """A resident was registered."""

    resident: UUID
    household: UUID | None = None


class ResidentsImported(Event, type="residents.imported.v1", aggregate="batch"):
    """Many residents of a unit were registered at once."""

    batch: UUID
    residents: NonNegativeInt
    households: NonNegativeInt
