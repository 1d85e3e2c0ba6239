"""`linli init`: make a folder from which `docker compose up` runs the platform."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from linli_cli.console import Trouble, err
from linli_cli.deploy import checks, files, https, keys
from linli_cli.deploy.bundle import unpack
from linli_cli.home import PROJECT, Home

_ENVIRONMENT = """\
# Written once by `linli init`; yours to change. Then: docker compose up -d --wait
# 由 linli init 生成一次，可自行修改。

# Several deployments on one machine need names of their own.
COMPOSE_PROJECT_NAME={project}

# The version that runs.
LINLI_TAG={tag}
# Where Linli's image is, with a slash at the end, such as registry.example.gov.cn/linli/
LINLI_REGISTRY={registry}
# A mirror of Docker Hub's official images, with a slash at the end, such as mirror.example.gov.cn/library/
LINLI_MIRROR={mirror}
# The same mirror for all other images there, such as mirror.example.gov.cn/
LINLI_HUB={hub}

# Where the gateway takes requests. On another address than loopback let it speak HTTPS, or put TLS in front of it.
LINLI_ADDRESS={address}
LINLI_PORT={port}

# Where the console passes on what services tell it: traces, logs, metrics; nothing ever waits for it. 监控
{watched}LINLI_OTLP_FORWARD=http://otel-collector:4318
# Where Grafana is, on this machine's loopback.
{watched}LINLI_GRAFANA_PORT=3000
"""
_WATCH = f"docker compose up -d {' '.join(files.WATCHING)}"


def init(  # noqa: PLR0913, PLR0917 one option each
    folder: Annotated[Path, typer.Argument(help="Where the deployment is 部署目录", file_okay=False)] = PROJECT
    / "deploy",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The gateway's 网关端口")] = 8080,
    address: Annotated[str, typer.Option(help="IP address to publish it on 监听地址")] = "127.0.0.1",
    project: Annotated[str, typer.Option(help="Compose's name for it 项目名")] = "linli",
    registry: Annotated[str, typer.Option(help="Prefix of Linli's image 镜像仓库前缀")] = "",
    mirror: Annotated[str, typer.Option(help="Prefix of official images 官方镜像前缀")] = "",
    tag: Annotated[str, typer.Option(help="Version to run; else this one, or the bundle's 版本")] = "",
    from_bundle: Annotated[
        Path | None, typer.Option(help="Take images and files from what `linli bundle` wrote 离线包", exists=True)
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate with its chain, PEM 证书", dir_okay=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key 证书私钥", dir_okay=False)] = None,
    acme_email: Annotated[str, typer.Option(help="Get a certificate by ACME; who is written to ACME 邮箱")] = "",
    domain: Annotated[str, typer.Option(help="For which name ACME 域名")] = "",
    acme_server: Annotated[str, typer.Option(help="Its directory, if not the public one ACME 目录地址")] = "",
    acme_ca: Annotated[
        Path | None, typer.Option(help="Certificates that prove it, PEM CA 证书", dir_okay=False)
    ] = None,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="Sends to HTTPS 跳转端口")] = 80,
    *,
    observability: Annotated[bool, typer.Option("--observability", help="Pass traces and metrics on 启用监控")] = False,
    check: Annotated[bool, typer.Option(help="Look at memory, port and Compose first 检查环境")] = True,
) -> None:
    """Write settings and secrets of a deployment once; what is there is never changed 初始化部署."""
    home = Home(folder.absolute(), port)
    settings = home.root / ".env"
    known = settings.exists()
    secure = https.wished(tls_cert, tls_key, acme_email, domain, acme_server, acme_ca)
    if known and not (home.root / "secrets" / "master_key").exists():
        raise Trouble(
            f"{home.root} is set up, but its master key is gone: without it no personal data can be read.",
            "部署已初始化，但主密钥丢失：没有它无法读取个人数据。",
            hint=f"Bring back {home.root / 'secrets'} from your backup.  请从备份恢复 secrets 目录。",
        )
    if check:
        checks.compose()
        checks.memory()
        if not known:
            for number in (port, http_port) if secure else (port,):
                checks.port(address, number)
    home.run.mkdir(parents=True, exist_ok=True)
    if from_bundle:
        bundled = unpack(from_bundle, home.root)
        tag = tag or bundled
    (home.root / "secrets").mkdir(mode=0o700, exist_ok=True)
    keys.make(home)
    https.lay(home, secure)
    files.add(home.root)
    if known:
        https.require_known(settings, secure, http_port)
        err.print(f"{settings} is there and stays as it is.  已存在，保持不变。")
    else:
        values = {"port": port, "address": address, "project": project, "tag": tag or version("linli")}
        settings.touch(mode=0o600)
        values |= {"registry": registry, "mirror": mirror, "hub": mirror.removesuffix("library/")}
        values["watched"] = "" if observability else "# "
        settings.write_text(
            _ENVIRONMENT.format(**values) + https.settings(secure, http_port) + _bundled_images(home.root),
            encoding="utf-8",
        )
    err.print(f"[green]✓[/] {home.root}", soft_wrap=True)
    err.print(f"  Back up 请备份: {home.root / 'secrets'}", soft_wrap=True)
    err.print(f"  Go on 下一步: cd {home.root} && docker compose up -d --wait", soft_wrap=True)
    if observability:
        err.print(f"  Then watch it 启动监控: {_WATCH}", soft_wrap=True)


def _bundled_images(folder: Path) -> str:
    """Give the names under which a bundle's official images were loaded."""
    names = folder / "images.env"
    return f"\n# From the bundle.\n{names.read_text(encoding='utf-8')}" if names.exists() else ""
