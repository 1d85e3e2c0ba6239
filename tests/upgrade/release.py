"""The released version that this code must run beside, and its sources out of the history.

While an upgrade runs, both versions serve the same clients on the same databases and streams. This is the one place
that says which version that is; whoever releases the next one writes its commit here.
"""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

RELEASED: Final = "d12b15fd016e0f244c8d4f579e205f31b680e28c"
"""0.1.0, before any table was changed."""
PROJECT: Final = Path(__file__).resolve().parents[2]
_CODE: Final = ("libs", "services", "tools", "requirements.lock")


class NoHistory(Exception):  # noqa: N818 it says what is missing
    """The released commit can't be read."""


def git(*arguments: str) -> bytes:
    """Ask git about this project.

    Raises:
        NoHistory: when there is no git, no repository, or no such commit in it.
    """
    try:
        done = subprocess.run(
            [shutil.which("git") or "git", *arguments], cwd=PROJECT, capture_output=True, check=True, timeout=60
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode().strip() or str(error)
        raise NoHistory(
            f"The released version {RELEASED[:7]} is compared with, and git does not give it: {said}\n"
            "In a shallow clone `git fetch --unshallow` (or `git fetch origin " + RELEASED + "`) brings it; an unpacked"
            " archive has no history, take a clone.\n"
            "需要发布版本的源码：浅克隆请执行 git fetch --unshallow；解压的源码包没有历史，请使用 git clone。"
        ) from error
    return done.stdout


def unpack(to: Path) -> Path:
    """Put the released code into a folder; gives the folder."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", RELEASED, *_CODE))) as archive:
        archive.extractall(to, filter="data")
    return to


def sources(project: Path) -> list[Path]:
    """List where a version's packages lie."""
    return [project / "libs/common/src", project / "tools/src", *sorted(project.glob("services/*/src"))]
