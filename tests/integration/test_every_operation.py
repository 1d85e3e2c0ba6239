"""Every operation of every OpenAPI document, asked through the gateway in thousands of ways: no fault."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.integration.conftest import SERVICES, Platform, _free_range

# A platform of its own: whoever asks everything also moves units, disables apps and replaces the identity provider.
pytestmark = [pytest.mark.xdist_group("fuzzing"), pytest.mark.timeout(600)]

FOLDER = Path(__file__).with_name("fuzzing")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
COMMUNITY = "310104003001"
SEED = ("--households", "10", "--grids", "1", "--micro-grids", "2")
EXAMPLES = "60" if os.environ.get("FULL") else "2"
OPERATORS = "/(dead-letters|districts)|^/directory/(v1/(units|apps|providers|signing-keys|staff)|oauth|.well-known)"
"""What an operator of the platform may and an administrator of a district may not, or in another way."""
# The directory comes last: what is done to it is felt by the others.
CALLS = [(name, "district_admin", "310104") for name in (*SERVICES[1:], "directory")]
# What else an operator may do in a service, the chassis does for all: dead letters.
CALLS += [(name, "operator", "0") for name in ("console", "residents", "tickets", "directory")]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A small platform: one street with a few people, a ticket, a centre with a session."""
    home = Path(tempfile.mkdtemp(prefix="linli-"))
    home.chmod(0o711)
    port = _free_range()
    found = Platform(f"http://127.0.0.1:{port}", home, port)
    try:
        found.linli("up", "--empty", timeout=300)
        found.linli("import", "divisions")
        found.linli("seed", "--unit", COMMUNITY, *SEED)
        headers = {"Authorization": f"Bearer {found.token('community_manager', COMMUNITY)}"}
        with httpx.Client(base_url=found.url, headers=headers, trust_env=False) as manager:
            report = {"unit": COMMUNITY, "title": "路灯不亮", "description": "小区北门路灯三天不亮"}
            manager.post("/tickets/v1/tickets", json=report).raise_for_status()
            centre = {"unit": COMMUNITY, "name": "邻里中心", "address": "永嘉路1号"}
            made = manager.post("/bookings/v1/centres", json=centre).raise_for_status().json()["id"]
            times = {"starts_at": "2099-01-01T08:00:00+08:00", "ends_at": "2099-01-01T09:00:00+08:00"}
            session = {"title": "书法班", "seats": 5, **times}
            manager.post(f"/bookings/v1/centres/{made}/sessions", json=session).raise_for_status()
        for _, role, unit in CALLS:
            found.token(role, unit)  # before anybody replaces who says so
        yield found
    finally:
        found.linli("down", check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize(("service", "role", "unit"), CALLS, ids=[f"{name}-{role}" for name, role, _ in CALLS])
def test_no_operation_does_what_its_document_does_not_say(
    platform: Platform, tmp_path: Path, service: str, role: str, unit: str
) -> None:
    command = [
        *(str(SCHEMATHESIS), "--config-file", str(FOLDER / "schemathesis.toml"), "run"),
        f"{platform.url}/{service}/v1/openapi.json",
        *("--header", f"Authorization: Bearer {platform.token(role, unit)}"),
        *("--max-examples", EXAMPLES, "--no-color"),
    ]
    if role == "operator" and service != "console":
        command += ["--include-path-regex", OPERATORS]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "SCHEMATHESIS_HOOKS": "hooks", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=580, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[said.find("= FAILURES") :]
    selected = re.search(r"Selected: (\d+)/\d+\n +Tested: (\d+)", said)
    assert selected, said
    assert int(selected[1]) == int(selected[2]) > 3
