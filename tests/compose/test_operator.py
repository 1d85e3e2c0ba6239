"""A district's life in containers: the databases are reached from the operator's container alone."""

import subprocess
from pathlib import Path

import pytest
from tests.compose.conftest import Deployment

pytestmark = pytest.mark.timeout(300)

DISTRICT = "120103"
MOUNTED = "/archive.age"


def test_a_district_is_exported_removed_and_taken_in_again(deployment: Deployment, tmp_path: Path) -> None:
    deployment.linli("district", "add", DISTRICT)
    key, archive = tmp_path / "key.txt", tmp_path / f"{DISTRICT}.age"
    recipient = deployment.linli("district", "key", str(key)).strip()
    operator = ("docker", "compose", "run", "--rm", "-T")
    with archive.open("wb") as target:
        export = ("operator", "district", "export", DISTRICT, "-o", "-", "--recipient", recipient)
        subprocess.run([*operator, *export], cwd=deployment.folder, stdout=target, check=True, timeout=120)
    assert archive.read_bytes().startswith(b"age-encryption.org/v1")
    archive.chmod(0o644)  # it is encrypted, and the container's user is nobody here
    for arguments in (
        ("remove", DISTRICT, "--yes", DISTRICT, "--no-wait", "--export", MOUNTED),
        ("import", MOUNTED),
    ):
        with key.open() as opens:
            subprocess.run(
                [
                    *(*operator, "-v", f"{archive}:{MOUNTED}:ro", "operator", "district"),
                    *(*arguments, "--identity-file", "/dev/stdin"),
                ],
                cwd=deployment.folder,
                stdin=opens,
                check=True,
                timeout=120,
            )
        left = deployment.query("directory", f"SELECT count(*) FROM unit WHERE district = {DISTRICT}")
        assert (int(left) == 0) == (arguments[0] == "remove")
