"""`linli seed` through the public API: the sources' own case, 八里庄社区."""

import re
import time

import pytest
from tests.integration.conftest import Platform

pytestmark = pytest.mark.xdist_group("platform")

BALIZHUANG = "510108006004"
CASE = ("--households", "15525", "--grids", "17", "--micro-grids", "117", "--special-grids", "16")


@pytest.mark.alone
async def test_balizhuang_is_seeded_exactly_within_20_seconds_and_only_once(platform: Platform) -> None:
    began = time.monotonic()
    platform.linli("seed", "--unit", BALIZHUANG, *CASE)
    assert time.monotonic() - began < 20
    async with platform.client("district_admin", BALIZHUANG[:6]) as admin:
        counts = (await admin.get(f"/residents/v1/units/{BALIZHUANG}/counts")).json()
        assert (counts["households"], counts["residents"]) == (15_525, 30_787)
        assert 0 < counts["living_alone"] < counts["occupied_households"] < 15_525
        for kind, number in (("grid", 17), ("micro_grid", 117), ("special_grid", 16)):
            path = f"/directory/v1/units?within={BALIZHUANG}&kind={kind}&limit=200"
            assert len((await admin.get(path)).json()["items"]) == number
        platform.linli("seed", "--unit", BALIZHUANG, *CASE)
        assert (await admin.get(f"/residents/v1/units/{BALIZHUANG}/counts")).json() == counts


def test_seeding_where_there_is_no_community_says_what_to_do(platform: Platform) -> None:
    done = platform.linli("seed", "--unit", "310104003001001", *CASE, check=False)
    assert done.returncode == 1
    assert re.search(r"has none\..*linli import divisions", done.stderr, re.DOTALL)
