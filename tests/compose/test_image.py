"""What is in the image, layer by layer: no secret, of nobody, and nothing that is not needed to run."""

import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from tests.compose.conftest import Deployment, run

_UNWANTED = re.compile(r"(^|/)(\.env|\.git|\.linli|\.secrets\.baseline|tests|node_modules|id_rsa|oidc_key\.pem)(/|$)")
_CHUNK = 2**20


@pytest.fixture(scope="module")
def layers(image: str) -> list[tuple[str, bytes]]:
    """Give every file of every layer that is ours or could be, also of those that a later layer hides."""
    found: list[tuple[str, bytes]] = []
    docker = shutil.which("docker") or "docker"
    with subprocess.Popen([docker, "save", image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout
        with tarfile.open(fileobj=saving.stdout, mode="r|") as whole:
            for blob in whole:
                content = whole.extractfile(blob) if blob.isfile() else None
                if content is None:
                    continue
                try:
                    with tarfile.open(fileobj=content, mode="r|*") as layer:
                        for file in layer:
                            name = file.name.removeprefix("./")  # as imported layers have it
                            part = layer.extractfile(file) if file.isfile() else None
                            # The base image's programs are large, and not ours.
                            known = name.startswith(("usr/lib", "usr/local/lib", "usr/bin", "usr/share"))
                            found.append((name, part.read() if part and not known else b""))
                except tarfile.ReadError:
                    found.append((blob.name, b""))  # a manifest
    return found


def test_no_layer_holds_a_secret_of_the_deployment(deployment: Deployment, layers: list[tuple[str, bytes]]) -> None:
    secrets = {file.name: file.read_bytes().strip() for file in (deployment.folder / "secrets").iterdir()}
    assert any(name.startswith("opt/app/linli/") for name, _ in layers)
    told = [
        (name, secret) for name, content in layers for secret, value in secrets.items() if value and value in content
    ]
    assert told == []


def test_no_layer_holds_what_is_not_needed_to_run(layers: list[tuple[str, bytes]]) -> None:
    ours = [name for name, _ in layers if name.startswith("opt/app/") or not name.startswith(("opt/", "usr/", "var/"))]
    assert [name for name in ours if _UNWANTED.search(name)] == []


def test_how_it_was_built_tells_no_secret(image: str) -> None:
    history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    (built,) = json.loads(run("docker", "inspect", image))
    told = [*history.splitlines(), *built["Config"]["Env"], *map(str, (built["Config"]["Labels"] or {}).items())]
    for line in told:
        assert not re.search(r"(?i)(password|passwd|secret|token|master_key|database_url)\w*=\S", line), line
        assert not re.search(r"://[^/\s:]+:[^@/\s]+@", line), line  # an address with a password in it
    index = os.environ.get("PIP_INDEX_URL")
    assert not index or not any(index in line for line in told)


def test_no_container_is_told_a_secret_by_its_environment(deployment: Deployment) -> None:
    secrets = {file.read_text().strip() for file in (deployment.folder / "secrets").iterdir()}
    passwords = {found[1] for secret in secrets if (found := re.search(r"://[^:]+:([^@]+)@", secret))}
    for container in deployment.containers():
        told = json.dumps([container["Config"]["Env"], container["Config"]["Cmd"], container["Args"]])
        assert not [secret for secret in secrets | passwords if secret and secret in told], container["Name"]


def test_no_container_logs_a_secret(deployment: Deployment) -> None:
    logs = deployment.compose("logs", "--no-color", "--no-log-prefix")
    for file in (deployment.folder / "secrets").iterdir():
        secret = file.read_text().strip()
        assert not secret or secret not in logs, file.name
