"""`linli bundle`: everything a machine without a network needs, in one file."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from linli_cli.console import Trouble, err, step
from linli_cli.deploy import files
from linli_cli.home import PROJECT

_SECONDS = 1800
_OTHERS = {"postgres": "POSTGRES_IMAGE", "nats": "NATS_IMAGE", "gateway": "TRAEFIK_IMAGE"}
_FILES = (*files.NAMES, "images.env")
_INSTALL = """\
#!/bin/sh
# Installs Linli {tag} from this folder; needs Docker with Compose, and neither a network nor Python.
# 从本目录离线安装，只需要 Docker 与 Compose。   sh install.sh --port 9080
set -eu
cd "$(dirname "$0")"
docker load --input images.tar
docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$PWD:/deployment" {image} \\
  linli init /deployment --no-check --tag {tag} "$@"
docker compose up --detach --wait
"""


def bundle(
    file: Annotated[Path, typer.Argument(help="The tar to write 输出文件", dir_okay=False)],
    tag: Annotated[str, typer.Option(help="Version to take 版本", default_factory=lambda: version("linli"))],
    *,
    observability: Annotated[
        bool, typer.Option("--observability", help="Take along what it is watched with 包含监控镜像")
    ] = False,
) -> None:
    """Write one tar of all images and files, for a machine without network 打包离线安装文件."""
    with tempfile.TemporaryDirectory(dir=file.absolute().parent) as folder:
        own, others = _images(tag, _OTHERS | (files.WATCHING if observability else {}))
        images = [own, *others.values()]
        with step(f"Images: {', '.join(images)}", "正在打包镜像"):
            _run("docker", "save", "--output", f"{folder}/images.tar", *images)
        content = {
            "install.sh": _INSTALL.format(tag=tag, image=own),
            "images.env": "".join(f"{name}={image}\n" for name, image in others.items()),
        }
        for name, text in content.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        with tarfile.open(file, "w") as tar:
            for name in ("install.sh", "images.env", "images.tar"):
                tar.add(f"{folder}/{name}", f"linli-{tag}/{name}")
            for name, source in files.sources():
                tar.add(source, f"linli-{tag}/{name}")
    err.print(f"[green]✓[/] {file}  [cyan]{file.stat().st_size / 2**20:,.0f} MiB[/]", soft_wrap=True)
    err.print(f"  There 目标机器: tar xf {file.name} && sh linli-{tag}/install.sh", soft_wrap=True)


def unpack(file: Path, folder: Path) -> str:
    """Load a bundle's images, lay its files into a folder, and give its version.

    Raises:
        Trouble: when it is no bundle, or the engine does not take its images.
    """
    with step(f"Images of {file.name}", "正在导入镜像"), tempfile.TemporaryDirectory(dir=folder) as place:
        try:
            with tarfile.open(file) as tar:
                version = tar.getnames()[0].partition("/")[0]
                for name in (*_FILES, "images.tar"):
                    _extract(tar, f"{version}/{name}", Path(place) / name)
        except (tarfile.TarError, OSError, LookupError) as error:
            raise Trouble(f"{file} is no bundle: {error}", f"{file} 不是离线安装包。") from error
        _run("docker", "load", "--input", f"{place}/images.tar")
        for name in _FILES:
            if not (folder / name).exists():
                shutil.move(f"{place}/{name}", folder / name)
        return version.removeprefix("linli-")


def _extract(tar: tarfile.TarFile, name: str, target: Path) -> None:
    """Extract a file, or the files of a folder, and nothing else: what leads out of it gets nowhere."""
    inside = [member for member in tar.getmembers() if member.name.startswith(f"{name}/") and member.isfile()]
    for member in inside or [tar.getmember(name)]:
        path = target / Path(member.name).relative_to(name)
        if ".." in path.parts:
            raise tarfile.TarError(f"{member.name} leads elsewhere")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tar.extractfile(member) as source, path.open("wb") as written:  # type: ignore[union-attr]
            shutil.copyfileobj(source, written)


def _images(tag: str, others: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Name Linli's image, as it was built here, and others by variable, as the environment or the compose file says.

    Args:
        tag: the version.
        others: the variable that names each service's image.
    """
    file = str(PROJECT / "deploy" / "compose.yml")
    wanted = {"LINLI_TAG": tag, "LINLI_PORT": "8080", "LINLI_REGISTRY": ""}
    said = _run("docker", "compose", "--file", file, "--profile", "*", "config", "--format", "json", **wanted)
    services = json.loads(said)["services"]
    return services["directory"]["image"], {name: services[service]["image"] for service, name in others.items()}


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Trouble(f"`{' '.join(command)}` failed.", "执行失败。", hint=done.stderr.strip())
    return done.stdout
