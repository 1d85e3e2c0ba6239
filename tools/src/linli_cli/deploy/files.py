"""The files that a version brings into a deployment's folder: compose file, observability, run-books."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from linli_cli.home import PROJECT

_HERE: Final = PROJECT / "deploy"
_SOURCES: Final = {
    "compose.yml": _HERE / "compose.yml",
    "tls.yml": _HERE / "tls.yml",
    "postgres": _HERE / "postgres",
    "observability": _HERE / "observability",
    "runbooks": PROJECT / "docs" / "runbooks",
}
NAMES: Final = tuple(_SOURCES)
"""Files and folders, as they are called in a deployment."""
WATCHING: Final = {
    "otel-collector": "OTEL_COLLECTOR_IMAGE",
    "jaeger": "JAEGER_IMAGE",
    "prometheus": "PROMETHEUS_IMAGE",
    "grafana": "GRAFANA_IMAGE",
}
"""What the platform is watched with, and the variables that name the images."""


def sources() -> Iterator[tuple[str, Path]]:
    """Give every file's path in a deployment and where it is here; an image, which has no project, has none."""
    for name, source in _SOURCES.items():
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file():
                yield str(Path(name) / path.relative_to(source)), path


def add(folder: Path) -> None:
    """Lay what is missing into a deployment; what is there stays as it is."""
    if folder == _HERE:
        return
    there = {name for name in NAMES if (folder / name).exists()}
    for name, source in sources():
        if Path(name).parts[0] not in there:
            _lay(source, folder / name)
    _show(folder)


def replace(folder: Path) -> None:
    """Lay this version's files into a deployment, and take away what it no longer has."""
    if folder == _HERE:
        return
    brought = dict(sources())
    for name, source in brought.items():
        _lay(source, folder / name)
    for path in list(_there(folder)) if brought else []:
        if str(path.relative_to(folder)) not in brought:
            path.unlink()
    _show(folder)


def _there(folder: Path) -> Iterator[Path]:
    for name in NAMES:
        yield from (path for path in (folder / name).rglob("*") if path.is_file())


def _lay(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _show(folder: Path) -> None:
    """Let containers read what they are given: as users who own nothing on the host, whatever the umask was here."""
    for name in NAMES:
        if (folder / name).is_dir():
            for path in (folder / name, *(folder / name).rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)


def keep(folder: Path, kept: Path) -> None:
    """Copy all of it to another folder."""
    for name in NAMES:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, kept / name)
        elif (folder / name).exists():
            shutil.copy2(folder / name, kept / name)


def restore(folder: Path, kept: Path) -> None:
    """Give a folder back what was copied from it."""
    for path in list(_there(folder)):
        if not (kept / path.relative_to(folder)).exists():
            path.unlink()
    shutil.copytree(kept, folder, dirs_exist_ok=True)
