"""Every overlay renders, is valid, hangs together, and its pods may do no more than they must."""

import copy
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from deploy.k8s import check
from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    SCALED,
    Resource,
    containers,
    environment,
    mounted,
    of_kind,
    one,
    pods,
    rendered,
)

from linli import consumer as consumers
from linli_cli.home import APPS

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@every_overlay
def test_what_kubernetes_defines_is_valid(overlay: str) -> None:
    assert list(check.errors(rendered(overlay), {})) == []


def test_a_field_that_kubernetes_does_not_know_is_an_error() -> None:
    wrong = copy.deepcopy(one("dev", "Deployment", "tickets"))
    wrong["spec"]["replica"] = 3
    (error,) = check.errors([wrong], {})
    assert "Deployment tickets" in error
    assert "replica" in error


def test_a_field_that_a_definition_does_not_know_is_an_error() -> None:
    definition = {
        "properties": {
            "spec": {"properties": {"size": {"type": "integer"}}},
            "apiVersion": {},
            "kind": {},
            "metadata": {},
        }
    }
    resource = {"apiVersion": "x.test/v1", "kind": "Thing", "metadata": {"name": "it"}, "spec": {"sice": 1}}
    definitions = {("x.test/v1", "Thing"): check._strict(definition)}
    (error,) = check.errors([resource], definitions)
    assert "sice" in error


def test_a_definition_with_a_pattern_in_gos_own_writing_is_understood() -> None:
    strict = check._strict({"type": "string", "pattern": "^(?i)(abort|warn)?$"})
    assert re.search(strict["pattern"], "Warn")
    assert not re.search(strict["pattern"], "warning")


@every_overlay
def test_no_pod_may_do_more_than_it_must(overlay: str) -> None:
    for owner, template in pods(overlay):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, owner
        assert spec["enableServiceLinks"] is False, owner
        assert one(overlay, "ServiceAccount", spec["serviceAccountName"])["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True, owner
        assert spec["securityContext"]["runAsUser"] > 0, owner
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), owner
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, owner
            for bound in ("requests", "limits"):
                assert container["resources"][bound].keys() == {"cpu", "memory"}, owner


@every_overlay
def test_every_image_is_of_one_release(overlay: str) -> None:
    images = [container["image"] for _, template in pods(overlay) for container in containers(template)]
    images += [cluster["spec"]["imageName"] for cluster in of_kind(overlay, "Cluster")]
    for image in images:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)*$", image), image
    assert f"linli:{version('linli')}" in images


@every_overlay
def test_pods_find_the_settings_and_secrets_they_name(overlay: str, cluster_secrets: dict[str, Resource]) -> None:
    maps = {resource["metadata"]["name"] for resource in of_kind(overlay, "ConfigMap")}
    for owner, template in pods(overlay):
        for container in containers(template):
            assert {source["configMapRef"]["name"] for source in container.get("envFrom", [])} <= maps, owner
            volumes = {volume["name"] for volume in template["spec"].get("volumes", [])} | {"data"}
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, owner
        for volume in template["spec"].get("volumes", []):
            sources = volume.get("projected", {}).get("sources", [volume])
            for source in sources:
                if "configMap" in source:
                    assert source["configMap"]["name"] in maps, owner
                if secret := source.get("secret"):
                    made = cluster_secrets[secret.get("secretName") or secret["name"]]
                    assert {item["key"] for item in secret.get("items", [])} <= made["data"].keys(), owner


@every_overlay
def test_services_routes_and_scalers_lead_to_pods(overlay: str) -> None:
    labels = {owner: template["metadata"]["labels"] for owner, template in pods(overlay)}
    ports = {
        owner: {port["name"] for container in containers(template) for port in container.get("ports", [])}
        for owner, template in pods(overlay)
    }
    for service in of_kind(overlay, "Service"):
        chosen = [owner for owner, has in labels.items() if service["spec"]["selector"].items() <= has.items()]
        assert len(chosen) == 1, check.name(service)
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[chosen[0]], check.name(service)
    for budget in of_kind(overlay, "PodDisruptionBudget"):
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        assert sum(wanted <= has.items() for has in labels.values()) == 1, check.name(budget)
    for scaler in of_kind(overlay, "HorizontalPodAutoscaler", "ScaledObject"):
        assert one(overlay, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
    for route in one(overlay, "IngressRoute", "linli")["spec"]["routes"]:
        (target,) = route["services"]
        assert target["port"] in {port["port"] for port in one(overlay, "Service", target["name"])["spec"]["ports"]}
        assert one(overlay, "ServersTransport", target["serversTransport"])
        for middleware in route["middlewares"]:
            assert one(overlay, "Middleware", middleware["name"])


@every_overlay
@pytest.mark.parametrize("service", APPS)
def test_a_service_starts_stops_and_is_replaced_without_a_lost_request(overlay: str, service: str) -> None:
    spec = one(overlay, "Deployment", service)["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/healthz",
        "readiness": "/readyz",
        "liveness": "/healthz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 2 * 2  # Traefik takes up changes at most every 2 s.
    last_requests = 10  # UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN, which another test holds to the image's
    assert pod["terminationGracePeriodSeconds"] >= pause + last_requests + consumers._END_WITHIN + 5


@every_overlay
def test_the_directory_does_not_wait_for_itself(overlay: str) -> None:
    (container,) = one(overlay, "Deployment", "directory")["spec"]["template"]["spec"]["containers"]
    # By its Service's name the first pod would ask for keys that only a ready pod gives.
    assert environment(overlay, container)["LINLI_JWKS_URL"].startswith("http://127.0.0.1:8000/")


def test_a_district_survives_the_loss_of_a_machine() -> None:
    scalers = {resource["spec"]["scaleTargetRef"]["name"]: resource for resource in of_kind(SCALED, "ScaledObject")}
    for scaler in of_kind(SCALED, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] not in scalers  # two would pull at one Deployment
        scalers[scaler["spec"]["scaleTargetRef"]["name"]] = scaler
    assert scalers.keys() == set(APPS)
    for name, scaler in scalers.items():
        assert (scaler["spec"].get("minReplicas") or scaler["spec"]["minReplicaCount"]) >= 3
        assert one(SCALED, "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1
        spread = one(SCALED, "Deployment", name)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert {each["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] for each in spread} == {name}
    broker = one(SCALED, "StatefulSet", "nats")["spec"]
    assert broker["replicas"] == 3
    assert one(SCALED, "PodDisruptionBudget", "nats")["spec"]["maxUnavailable"] == 1
    assert one(SCALED, "Cluster", "postgres")["spec"]["instances"] == 3


def test_the_database_has_a_connection_for_everybody() -> None:
    wanted = 0
    for service in APPS:
        deployment = one(SCALED, "Deployment", service)["spec"]
        (container,) = deployment["template"]["spec"]["containers"]
        (most,) = (
            scaler["spec"].get("maxReplicas") or scaler["spec"]["maxReplicaCount"]
            for scaler in of_kind(SCALED, "HorizontalPodAutoscaler", "ScaledObject")
            if scaler["spec"]["scaleTargetRef"]["name"] == service
        )
        pool = int(environment(SCALED, container)["LINLI_POOL_SIZE"])
        relay = 3  # its two lanes, and the clockwork
        wanted += (most + deployment["strategy"]["rollingUpdate"]["maxSurge"]) * (pool + relay)
    jobs_and_people = 30
    parameters = one(SCALED, "Cluster", "postgres")["spec"]["postgresql"]["parameters"]
    assert wanted + jobs_and_people <= int(parameters["max_connections"])


def test_only_jobs_see_the_owners_and_the_superuser(cluster_secrets: dict[str, Resource]) -> None:
    for overlay in OVERLAYS:
        for owner, template in pods(overlay):
            for container in containers(template):
                if container["name"] not in {"provision", "migrate", "postgres"}:
                    secret = cluster_secrets.get(mounted(template, container) or "", {"data": {}})
                    assert not [key for key in secret["data"] if "owner" in key or key == "postgres"], owner


def test_the_overlay_that_a_district_is_told_to_write_renders(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (K8S / "README.md").read_text("utf-8"), re.DOTALL)
    copy_of_all = Path(shutil.copytree(K8S, tmp_path / "k8s"))
    overlay = copy_of_all / "overlays/xuhui"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(example)
    resources = check.render(overlay)
    assert list(check.errors(resources, {})) == []
    (routes,) = (r["spec"]["routes"] for r in resources if r["kind"] == "IngressRoute")
    assert all("Host(`linli.xuhui.example`)" in route["match"] for route in routes)
    assert any(r["kind"] == "PrometheusRule" for r in resources)
    (cluster,) = (r["spec"] for r in resources if r["kind"] == "Cluster")
    deployments = [
        r["spec"]["template"]["spec"]["containers"][0]["image"] for r in resources if r["kind"] == "Deployment"
    ]
    assert all(image.startswith("registry.xuhui.example/") for image in [cluster["imageName"], *deployments])


def test_services_change_only_after_the_jobs_are_done(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stub = tmp_path / "kubectl"
    stub.write_text(f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" != wait ] || [ ! -e {tmp_path}/fails ]\n')
    stub.chmod(0o755)
    command = [str(K8S / "apply"), str(K8S / "overlays/dev"), "--context=it"]
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    subprocess.run(command, env=path, check=True, timeout=20)
    steps = log.read_text().splitlines()
    assert [step.split()[0] for step in steps] == ["delete", "apply", "wait", "apply", "rollout"]
    assert "--selector=app.kubernetes.io/component!=service" in steps[1]
    assert all(step.endswith("--context=it") for step in steps)
    services = [r for r in rendered("dev") if r["kind"] in {"Deployment", "HorizontalPodAutoscaler"}]
    assert all(r["metadata"]["labels"]["app.kubernetes.io/component"] == "service" for r in services)

    (tmp_path / "fails").touch()
    log.unlink()
    assert subprocess.run(command, env=path, check=False, timeout=20).returncode
    assert log.read_text().splitlines()[-1].startswith("wait")
