"""One file carries the platform to a machine that has neither a network nor Python."""

from pathlib import Path
from uuid import uuid4

import pytest
from tests.compose.conftest import LINLI, Deployment, free_port, run

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, image: str) -> Path:
    """A bundle of a version whose image is not here any more."""
    file = tmp_path_factory.mktemp("bundle") / "linli.tar"
    run("docker", "tag", image, "linli:compose-test-bundle")
    run(str(LINLI), "bundle", str(file), "--tag", "compose-test-bundle")
    run("docker", "rmi", "linli:compose-test-bundle")
    return file


def test_a_machine_with_nothing_but_docker_runs_it_from_the_bundle(bundle: Path, tmp_path: Path) -> None:
    run("tar", "xf", str(bundle), cwd=tmp_path)
    made = Deployment(tmp_path / "linli-compose-test-bundle", free_port())
    project = f"linli-{uuid4().hex[:8]}"
    try:
        run(
            *("env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "sh", "install.sh"),
            *("--port", str(made.port), "--project", project),
            cwd=made.folder,
        )
        assert {one["State"]["Health"]["Status"] for one in made.containers()} == {"healthy"}
        assert "3692 created" in made.linli("import", "divisions")
    finally:
        made.compose("down", "--volumes", "--timeout", "15", check=False)


def test_init_takes_settings_and_images_from_a_bundle(bundle: Path, tmp_path: Path) -> None:
    run("docker", "rmi", "--force", "linli:compose-test-bundle")
    run(str(LINLI), "init", str(tmp_path / "here"), "--no-check", "--from-bundle", str(bundle))
    run("docker", "image", "inspect", "linli:compose-test-bundle")
    images = run("env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "docker", "compose", "config", "--images",
                 cwd=tmp_path / "here").split()  # fmt: skip
    assert "linli:compose-test-bundle" in images
    for image in set(images):
        run("docker", "image", "inspect", image)


def test_another_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_bytes(b"not a tar")
    with pytest.raises(AssertionError, match="is no bundle"):
        run(str(LINLI), "init", str(tmp_path / "here"), "--no-check", "--from-bundle", str(tmp_path / "other.tar"))
