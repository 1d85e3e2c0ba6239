"""The embedded stack, Compose and Kubernetes run every service with the same settings."""

import base64
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    PROJECT,
    SCALED,
    Resource,
    compose,
    containers,
    environment,
    mounted,
    of_kind,
    one,
    pods,
)

from console.settings import ConsoleSettings
from linli.settings import Settings
from linli_cli.home import APPS, CONSOLE, Home
from linli_cli.stack import database, gateway, programs, streams

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
every_service = pytest.mark.parametrize("service", APPS)
LINLI = "linli_"
OWN_ADDRESSES = {"hba_file", "listen_addresses", "port", "unix_socket_directories"}
"""Of PostgreSQL, and different where it has a machine of its own."""


def _container(overlay: str, service: str) -> tuple[Resource, Resource]:
    template = one(overlay, "Deployment", service)["spec"]["template"]
    return template, template["spec"]["containers"][0]


def _targets(service: Resource) -> set[str]:
    """Name the files that a container of Compose finds in /run/secrets."""
    return {secret if isinstance(secret, str) else secret["target"] for secret in service.get("secrets", [])}


def _default(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@every_overlay
@every_service
def test_a_service_is_told_the_same_by_the_same_names(
    overlay: str, service: str, cluster_secrets: dict[str, Resource], tmp_path: Path
) -> None:
    template, container = _container(overlay, service)
    told = environment(overlay, container)
    secret = mounted(template, container)
    assert secret == service
    files = set(cluster_secrets[secret]["data"])

    in_compose = compose()["services"][service]
    shared = {key: _default(str(value)) for key, value in in_compose["environment"].items()}
    assert _targets(in_compose) == files
    # In a cluster the keys of a bucket come from a secret, and without a bucket there is no folder to share.
    bucket = {name for name in shared if name.startswith("AWS_")}
    assert told.keys() - {"LINLI_POOL_SIZE"} == shared.keys() - bucket
    own = {"LINLI_JWKS_URL", "LINLI_POOL_SIZE", "LINLI_OTLP_FORWARD", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"}
    own |= {"LINLI_FILES", *bucket}
    assert {k: v for k, v in told.items() if k not in own} == {k: v for k, v in shared.items() if k not in own}
    assert int(told["LINLI_POOL_SIZE"]) == Settings.model_fields["pool_size"].default

    home = Home(tmp_path, 8080)
    (tmp_path / "secrets").mkdir()
    embedded = {name.lower() for name in programs.environment(home, service) if name.startswith("LINLI_")}
    kept = {"linli_files", "linli_public_url"} if service == "tickets" else set()
    assert embedded == files | {"linli_jwks_url"} | kept


@every_overlay
@every_service
def test_what_a_service_is_told_is_enough_to_start(
    overlay: str,
    service: str,
    cluster_secrets: dict[str, Resource],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, container = _container(overlay, service)
    for name, value in environment(overlay, container).items():
        known = ConsoleSettings.model_fields.keys() | Settings.model_fields.keys()
        assert not name.startswith("LINLI_") or name.lower().removeprefix(LINLI) in known
        monkeypatch.setenv(name, value)
    for name, value in cluster_secrets[service]["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(value))
    settings = ConsoleSettings(_secrets_dir=tmp_path) if service == CONSOLE else Settings(_secrets_dir=tmp_path)
    assert f"://{service}_app:" in settings.database_url.get_secret_value()
    assert f"://{service}_relay:" in settings.relay_database_url.get_secret_value()
    addresses = [settings.database_url, settings.relay_database_url]
    if isinstance(settings, Settings):
        assert f"://{service}:" in settings.nats_url.get_secret_value()
        assert len(base64.b64decode(settings.master_key.get_secret_value())) == 32
        addresses.append(settings.nats_url)
    names = {resource["metadata"]["name"] for resource in of_kind(overlay, "Service")}
    for cluster in of_kind(overlay, "Cluster"):
        names |= {
            added["serviceTemplate"]["metadata"]["name"]
            for added in cluster["spec"]["managed"]["services"]["additional"]
        }
    for address in addresses:
        assert re.search(r"@([\w-]+):\d+", address.get_secret_value())[1] in names  # type: ignore[index]


@every_overlay
@every_service
def test_a_service_runs_the_same_command_within_the_same_bounds(overlay: str, service: str) -> None:
    template, container = _container(overlay, service)
    in_compose = compose()["services"][service]
    (name,) = (each for each in container["env"] if each["name"] == "SERVICE")
    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['app.kubernetes.io/name']"
    running = template["metadata"]["labels"]["app.kubernetes.io/name"]
    assert [part.replace("$(SERVICE)", running) for part in container["command"]] == in_compose["command"]
    limits = in_compose["deploy"]["resources"]["limits"]
    assert container["resources"]["limits"] == {"cpu": limits["cpus"], "memory": limits["memory"].replace("m", "Mi")}
    assert in_compose["read_only"] is True
    assert in_compose["cap_drop"] == ["ALL"]
    assert in_compose["security_opt"] == ["no-new-privileges:true"]


def test_uvicorn_runs_in_the_image_as_it_does_embedded(tmp_path: Path) -> None:
    dockerfile = (PROJECT / "deploy/Dockerfile").read_text("utf-8")
    in_image = dict(re.findall(r"UVICORN_(\w+)=(\S+)", dockerfile))
    (tmp_path / "secrets").mkdir()
    command = programs._service(Home(tmp_path, 8080), "tickets").command
    options = command if isinstance(command, list) else shlex.split(command)
    embedded: dict[str, str] = {}
    for option, following in zip(options, [*options[1:], "--"], strict=True):
        if option.startswith("--"):
            name = option.removeprefix("--").removeprefix("no-").replace("-", "_").upper()
            flag = "false" if option.startswith("--no-") else "true"
            embedded[name] = flag if following.startswith("--") else following
    where = ("HOST", "PORT")
    assert {k: v for k, v in in_image.items() if k not in where} == {
        k: v for k, v in embedded.items() if k not in where
    }
    assert in_image["PORT"] == "8000"
    assert in_image["TIMEOUT_GRACEFUL_SHUTDOWN"] == "10"


@every_overlay
def test_the_jobs_are_those_of_compose(overlay: str, cluster_secrets: dict[str, Resource]) -> None:
    jobs = {
        container["name"]: (container["command"], set(cluster_secrets[str(mounted(template, container))]["data"]))
        for owner, template in pods(overlay)
        if owner.startswith("Job ")
        for container in containers(template)
    }
    if overlay == SCALED:
        assert jobs["streams"][0][-2:] == ["--replicas", "3"]
        jobs["streams"] = (jobs["streams"][0][:-2], jobs["streams"][1])
    # NATS and Traefik get their settings as ConfigMaps and custom resources here: nothing to configure.
    assert jobs == {
        name: (compose()["services"][name]["command"], _targets(compose()["services"][name]))
        for name in ("provision", "migrate", "bootstrap", "streams")
    }


def test_files_are_where_tickets_keeps_them_and_only_who_must_writes_there() -> None:
    services = compose()["services"]
    settings = {"LINLI_FILES", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"}
    told, rights = {}, {}
    for name, service in services.items():
        environment = service.get("environment", {})
        if found := {key: value for key, value in environment.items() if key in settings}:
            told[name] = found
        for volume in service.get("volumes", []):
            if "/volumes/files" in str(volume):
                source, _, right = volume.partition(":/volumes/files")
                assert source == "${LINLI_FILES_FOLDER:-files}"
                rights[name] = right
    assert rights == {"tickets": "", "operator": "", "backup": ":ro", "wal": ":ro"}
    assert told.keys() == rights.keys()
    assert all(told[name] == told["tickets"] for name in told)
    assert told["tickets"].keys() == settings
    # A bucket is outside.
    assert all("outside" in services[name]["networks"] for name in told)


def test_what_puts_files_back_reads_backups_and_writes_none() -> None:
    services = compose()["services"]
    assert (
        services["operator"]["environment"]["LINLI_BACKUP_TO"] == services["backup"]["environment"]["LINLI_BACKUP_TO"]
    )
    folder = "${LINLI_BACKUP_FOLDER:-backup}:/volumes/backup"
    assert f"{folder}:ro" in services["operator"]["volumes"]
    assert folder in services["backup"]["volumes"]
    assert folder in services["wal"]["volumes"]


@every_overlay
@pytest.mark.parametrize("job", ["provision", "migrate", "bootstrap"])
def test_what_prepares_databases_is_told_of_all_of_them(overlay: str, job: str) -> None:
    (container,) = (
        container for _, template in pods(overlay) for container in containers(template) if container["name"] == job
    )
    assert environment(overlay, container)["LINLI_SHARDS"] == ""
    assert compose()["services"][job]["environment"]["LINLI_SHARDS"] == "${LINLI_SHARDS:-}"


def _options(words: list[str]) -> dict[str, str]:
    said = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
    return {name: value for name, value in said.items() if name not in OWN_ADDRESSES}


def test_postgresql_is_set_up_the_same(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    embedded = _options(database.command(Home(tmp_path, 8080)))
    in_compose = compose()["services"]["postgres"]
    (dev,) = one("dev", "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"]
    assert _options(in_compose["command"]) == embedded
    assert _options(dev["args"]) == embedded
    (initdb,) = (each["value"] for each in dev["env"] if each["name"] == "POSTGRES_INITDB_ARGS")
    assert initdb == in_compose["environment"]["POSTGRES_INITDB_ARGS"]

    cluster = one(SCALED, "Cluster", "postgres")["spec"]
    sizes = {"max_connections", "shared_buffers"}
    assert {k: v for k, v in cluster["postgresql"]["parameters"].items() if k not in sizes} == {
        k: v for k, v in embedded.items() if k not in sizes
    }
    made = cluster["bootstrap"]["initdb"]
    options = _options(shlex.split(initdb))
    assert (made["locale"], made["localeProvider"], made["builtinLocale"]) == (
        options["locale"],
        options["locale-provider"],
        options["builtin-locale"],
    )
    assert made["dataChecksums"] is True


def test_images_are_of_the_same_releases() -> None:
    for name in ("postgres", "nats"):
        (container,) = one("dev", "StatefulSet", name)["spec"]["template"]["spec"]["containers"]
        assert f"{{LINLI_MIRROR:-}}{container['image']}}}" in compose()["services"][name]["image"]
    release = re.compile(r"postgres(?:ql)?:(\d+\.\d+)-")
    of_compose = release.search(compose()["services"]["postgres"]["image"])
    of_cluster = release.search(one(SCALED, "Cluster", "postgres")["spec"]["imageName"])
    assert of_compose
    assert of_cluster
    assert of_compose[1] == of_cluster[1]


def _routes(overlay: str) -> dict[str, Any]:
    """Give the routes as the file that Traefik reads elsewhere would have them."""
    routers: dict[str, Any] = {}
    for route in one(overlay, "IngressRoute", "linli")["spec"]["routes"]:
        (service,) = route["services"]
        first, *others = (middleware["name"] for middleware in route["middlewares"])
        assert first == "every"
        rule = re.sub(r"^Host\(`[\w.]+`\) && ", "", route["match"])
        router = {"rule": rule, "service": service["name"], "entryPoints": ["web"]}
        if others:
            router["middlewares"] = others
        if "priority" in route:
            router["priority"] = route["priority"]
        routers[{None: service["name"], 1: "rest", 2: "page", 1000: "form"}[route.get("priority")]] = router
    return routers


@every_overlay
def test_the_gateway_does_the_same(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LINLI_RATE_LIMIT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    wanted: Any = gateway.routes({service: f"http://{service}:8000" for service in APPS})["http"]
    static: Any = gateway.static(":8080", ":8082", Path("routes.yml"))
    assert _routes(overlay) == wanted["routers"]

    middlewares = {m["metadata"]["name"]: m["spec"] for m in of_kind(overlay, "Middleware")}
    chain = middlewares.pop("every")["chain"]["middlewares"]
    assert [f"{m['name']}@file" for m in chain] == static["entryPoints"]["web"]["http"]["middlewares"]
    assert middlewares["problems"]["errors"]["service"] == {"name": "directory", "port": 8000}
    middlewares["problems"]["errors"]["service"] = "directory"
    assert middlewares == wanted["middlewares"]
    assert one(overlay, "ServersTransport", "linli")["spec"] == static["serversTransport"]

    values = yaml.safe_load((K8S / "traefik-values.yaml").read_text("utf-8"))
    given = _options(values["additionalArguments"])
    # Else a service whose pods are all away has no route, and the directory's 404 is the answer.
    assert given["providers.kubernetesCRD.allowEmptyServices"] == "true"
    web = static["entryPoints"]["web"]
    for point in ("web", "websecure"):
        prefix = f"entryPoints.{point}"
        assert {k.removeprefix(f"{prefix}."): v for k, v in given.items() if k.startswith(f"{prefix}.")} == {
            **{f"transport.respondingTimeouts.{k}": v for k, v in web["transport"]["respondingTimeouts"].items()},
            "transport.lifeCycle.graceTimeOut": web["transport"]["lifeCycle"]["graceTimeOut"],
            "http.aliasHeadersStrategy": web["http"]["aliasHeadersStrategy"],
        }


def test_services_scale_by_every_consumer_there_is() -> None:
    wanted = {
        service.service: {(consumer.stream, consumer.name) for consumer in service.consumers}
        for service in streams.subscriptions()
        if service.consumers
    }
    found: dict[str, set[tuple[str, str]]] = {}
    for scaler in of_kind(SCALED, "ScaledObject"):
        triggers = [
            trigger["metadata"] for trigger in scaler["spec"]["triggers"] if trigger["type"] == "nats-jetstream"
        ]
        found[scaler["metadata"]["name"]] = {(each["stream"], each["consumer"]) for each in triggers}
        # Each server by a name of its own: KEDA asks the one that leads a consumer.
        assert {each["natsServerMonitoringEndpoint"] for each in triggers} == {"nats-peers.linli.svc:8222"}
    assert found == wanted
