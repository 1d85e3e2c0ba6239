"""`linli upgrade`: bring a deployment to another version while it runs, old and new side by side."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linli_cli.console import Trouble, err, step
from linli_cli.deploy import files, https, keys
from linli_cli.home import APPS, PROJECT, Home

_JOBS = ("configure", "provision", "migrate", "streams", "bootstrap")
_SECONDS = 900
"""Until all is healthy; a migration may take long, though it holds no lock for long."""


def upgrade(
    tag: Annotated[str, typer.Argument(help="The version to run 目标版本")],
    folder: Annotated[Path, typer.Option(help="Where the deployment is 部署目录", file_okay=False)] = PROJECT
    / "deploy",
) -> None:
    """Upgrade a deployment without a break; settings are kept, with a copy of the old 滚动升级."""
    home = Home(folder.absolute(), 0)
    if not home.in_containers:
        raise Trouble(f"There is no deployment in {home.root}.", f"{home.root} 中没有部署。", hint="linli init")
    kept = _keep(home.root)
    old = _running(home.root)
    before = {one for ids in old.values() for one in ids}
    try:
        _write_settings(home.root, tag)
        keys.make(home)
        https.renew(home)
        with step(f"{tag} runs beside what ran before", "新版本已与旧版本并行运行"):
            _begin(home.root, old)
    except Trouble as trouble:
        _remove([one for ids in _running(home.root).values() for one in ids if one not in before])
        files.restore(home.root, kept)
        trouble.hint = f"What ran before runs on, with its settings.  旧版本继续运行，配置已恢复。\n{trouble.hint}"
        raise
    with step("What ran before has ended", "旧版本已停止"):
        for ids in old.values():
            _stop(ids)
    with step("Gateway, NATS and PostgreSQL are what this version wants", "网关、消息服务与数据库已就绪"):
        _up(home.root, {service: len(ids) for service, ids in old.items()})
    _renew_watching(home.root)
    err.print(f"[green]✓[/] {tag}; the old settings 旧配置: {kept}", soft_wrap=True)


def _keep(folder: Path) -> Path:
    kept = folder / "backups" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    kept.mkdir(mode=0o700, parents=True)
    shutil.copy2(folder / ".env", kept / ".env")
    files.keep(folder, kept)
    return kept


def _write_settings(folder: Path, tag: str) -> None:
    settings = folder / ".env"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(re.sub(r"(?m)^LINLI_TAG=.*$", f"LINLI_TAG={tag}", text), encoding="utf-8")
    files.replace(folder)


def _running(folder: Path) -> dict[str, list[str]]:
    return {service: _compose(folder, "ps", "--quiet", service).split() for service in APPS}


def _begin(folder: Path, old: dict[str, list[str]]) -> None:
    """Run the new version's jobs, and put as many new containers beside the old.

    The old services go on with the new schema and the new rights. Jobs that ended are removed first: `--no-recreate`,
    which leaves the old services alone, would run the old version of them.
    """
    _compose(folder, "rm", "--force", *_JOBS)
    _up(folder, {service: 2 * len(ids) or 1 for service, ids in old.items()}, "--no-recreate")
    _compose(folder, "kill", "--signal", "HUP", "nats")  # it reads its users again, and drops nobody


def _up(folder: Path, scale: dict[str, int], *options: str) -> None:
    scales = [part for service, number in scale.items() for part in ("--scale", f"{service}={max(number, 1)}")]
    _compose(folder, "up", "--detach", "--wait", "--wait-timeout", str(_SECONDS), *options, *scales)


def _renew_watching(folder: Path) -> None:
    """Give what watches the platform, if it runs, its new files and images; a failure there is no failure here."""
    try:
        if running := _compose(folder, "ps", "--services", *files.WATCHING).split():
            _compose(folder, "up", "--detach", "--no-deps", "--force-recreate", *running)
    except (Trouble, subprocess.TimeoutExpired) as trouble:
        err.print(f"What watches the platform was not renewed 监控未更新: {trouble}", soft_wrap=True)


def _stop(containers: list[str]) -> None:
    """End containers as their service wants it: requests that were begun are answered."""
    for container in containers:
        _run(None, "docker", "stop", container)
    _remove(containers)


def _remove(containers: list[str]) -> None:
    if containers:
        _run(None, "docker", "rm", "--force", *containers)


def _compose(folder: Path, *arguments: str) -> str:
    return _run(folder, "docker", "compose", *arguments)


def _run(folder: Path | None, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2 * _SECONDS, check=False)
    if done.returncode:
        words = done.stderr.strip() or done.stdout.strip()
        raise Trouble(f"`{' '.join(command)}` failed.", "升级步骤失败。", hint=words)
    return done.stdout
