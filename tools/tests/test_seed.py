import random
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linli_cli.console import Trouble
from linli_cli.divisions import read
from linli_cli.home import PROJECT
from linli_cli.seed import _BATCH, _batches
from linli_cli.seed_people import DAY, Population, check_digit, sizes
from linli_cli.seed_plan import Community, Wish, plan

BALIZHUANG = "510108006004"
CASE = Wish(households=15_525, grids=17, micro_grids=117, special_grids=16)
# A busy machine may leave any example without a processor for seconds.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made(community: Community) -> list[dict[str, Any]]:
    return list(community.registrations(community.buildings()))


def people(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [person for row in rows for person in row["residents"]]


@pytest.fixture(scope="module")
def balizhuang() -> Community:
    (found,) = plan([BALIZHUANG], CASE)
    return found


@pytest.fixture(scope="module")
def rows(balizhuang: Community) -> list[dict[str, Any]]:
    return made(balizhuang)


def test_the_sources_own_case_comes_out_exactly(balizhuang: Community, rows: list[dict[str, Any]]) -> None:
    units = Counter(len(unit.code) for unit in balizhuang.units() if unit.code[12] != "9")
    special = [unit for unit in balizhuang.units() if unit.code[12] == "9"]
    assert (units[15], units[18], len(special)) == (17, 117, 16)
    assert (len(rows), len(people(rows))) == (15_525, 30_787)


def test_every_run_makes_the_same_and_another_seed_makes_others(rows: list[dict[str, Any]]) -> None:
    (again,) = plan([BALIZHUANG], CASE)
    assert made(again) == rows
    (other,) = plan([BALIZHUANG], Wish(1_000, 17, 117, 16, seed=2))
    others = made(other)
    assert not {row["id"] for row in others} & {row["id"] for row in rows}
    assert others[100]["residents"] != rows[100]["residents"]


def test_ids_doors_and_id_numbers_are_given_once(rows: list[dict[str, Any]]) -> None:
    everybody = people(rows)
    numbers = [person["id_number"] for person in everybody if "id_number" in person]
    for unique in (
        [row["id"] for row in rows] + [person["id"] for person in everybody],
        [(row["building"], row["staircase"], row["door"]) for row in rows],
        numbers,
    ):
        assert len(set(unique)) == len(unique)


def test_id_numbers_are_well_formed_and_nobodys(rows: list[dict[str, Any]]) -> None:
    for person in people(rows):
        number = person.get("id_number")
        if number:
            assert number[0] == "0"
            assert check_digit(number[:17]) == number[17]
            assert date.fromisoformat(number[6:14]) <= DAY


def test_phones_are_in_a_range_nobody_has(rows: list[dict[str, Any]]) -> None:
    phones = [person["phone"] for person in people(rows) if "phone" in person]
    assert len(phones) > 20_000
    assert all(len(phone) == 11 and phone.startswith("169") for phone in phones)


def test_communities_of_a_district_never_share_the_head_of_an_id_number() -> None:
    communities = [row.code for row in read(PROJECT / "data" / "divisions.csv") if row.level == "community"]
    heads = Counter((code[:6], Population(random.Random(1), code)._area) for code in communities)  # noqa: S311 no secret
    assert heads.most_common(1)[0][1] == 1


def test_buildings_are_filled_and_lie_in_the_grid_of_their_group(balizhuang: Community) -> None:
    buildings = balizhuang.buildings()
    groups = {(group.code, group.name) for group in balizhuang.groups()}
    assert len(groups) == len(balizhuang.groups())
    assert len({building.name for building in buildings}) == len(buildings)
    for building in buildings:
        assert (building.unit[:15], balizhuang.group_name(building)) in groups
        assert len(set(building.places())) == building.households > 0
        assert building.staircases <= 100
    assert len({building.unit for building in buildings}) == 117
    assert {group for _, group in groups} == {balizhuang.group_name(building) for building in buildings}


@unhurried
@given(
    st.integers(1, 30),
    st.integers(0, 3000),
    st.integers(0, 100),
    st.integers(0, 300),
    st.integers(0, 100),
)
def test_totals_are_spread_evenly_and_exactly(
    count: int, households: int, grids: int, micro_grids: int, special: int
) -> None:
    codes = [f"310104003{n:03}" for n in range(1, count + 1)]
    micro_total = count + grids + micro_grids
    wish = Wish(micro_total + households, count + grids, micro_total, special)
    found = plan(codes, wish)
    for name in ("households", "grids", "micro_grids", "special_grids"):
        parts = [getattr(community, name) for community in found]
        assert sum(parts) == getattr(wish, name)
        assert max(parts) - min(parts) <= 1
    assert sum(community.people for community in found) == wish.households * 30_787 // 15_525
    micro = [unit.code for unit in found[0].units() if len(unit.code) == 18]
    assert len(set(micro)) == found[0].micro_grids
    per_grid = Counter(code[:15] for code in micro)
    assert len(per_grid) == found[0].grids
    assert max(per_grid.values()) - min(per_grid.values()) <= 1


@unhurried
@given(st.integers(1, 200), st.floats(0, 4), st.integers())
def test_people_are_shared_among_households_exactly(households: int, average: float, seed: int) -> None:
    total = int(households * average)
    found = sizes(random.Random(seed), households, total)  # noqa: S311 no secret
    assert len(found) == households
    assert sum(found) == total


@pytest.mark.parametrize(
    "wish",
    [
        Wish(100, 1, 100, 0),
        Wish(100, 10, 9, 0),
        Wish(10, 4, 20, 0),
        Wish(90_000, 2000, 2000, 0),
        Wish(90_000, 2, 2000, 0),
        Wish(9, 2, 2, 999),
    ],
)
def test_what_can_not_be_is_refused_in_words(wish: Wish) -> None:
    with pytest.raises(Trouble):
        plan(["310104003001", "310104003002"], wish)


def test_batches_keep_the_order_and_stay_far_below_the_limit(rows: list[dict[str, Any]]) -> None:
    batches = list(_batches(rows))
    assert [row for batch in batches for row in batch] == rows
    assert len(batches) > 10
    assert all(len(str(batch).encode()) < 2 * _BATCH for batch in batches)
    assert all(one[0]["id"] != other[0]["id"] for one, other in pairwise(batches))
