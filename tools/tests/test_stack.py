"""The whole stack, started once by the command a person types."""

import os
import signal
from pathlib import Path

import httpx
import jwt
import psutil
import pytest
from tools.tests.conftest import Linli, within

from directory.bootstrap import PLATFORM_CLIENT as CLIENT_OF_DIRECTORY
from linli_cli.home import APPS, Home
from linli_cli.identity import PLATFORM_CLIENT
from linli_cli.stack.supervisor import Supervisor

pytestmark = pytest.mark.xdist_group("stack")


def claims(token: str) -> dict[str, object]:
    found: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return found


def pids(home: Home) -> dict[str, int]:
    return {name: state.pid for name, state in Supervisor(home).states().items()}


def test_doctor_finds_every_part_well(linli: Linli) -> None:
    # It is not well either while a part is slow to answer.
    report = within(lambda: linli("doctor").stdout, 60)
    for part in ("gateway", *APPS, "nats", "postgres", "supervisor", "disk"):
        assert any(line.split()[:2] == ["✓", part] for line in report.splitlines()), report


@pytest.mark.usefixtures("linli")
def test_who_watches_goes_after_those_who_are_watched(shared_home: Home) -> None:
    patience = {name: int(psutil.Process(pid).nice()) for name, pid in pids(shared_home).items() if name in APPS}
    assert all(patience["console"] > nice for name, nice in patience.items() if name != "console"), patience


@pytest.fixture(scope="module")
def divisions(linli: Linli) -> str:
    """What the first import of the published file says."""
    return linli("import", "divisions").stdout


def get(home: Home, token: str, path: str) -> httpx.Response:
    return httpx.get(f"{home.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False)


def test_the_published_divisions_are_imported_once(linli: Linli, divisions: str, shared_home: Home) -> None:
    assert divisions.startswith("3692 created")
    assert linli("import", "divisions").stdout.startswith("0 created 新增, 0 renamed 更名, 3692 unchanged")
    token = linli("token", "--role", "resident", "--unit", "310104").stdout.strip()
    children = get(shared_home, token, "/directory/v1/units/310104003/children").json()
    assert len(children["items"]) == 21


@pytest.mark.usefixtures("divisions")
def test_a_district_with_a_wrong_row_is_not_touched_and_others_are(linli: Linli, tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    file.write_text(
        "code,name,level,parent_code\n"
        "110101,东城区,district,\n110101001,东华门街道,street,110101\n"
        "110102,西城区,district,\n110102001,,street,110102\n"
        # Only the directory knows that there is no 110105.
        "110105001,建外街道,street,110105\n"
    )
    told = linli("import", "divisions", str(file), code=1)
    assert "2 created" in told.stdout
    rows = [line.strip("│ ").split("│") for line in told.stderr.splitlines() if line.startswith("│")]
    assert [(line.strip(), code.strip()) for line, code, _ in rows] == [("5", "110102001"), ("6", "110105001")]
    assert "name is empty" in rows[0][2]
    assert "parent 110105 does not exist" in rows[1][2]
    token = linli("token", "--role", "operator", "--unit", "0").stdout.strip()
    assert claims(token)["roles"] == ["operator"]
    file.write_text("code,name,level,parent_code\n110101,东城区,district,\n110102,西城区,district,\n")
    assert linli("import", "divisions", str(file)).stdout.startswith("1 created 新增, 0 renamed 更名, 1 unchanged")


@pytest.mark.usefixtures("divisions")
@pytest.mark.parametrize(
    ("role", "unit"),
    [
        ("volunteer", "310104003"),
        ("department_staff", "310104003"),
        ("community_manager", "310104003001"),
        ("street_admin", "310104003"),
        ("district_admin", "310104"),
        ("operator", "0"),
        ("app", "310104003"),
    ],
)
def test_a_token_of_each_role_is_printed_and_nothing_else(
    linli: Linli, shared_home: Home, role: str, unit: str
) -> None:
    printed = linli("token", "--role", role, "--unit", unit).stdout
    token = printed.removesuffix("\n")
    assert printed == f"{token}\n"
    assert (claims(token)["roles"], claims(token)["unit"]) == ([role], unit)
    assert get(shared_home, token, f"/directory/v1/units/{unit}").json()["code"] == unit


@pytest.mark.usefixtures("divisions")
def test_the_same_person_comes_back_for_the_same_role_and_unit(linli: Linli) -> None:
    first, second = (linli("token", "--role", "street_admin", "--unit", "310104003").stdout for _ in range(2))
    assert claims(first.strip())["sub"] == claims(second.strip())["sub"]


@pytest.mark.parametrize(("role", "unit"), [("street_admin", "310104999"), ("king", "310104"), ("resident", "x")])
def test_a_token_that_cannot_be_had_is_refused_in_words(linli: Linli, role: str, unit: str) -> None:
    refused = linli("token", "--role", role, "--unit", unit, code=1)
    assert refused.stdout == ""
    assert refused.stderr.startswith("✗ ")


def test_the_directory_and_the_command_line_name_the_platform_client_alike() -> None:
    assert str(CLIENT_OF_DIRECTORY) == PLATFORM_CLIENT


@pytest.mark.usefixtures("divisions")
def test_a_request_can_be_followed_through_the_services(linli: Linli) -> None:
    # What services recorded comes in batches, and they may still be at work on what came of it.
    drawn = within(lambda: drawn_twice(linli), 60)
    assert "directory     POST /directory/v1/units/import" in drawn
    assert "tickets       process linli.directory." in drawn
    assert linli("trace", "f" * 32, code=1).stdout == ""


def drawn_twice(linli: Linli) -> str:
    """Give the latest trace when it has been to tickets, and is the same by its id."""
    drawn = linli("trace").stdout
    whole = "tickets       process" in drawn and linli("trace", drawn.split()[0]).stdout == drawn
    return drawn if whole else ""


def test_logs_are_shown_by_part(linli: Linli) -> None:
    assert "ready to accept connections" in linli("logs", "postgres").stdout
    assert "tickets " in linli("logs", "-n", "1").stdout
    assert "directory" in linli("logs", "nobody", code=1).stderr


def test_a_second_up_finds_all_as_it_was(linli: Linli, shared_home: Home) -> None:
    before = pids(shared_home)
    linli("up", "--empty")
    assert pids(shared_home) == before


def test_a_killed_service_and_a_killed_database_are_healed(linli: Linli, shared_home: Home) -> None:
    before = pids(shared_home)
    for name in ("tickets", "postgres"):
        os.kill(before[name], signal.SIGKILL)
    within(lambda: linli("doctor") and pids(shared_home)["tickets"] != before["tickets"], 100, every=0.5)


def test_down_ends_every_process_and_the_database_in_order(linli: Linli, shared_home: Home) -> None:
    running = pids(shared_home)
    linli("down")
    assert not any(psutil.pid_exists(pid) for pid in running.values())
    assert "database system is shut down" in linli("logs", "postgres", "-n", "1").stdout
    report = linli("doctor", code=1).stdout
    assert report.count("make up") >= 9
    assert "Nothing runs here" in linli("down").stderr
