import pytest

from linli.security import PERMISSIONS
from linli_cli.api import Api
from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.identity import ROLES, Identities


def test_the_roles_are_those_the_services_know() -> None:
    assert set(ROLES) == set(PERMISSIONS)


def test_an_unknown_role_is_refused_before_anybody_is_registered(home: Home) -> None:
    # Without a request: there is nobody at this address.
    with pytest.raises(Trouble, match="nobody is no role") as caught:
        Identities(home, Api(home.url)).login("nobody", "310104003")
    for role in ROLES:
        assert role in caught.value.english
        assert role in caught.value.chinese


@pytest.mark.parametrize("unit", ["310104", "310104003", "999999"])
def test_no_operator_of_a_part_is_given_the_whole_platform(home: Home, unit: str) -> None:
    with pytest.raises(Trouble, match="district_admin") as caught:
        Identities(home, Api(home.url)).login("operator", unit)
    assert "district_admin" in caught.value.chinese
