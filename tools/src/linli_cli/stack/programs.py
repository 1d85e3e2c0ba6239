"""The stack at a glance: every process with its command, order, port and environment."""

import hashlib
import os
from pathlib import Path

from linli_cli.home import APPS, CONSOLE, PROJECT, Home
from linli_cli.stack import database, gateway, streams
from linli_cli.stack.supervisor import BIN, Program
from linli_cli.stack.tls import WISHES

_OWN = {
    "LINLI_BACKUP_RECIPIENT",
    "LINLI_BACKUP_TO",
    "LINLI_HOME",
    "LINLI_PORT",
    "LINLI_RATE_LIMIT",
    "LINLI_STACK",
    "LINLI_URL",
    *WISHES,
}
"""Read by the command line itself; everything else of LINLI_ and OTEL_ is for the services."""
SETTLED_SECONDS = 4


def configure(home: Home) -> list[Program]:
    """Write the parts' configuration files and list the processes, in the order they start in."""
    gateway.write(home)
    tls = gateway.embedded_tls(home)
    nats = home.run / "nats.conf"
    nats.touch(mode=0o600)  # it carries passwords
    content = streams.server_configuration(
        streams.subscriptions(),
        streams.passwords(home),
        listen=f"127.0.0.1:{home.nats_port}",
        monitor=f"127.0.0.1:{home.monitor_port}",
        store=str(home.data / "nats"),
    )
    nats.write_text(gateway.as_json(content), encoding="utf-8")
    return [
        Program(
            "postgres",
            database.command(home),
            order=10,
            port=home.postgres_port,
            stop_signal="INT",  # fast shutdown: roll back, write a checkpoint, go
            stop_seconds=60,
            user=database.system_user(),
        ),
        Program(
            "nats",
            [str(BIN / "nats-server"), "-c", str(nats)],
            order=20,
            port=home.nats_port,
            environment=stamp(nats),
            stop_seconds=30,
        ),
        *(_service(home, name) for name in APPS),
        Program(
            "gateway",
            [str(BIN / "traefik"), f"--configFile={home.run / 'gateway.yml'}"],
            order=40,
            port=home.port,
            environment=stamp(home.run / "gateway.yml", *(tls.files if tls else [])),
        ),
    ]


def stamp(*files: Path) -> dict[str, str]:
    """Make a process's definition differ when one of its files does, so that it is restarted."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return {"LINLI_CONFIGURATION": digest.hexdigest()}


def code(service: str, project: Path = PROJECT) -> list[Path]:
    """List the files a service runs; new ones from `git pull` take effect with the next `up`."""
    sources = (project / "libs" / "common" / "src", project / "services" / service / "src")
    return [project / "requirements.lock", *(file for source in sources for file in sorted(source.rglob("*.py")))]


def ports(home: Home, programs: list[Program]) -> dict[str, list[int]]:
    """Give the ports each process listens on."""
    found = {program.name: [program.port] for program in programs}
    found["nats"].append(home.monitor_port)
    found["gateway"].append(home.ping_port)
    if tls := gateway.embedded_tls(home):
        found["gateway"] += tls.ports
    return found


def _service(home: Home, name: str) -> Program:
    return Program(
        name,
        [
            # Whoever watches goes last, so that nobody who is watched waits for it.
            *(("nice", "-n", "10") if name == CONSOLE else ()),
            *(str(BIN / "python"), "-m", "uvicorn", f"{name}.app:create_app", "--factory"),
            *("--host", "127.0.0.1", "--port", str(home.service_port(name))),
            *("--loop", "uvloop", "--http", "linli.draining:DrainingProtocol", "--no-access-log", "--no-server-header"),
            # Longer than the gateway keeps an idle connection, so that it never sends on one that closes.
            *("--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "10"),
        ],
        order=30,
        port=home.service_port(name),
        group="services",
        environment=environment(home, name) | stamp(*code(name)),
        settled_seconds=SETTLED_SECONDS,
    )


def environment(home: Home, service: str) -> dict[str, str]:
    """Give a service what it must know, and nothing of the others."""
    wished = {
        name: value for name, value in os.environ.items() if name.startswith(("LINLI_", "OTEL_")) and name not in _OWN
    }
    told = {
        **wished,
        "LINLI_DATABASE_URL": database.url(home, f"{service}_app", service),
        "LINLI_RELAY_DATABASE_URL": database.url(home, f"{service}_relay", service),
        "LINLI_JWKS_URL": f"http://127.0.0.1:{home.service_port('directory')}/directory/.well-known/jwks.json",
    }
    if service == CONSOLE:
        return told
    if service == "tickets":
        kept = {"LINLI_FILES": str(home.files), "LINLI_PUBLIC_URL": f"http://localhost:{home.port}"}
        told = {**kept, **told}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{home.service_port(CONSOLE)}/otlp",
        **told,
        "LINLI_NATS_URL": streams.url(home, service),
        "LINLI_MASTER_KEY": home.master_key(),
    }
