"""What `linli seed` makes up: units, groups and buildings below some communities, with their households and people.

All of it follows from the arguments alone, ids too, so the second run finds everything as the first left it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from linli_cli.console import Trouble
from linli_cli.seed_people import Person, Population, sizes

_PEOPLE, _HOUSEHOLDS = 30_787, 15_525
"""People to households in 八里庄社区, which all made-up places are scaled from."""
_MOST: Final = {"grids": 899, "micro_grids": 999, "special_grids": 100}
"""Grid numbers below 900, micro-grids of a grid, grid numbers from 900."""
_HOUSEHOLDS_A_GROUP: Final = 400
_SPECIAL: Final = ("学校", "医院", "商务楼", "产业园", "养老院")


@dataclass(frozen=True, slots=True)
class Wish:
    """How much to make up, all communities together."""

    households: int
    grids: int
    micro_grids: int
    special_grids: int
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """A grid, micro-grid or special grid."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Building:
    """A building; `group` counts the residents' groups of its grid from 1."""

    id: UUID
    unit: str
    name: str
    group: int
    staircases: int
    floors: int
    doors: int
    households: int

    def places(self) -> Iterator[tuple[int, str]]:
        """Give staircase and door of each of its households, from the ground up."""
        every = (
            (staircase, f"{floor}{door:02}")
            for floor in range(1, self.floors + 1)
            for staircase in range(1, self.staircases + 1)
            for door in range(1, self.doors + 1)
        )
        return (place for place, _ in zip(every, range(self.households), strict=False))


@dataclass(frozen=True, slots=True)
class Community:
    """One community's share."""

    code: str
    households: int
    people: int
    grids: int
    micro_grids: int
    special_grids: int
    seed: int

    def units(self) -> list[Unit]:
        """Make its grids, their micro-grids and the special grids."""
        grids = [Unit(f"{self.code}{n:03}", f"第{n}网格") for n in range(1, self.grids + 1)]
        special = [
            Unit(f"{self.code}{900 + n:03}", f"第{n + 1}专属网格（{_SPECIAL[n % len(_SPECIAL)]}）")
            for n in range(self.special_grids)
        ]
        micro = [Unit(code, f"第{int(code[12:15])}网格第{int(code[15:])}微网格") for code in self._micro_grids()]
        return grids + special + micro

    def groups(self) -> list[Unit]:
        """Make its residents' groups: the grid's code and a name each."""
        each = self._groups_a_grid()
        return [
            Unit(f"{self.code}{grid:03}", f"第{(grid - 1) * each + n}居民小组")
            for grid in range(1, self.grids + 1)
            for n in range(1, each + 1)
        ]

    def group_name(self, building: Building) -> str:
        """Name the group a building belongs to."""
        return f"第{(int(building.unit[12:15]) - 1) * self._groups_a_grid() + building.group}居民小组"

    def buildings(self) -> list[Building]:
        """Make its buildings: blocks of flats of many shapes, filled micro-grid by micro-grid."""
        dice = random.Random(f"{self.seed} {self.code} buildings")  # noqa: S311 no secret
        codes = self._micro_grids()
        found: list[Building] = []
        for place, code in enumerate(codes):
            left = share(self.households, len(codes), place)
            while left:
                floors, doors = dice.choice(((5, 2), (6, 2), (6, 3), (6, 4), (11, 2), (18, 3), (24, 4)))
                staircases = dice.randint(1, 2 if floors > 6 else 5)  # noqa: PLR2004 towers have few staircases
                held = min(left, staircases * floors * doors)
                number = len(found) + 1
                found.append(
                    Building(
                        id=self._id("building", number),
                        unit=code,
                        name=f"{number}号楼",
                        group=1 + (int(code[15:]) - 1) % self._groups_a_grid(),
                        staircases=staircases,
                        floors=floors,
                        doors=doors,
                        households=held,
                    )
                )
                left -= held
        return found

    def registrations(self, buildings: Sequence[Building]) -> Iterator[dict[str, Any]]:
        """Make its households with their people, as rows of an import."""
        dice = random.Random(f"{self.seed} {self.code} people")  # noqa: S311 no secret
        population = Population(dice, self.code)
        size = iter(sizes(dice, self.households, self.people))
        number = 0
        for building in buildings:
            for staircase, door in building.places():
                people = []
                for person in population.household(next(size)):
                    number += 1
                    people.append(_row(self._id("resident", number), person))
                yield {
                    "id": str(self._id("household", f"{building.id} {staircase} {door}")),
                    "building": str(building.id),
                    "staircase": staircase,
                    "door": door,
                    "residents": people,
                }

    def _micro_grids(self) -> list[str]:
        return [
            f"{self.code}{grid + 1:03}{n:03}"
            for grid in range(self.grids)
            for n in range(1, share(self.micro_grids, self.grids, grid) + 1)
        ]

    def _groups_a_grid(self) -> int:
        return max(1, round(self.households / self.grids / _HOUSEHOLDS_A_GROUP))

    def _id(self, kind: str, number: object) -> UUID:
        return uuid5(NAMESPACE_URL, f"https://linli.invalid/seed/{self.seed}/{self.code}/{kind}/{number}")


def _row(id_: UUID, person: Person) -> dict[str, Any]:
    row: dict[str, Any] = {"id": str(id_), "name": person.name, "lives_here": person.lives_here}
    if person.phone:
        row["phone"] = person.phone
    if person.id_number:
        row["id_number"] = person.id_number
    else:
        row |= {"born_on": person.born_on.isoformat(), "gender": "male" if person.male else "female"}
    return row


def share(total: int, parts: int, part: int) -> int:
    """Give one part of a total that is spread evenly; all parts together are the total."""
    return total * (part + 1) // parts - total * part // parts


def plan(communities: Sequence[str], wish: Wish) -> list[Community]:
    """Spread a wish evenly over communities.

    Raises:
        Trouble: when it can't be fulfilled.
    """
    count = len(communities)
    if not (count <= wish.grids <= wish.micro_grids <= wish.households):
        raise Trouble(
            f"Every one of {count} communities needs a grid, every grid a micro-grid, every micro-grid a household.",
            f"{count} 个社区各需至少一个网格，每个网格至少一个微网格，每个微网格至少一户。",
            hint="--grids ≤ --micro-grids ≤ --households",
        )
    found = []
    before = 0
    for place, code in enumerate(communities):
        # People are scaled from the running total of households, so that rounding never adds up.
        households = share(wish.households, count, place)
        until = before + households
        community = Community(
            code=code,
            households=households,
            people=until * _PEOPLE // _HOUSEHOLDS - before * _PEOPLE // _HOUSEHOLDS,
            grids=share(wish.grids, count, place),
            micro_grids=share(wish.micro_grids, count, place),
            special_grids=share(wish.special_grids, count, place),
            seed=wish.seed,
        )
        before = until
        largest = {
            "grids": community.grids,
            "micro_grids": -(-community.micro_grids // community.grids),
            "special_grids": community.special_grids,
        }
        if any(largest[kind] > most for kind, most in _MOST.items()):
            raise Trouble(
                f"Community {code} can have {_MOST['grids']} grids, {_MOST['micro_grids']} micro-grids in each of them"
                f" and {_MOST['special_grids']} special grids at most.",
                f"社区 {code} 最多可有 {_MOST['grids']} 个网格、每网格 {_MOST['micro_grids']} 个微网格、"
                f"{_MOST['special_grids']} 个专属网格。",
            )
        found.append(community)
    return found
