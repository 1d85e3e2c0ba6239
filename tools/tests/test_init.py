import json
import os
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from dotenv import dotenv_values
from tools.tests.test_tls import NAME, Authority
from typer.testing import CliRunner

from linli.bootstrap import logins
from linli_cli.console import Trouble
from linli_cli.deploy import bundle, checks, files, https, jobs, keys
from linli_cli.home import APPS, SERVICES, Home
from linli_cli.main import app, run
from linli_cli.stack import tls

Init = Callable[..., Home]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """`linli init` without a look at the machine, and the deployment it made."""
    monkeypatch.delenv("LINLI_PORT", raising=False)

    def init(*options: str) -> Home:
        run(["init", str(tmp_path / "district"), "--no-check", *options])
        monkeypatch.setenv("LINLI_HOME", str(tmp_path / "district"))
        return Home.find()

    return init


def contents(home: Home) -> dict[str, str]:
    return {str(path.relative_to(home.root)): path.read_text() for path in home.root.rglob("*") if path.is_file()}


def test_the_command_line_finds_the_deployment_by_its_folder(init: Init) -> None:
    home = init("--port", "9080")
    home.require()
    assert home.url == "http://127.0.0.1:9080"
    assert len(home.secret("platform_client_secret")) >= 16


def test_a_second_time_changes_nothing(init: Init) -> None:
    before = contents(init())
    assert contents(init("--port", "9081", "--tag", "9.9")) == before


def test_every_password_is_its_own_and_no_file_has_a_default(init: Init) -> None:
    home = init()
    folder = home.root / "secrets"
    databases, broker = keys.database_passwords(folder), keys.broker_passwords(folder)
    passwords = [*databases.values(), *broker.values(), home.secret("postgres"), home.secret("platform_client_secret")]
    assert set(databases) == {login for service in APPS for login in logins(service)}
    assert len(set(passwords)) == len(passwords) == 3 * len(APPS) + len(SERVICES) + 1 + 2
    assert min(map(len, passwords)) >= 32
    assert not any(password in (home.root / ".env").read_text() for password in passwords)


def test_only_the_owner_gets_to_the_secrets_whatever_a_file_allows(init: Init) -> None:
    home = init()
    assert stat.S_IMODE((home.root / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((home.root / ".env").stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home.root / "secrets").iterdir()} == {0o444}


def test_every_secret_that_the_compose_file_names_is_made_and_no_other(init: Init) -> None:
    home = init()
    named = {
        line.split("./secrets/")[1].rstrip(" }")
        for line in (home.root / "compose.yml").read_text().splitlines()
        if "./secrets/" in line
    }
    assert named == {path.name for path in (home.root / "secrets").iterdir()}


def test_what_watches_the_platform_can_be_read_by_containers_whatever_the_umask(init: Init) -> None:
    before = os.umask(0o077)
    try:
        home = init()
    finally:
        os.umask(before)
    for name in ("observability", "runbooks"):
        for path in (home.root / name, *(home.root / name).rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize("options", [(), ("--observability",)])
def test_services_send_what_they_measure_only_when_asked_to(init: Init, options: tuple[str, ...]) -> None:
    told = dotenv_values(init(*options).root / ".env")
    assert ("LINLI_OTLP_FORWARD" in told) == bool(options)
    assert "COMPOSE_PROFILES" not in told  # else a start would wait for it


@pytest.mark.parametrize(
    ("mirror", "hub"), [("m.example/library/", "m.example/"), ("m.example/hub/", "m.example/hub/")]
)
def test_other_images_come_from_the_mirror_too(init: Init, mirror: str, hub: str) -> None:
    told = dotenv_values(init("--mirror", mirror).root / ".env")
    assert (told["LINLI_MIRROR"], told["LINLI_HUB"]) == (mirror, hub)


def test_an_upgrade_brings_its_files_and_a_failed_one_gives_the_old_back(init: Init, tmp_path: Path) -> None:
    home = init()
    (home.root / "observability/alerts.yml").write_text("older")
    (home.root / "observability/gone.yml").write_text("not any more")
    (home.root / "runbooks/README.md").unlink()
    before = contents(home)
    kept = tmp_path / "kept"
    kept.mkdir()
    files.keep(home.root, kept)
    files.replace(home.root)
    assert {name: (home.root / name).read_bytes() for name, _ in files.sources()} == {
        name: source.read_bytes() for name, source in files.sources()
    }
    assert not (home.root / "observability/gone.yml").exists()
    files.restore(home.root, kept)
    assert contents(home) == before


def test_a_bundle_lays_its_files_and_nothing_of_it_gets_elsewhere(tmp_path: Path) -> None:
    made, place = tmp_path / "bundle.tar", tmp_path / "place"
    place.mkdir()
    with tarfile.open(made, "w") as tar:
        for name, source in files.sources():
            tar.add(source, f"linli-1/{name}")
        tar.add(__file__, "linli-1/observability/../../stolen")
    with tarfile.open(made) as tar:
        bundle._extract(tar, "linli-1/compose.yml", place / "compose.yml")
        bundle._extract(tar, "linli-1/runbooks", place / "runbooks")
        with pytest.raises(tarfile.TarError, match="leads elsewhere"):
            bundle._extract(tar, "linli-1/observability", place / "observability")
        with pytest.raises(KeyError):
            bundle._extract(tar, "linli-1/nothing", place / "nothing")
    assert (place / "compose.yml").exists()
    assert len(list((place / "runbooks").iterdir())) == sum(name.startswith("runbooks/") for name, _ in files.sources())
    assert not (tmp_path / "stolen").exists()


def test_an_address_carries_the_login_of_its_database(init: Init) -> None:
    address = urlsplit((init().root / "secrets" / "tickets_relay_url").read_text())
    assert (address.username, address.hostname, address.path) == ("tickets_relay", "postgres", "/tickets")


def test_a_lost_master_key_is_never_replaced(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    home = init()
    (home.root / "secrets" / "master_key").unlink()
    with pytest.raises(Trouble):
        init()
    assert "its master key is gone" in capsys.readouterr().err
    assert not (home.root / "secrets" / "master_key").exists()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Trouble, match=f"Port {port} on 127.0.0.1"):
            checks.port("127.0.0.1", port)


@pytest.mark.parametrize("said", ["2.19.1", "v1.29.2", "", "none"])
def test_an_old_or_missing_compose_is_refused(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho '{said}'\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Trouble, match=r"Docker Compose 2\.20 or newer"):
        checks.compose()


@pytest.mark.parametrize("said", ["2.20.0", "v2.26.1-4", "5.0.1"])
def test_a_new_compose_is_taken(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho '{said}'\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    checks.compose()


def test_a_machine_with_two_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PHYS_PAGES": 2**19, "SC_PAGE_SIZE": 2**12}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    with pytest.raises(Trouble, match=r"this machine has 2\.0"):
        checks.memory()


@pytest.mark.parametrize("command", ["up", "down", "reset", "doctor", "logs", "migrate", "streams"])
def test_commands_of_the_embedded_stack_leave_a_deployment_alone(init: Init, command: str) -> None:
    home = init()
    before = contents(home)
    answer = CliRunner().invoke(app, [command])
    assert answer.exit_code == 1
    assert contents(home) == before


def test_gateway_and_broker_are_told_what_this_version_needs(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = init()
    monkeypatch.setattr(jobs, "_SECRETS", home.root / "secrets")
    monkeypatch.setattr(jobs, "_VOLUMES", tmp_path / "volumes")
    for folder in ("gateway", "broker-settings"):
        (tmp_path / "volumes" / folder).mkdir(parents=True)
    run(["job", "configure"])
    routes = (tmp_path / "volumes/gateway/routes.yml").read_text()
    assert all(f'"http://{service}:8000"' in routes for service in APPS)
    broker = tmp_path / "volumes/broker-settings/nats.conf"
    assert stat.S_IMODE(broker.stat().st_mode) == 0o600
    for user, password in keys.broker_passwords(home.root / "secrets").items():
        assert f'"user": "{user}",\n        "password": "{password}"' in broker.read_text()


def test_a_certificate_of_ones_own_is_laid_among_the_secrets_and_replaced(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path)
    first, second = (authority.certificate(NAME, days=days) for days in (1, 2))
    home = init("--port", "443", "--tls-cert", str(first[0]), "--tls-key", str(first[1]))
    said = dotenv_values(home.root / ".env")
    assert (said["COMPOSE_FILE"], said["LINLI_GATEWAY_PORT"]) == ("compose.yml:tls.yml", "8443")
    assert (said["LINLI_TLS_CERT"], said["LINLI_HTTP_PORT"]) == ("/run/secrets/tls_certificate", "80")
    assert home.url == f"https://{NAME}"
    laid = [home.secrets / name for name in ("tls_certificate", "tls_key")]
    assert [file.read_bytes() for file in laid] == [file.read_bytes() for file in first]
    assert {stat.S_IMODE(file.stat().st_mode) for file in laid} == {0o444}
    before = (home.root / ".env").read_text()
    init("--tls-cert", str(second[0]), "--tls-key", str(second[1]))
    assert [file.read_bytes() for file in laid] == [file.read_bytes() for file in second]
    assert (home.root / ".env").read_text() == before
    with pytest.raises(Trouble):
        init("--tls-cert", str(first[0]), "--tls-key", str(second[1]))
    assert "is not the key" in capsys.readouterr().err


def test_a_certificate_by_acme_needs_a_name_and_somebody_to_write_to(
    init: Init, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Trouble):
        init("--acme-email", "it@example.gov.cn")
    assert "either a certificate" in capsys.readouterr().err
    home = init("--acme-email", "it@example.gov.cn", "--domain", NAME, "--http-port", "8000", "--port", "8443")
    said = dotenv_values(home.root / ".env")
    assert (said["LINLI_ACME_EMAIL"], said["LINLI_DOMAIN"], said["LINLI_HTTP_PORT"]) == (
        "it@example.gov.cn",
        NAME,
        "8000",
    )
    assert "LINLI_TLS_CERT" not in said
    assert home.url == f"https://{NAME}:8443"
    assert {(home.secrets / name).read_bytes() for name in ("tls_certificate", "tls_key", "acme_ca")} == {b""}


def test_a_certificate_is_got_from_an_authority_of_ones_own(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ca = Authority(tmp_path).file
    public = ("--acme-email", "it@example.gov.cn", "--domain", NAME)
    own = (*public, "--acme-server", "https://ca.example.gov.cn/directory", "--acme-ca", str(ca))
    home = init(*public)
    with pytest.raises(Trouble):
        init(*own)
    said = capsys.readouterr().err
    assert "does not say yet" in said
    (home.root / ".env").write_text((home.root / ".env").read_text() + said[said.index("LINLI_ACME_SERVER=") :])
    init(*own)
    told = dotenv_values(home.root / ".env")
    assert told["LINLI_ACME_SERVER"] == "https://ca.example.gov.cn/directory"
    assert told["LINLI_ACME_CA"] == "/run/secrets/acme_ca"
    assert (home.secrets / "acme_ca").read_bytes() == ca.read_bytes()
    overlay = yaml.safe_load((home.root / "tls.yml").read_text())
    assert {name: home.root / one["file"] for name, one in overlay["secrets"].items()} == {
        name: home.secrets / name for name in ("tls_certificate", "tls_key", "acme_ca")
    }
    assert all(overlay["services"][service]["secrets"] == [*overlay["secrets"]] for service in ("configure", "gateway"))


def test_an_upgrade_makes_the_files_that_a_newer_version_wants_for_https(init: Init) -> None:
    home = init()
    https.renew(home)
    assert not (home.secrets / "acme_ca").exists(), "it speaks HTTP"
    for name in ("tls_certificate", "tls_key"):
        (home.secrets / name).write_text(name)
    https.renew(home)
    kept = {name: (home.secrets / name).read_text() for name in ("tls_certificate", "tls_key", "acme_ca")}
    assert kept == {"tls_certificate": "tls_certificate", "tls_key": "tls_key", "acme_ca": ""}


def test_a_deployment_that_speaks_http_is_told_what_its_settings_lack(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = init()
    certificate, key = Authority(tmp_path).certificate(NAME)
    before = (home.root / ".env").read_text()
    with pytest.raises(Trouble):
        init("--tls-cert", str(certificate), "--tls-key", str(key))
    said = capsys.readouterr().err
    assert "does not say yet" in said
    assert (home.root / ".env").read_text() == before
    (home.root / ".env").write_text(before + said[said.index("COMPOSE_FILE=") :])
    init("--tls-cert", str(certificate), "--tls-key", str(key))


def test_the_gateway_in_containers_speaks_https_when_told(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = init()
    certificate, key = Authority(tmp_path).certificate(NAME)
    monkeypatch.setattr(jobs, "_SECRETS", home.root / "secrets")
    monkeypatch.setattr(jobs, "_VOLUMES", tmp_path / "volumes")
    for folder in ("gateway", "broker-settings"):
        (tmp_path / "volumes" / folder).mkdir(parents=True)
    told = {"LINLI_TLS_CERT": str(certificate), "LINLI_TLS_KEY": str(key), "LINLI_DOMAIN": NAME, "LINLI_PORT": "8443"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    run(["job", "configure"])
    static = json.loads((tmp_path / "volumes/gateway/traefik.yml").read_text())
    assert static["entryPoints"]["websecure"]["address"] == ":8443"
    assert static["entryPoints"]["plain"]["http"]["redirections"]["entryPoint"]["to"] == ":8443"
    routes = json.loads((tmp_path / "volumes/gateway/routes.yml").read_text())
    assert routes["tls"]["stores"]["default"]["defaultCertificate"]["certFile"] == str(certificate)
    assert routes["http"]["routers"]["tickets"]["entryPoints"] == ["web", "websecure"]
    overlay = yaml.safe_load((home.root / "tls.yml").read_text())["services"]
    assert {*tls.WISHES, "LINLI_PORT"} == set(overlay["configure"]["environment"])
    assert overlay["gateway"]["ports"][0].endswith(":8081")
