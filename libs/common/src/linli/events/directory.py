"""What the directory tells: how units, buildings and assignments are now; states, so anybody may hold a copy."""

from uuid import UUID

from pydantic import NonNegativeInt

from linli.events import Code, Event, PlaceName


class UnitChanged(Event, type="directory.unit.v1", aggregate="unit", state=True):
    """A unit (单元) was made, renamed, closed or opened again."""

    kind: Code
    name: PlaceName
    active: bool


class BuildingChanged(Event, type="directory.building.v1", aggregate="building", state=True):
    """A building (楼栋) was put into a micro-grid, moved, renamed or pulled down.

    Attributes:
        group: the residents' group (居民小组) it belongs to.
    """

    building: UUID
    group: UUID | None = None
    name: PlaceName
    staircases: NonNegativeInt
    active: bool


class AssignmentChanged(Event, type="directory.assignment.v1", aggregate="assignment", state=True):
    """A member of staff took up or left a post (任职) at a unit."""

    assignment: UUID
    staff: UUID
    role: Code
    active: bool
