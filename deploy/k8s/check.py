# ruff: noqa: INP001 a script among manifests
"""Renders every overlay and validates what comes out: `make k8s`.

Kubernetes' own resources are held to its published schemas, strictly. Custom resources are held to the definitions that
`--crds` names (`kubectl get crd -o yaml` prints a cluster's), or listed as unchecked.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

OVERLAYS: Final = sorted(path.parent for path in Path(__file__).parent.glob("overlays/*/kustomization.yaml"))
VERSIONS: Final = ("1.34", "1.37")
"""The oldest and the newest Kubernetes that the manifests are for."""
_SECONDS: Final = 60

Resource = dict[str, Any]
Schemas = Mapping[tuple[str, str], Resource]
"""By apiVersion and kind."""


def kubectl() -> str:
    """Find kubectl: the one of the virtual environment, or else any."""
    found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if found is None:
        raise SystemExit("kubectl is missing; `make setup` installs it.  缺少 kubectl，请运行 make setup。")
    return found


def render(overlay: Path) -> list[Resource]:
    """Give an overlay's resources as `kubectl apply -k` would send them."""
    done = subprocess.run(  # noqa: S603 a program of ours with a folder of ours
        [kubectl(), "kustomize", str(overlay)], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode or done.stderr:  # it warns of what will stop to work
        raise SystemExit(f"{overlay.name}: {done.stderr}")
    return [resource for resource in yaml.safe_load_all(done.stdout) if resource]


def name(resource: Resource) -> str:
    """Name a resource for people."""
    return f"{resource['kind']} {resource['metadata']['name']}"


def schemas(files: list[Path]) -> Schemas:
    """Read definitions of custom resources; what they do not name is refused."""
    found: dict[tuple[str, str], Resource] = {}
    for file in files:
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            for crd in (document or {}).get("items", [document] if document else []):
                for version in crd["spec"]["versions"]:
                    key = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
                    found[key] = _strict(version["schema"]["openAPIV3Schema"])
    return found


def _strict(schema: Any) -> Any:  # noqa: ANN401 a schema's parts are of any type
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(part) for key, part in schema.items()}
    if isinstance(pattern := schema.get("pattern"), str) and "(?i)" in pattern:
        # Go, which Kubernetes is written in, takes it anywhere; Python at the beginning.
        strict["pattern"] = "(?i)" + pattern.replace("(?i)", "")
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def errors(resources: list[Resource], definitions: Schemas) -> Iterator[str]:
    """Tell what is wrong with resources; those that nothing is known of are passed over."""
    for resource in resources:
        try:
            if definition := definitions.get((resource["apiVersion"], resource["kind"])):
                jsonschema.validate(resource, definition)
            elif is_core(resource):
                for version in VERSIONS:
                    kubernetes_validate.validate(resource, version, strict=True)
        except jsonschema.ValidationError as error:
            yield f"{name(resource)}: {error.json_path}: {error.message}"


def is_core(resource: Resource) -> bool:
    """Tell whether Kubernetes itself defines the resource: its groups have no dot, or are under k8s.io."""
    group = resource["apiVersion"].rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def main() -> int:
    """Check every overlay and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crds", type=Path, nargs="*", default=[], help="definitions of custom resources, as YAML")
    definitions = schemas(parser.parse_args().crds)
    failed = False
    for overlay in OVERLAYS:
        resources = render(overlay)
        unchecked = [r for r in resources if not is_core(r) and (r["apiVersion"], r["kind"]) not in definitions]
        wrong = list(errors(resources, definitions))
        failed |= bool(wrong)
        sys.stdout.writelines(f"{overlay.name}: WRONG {line}\n" for line in wrong)
        sys.stdout.write(
            f"{overlay.name}: {len(resources) - len(unchecked)} resources checked against Kubernetes"
            f" {' and '.join(VERSIONS)}, {len(wrong)} wrong\n"
        )
        if unchecked:
            listed = ", ".join(name(resource) for resource in unchecked)
            sys.stdout.write(f"{overlay.name}: unchecked, their definitions are not at hand (--crds): {listed}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
