"""What the deployments say, in a form that tests can compare."""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from deploy.k8s import check

from linli_cli.deploy import keys
from linli_cli.home import Home

Resource = dict[str, Any]

PROJECT = Path(__file__).resolve().parents[2]
K8S = PROJECT / "deploy/k8s"
OVERLAYS = [overlay.name for overlay in check.OVERLAYS]
SCALED = "district-ha"


@cache
def rendered(overlay: str) -> list[Resource]:
    return check.render(K8S / "overlays" / overlay)


@cache
def compose() -> Resource:
    content: Resource = yaml.safe_load((PROJECT / "deploy/compose.yml").read_text("utf-8"))
    return content


def of_kind(overlay: str, *kinds: str) -> Iterator[Resource]:
    return (resource for resource in rendered(overlay) if resource["kind"] in kinds)


def one(overlay: str, kind: str, name: str) -> Resource:
    """Give a resource; the hash that a generated name ends with is not part of the name asked for."""
    (found,) = (
        resource
        for resource in of_kind(overlay, kind)
        if resource["metadata"]["name"] == name or resource["metadata"]["name"].rpartition("-")[0] == name
    )
    return found


def pods(overlay: str) -> Iterator[tuple[str, Resource]]:
    """Give the template of every pod with its owner's name."""
    for resource in of_kind(overlay, "Deployment", "StatefulSet", "Job"):
        yield check.name(resource), resource["spec"]["template"]


def containers(template: Resource) -> list[Resource]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(overlay: str, container: Resource) -> dict[str, str]:
    """Give what ConfigMaps tell a container; the later wins, as in the kubelet."""
    told: dict[str, str] = {}
    for source in container.get("envFrom", []):
        told |= one(overlay, "ConfigMap", source["configMapRef"]["name"])["data"]
    return told


def mounted(template: Resource, container: Resource) -> str | None:
    """Name the Secret that a container finds in /run/secrets."""
    volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        if mount["mountPath"] == "/run/secrets":
            name: str = volumes[mount["name"]]["secret"]["secretName"]
            return name
    return None


def secrets(folder: Path) -> dict[str, Resource]:
    """Make a deployment's secrets, and of these the cluster's, as a district does; nothing leaves this machine."""
    (folder / "secrets").mkdir(parents=True)
    keys.make(Home(folder, 8080))
    done = subprocess.run(
        [str(K8S / "make-secrets"), str(folder), "--dry-run=client", "-o", "yaml"],
        env={"PATH": f"{Path(check.kubectl()).parent}:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {secret["metadata"]["name"]: secret for secret in yaml.safe_load_all(done.stdout) if secret}
