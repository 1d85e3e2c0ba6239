"""Does with one version's code what starting it does: run with that version's packages on the path.

`configure` writes its configuration and prints its programs; `prepare` brings databases, rights and streams up to date.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

import linli
from linli_cli.home import Home
from linli_cli.stack import database, up
from linli_cli.stack.programs import configure


def main(task: str, project: str) -> None:
    """Do a task."""
    assert Path(linli.__file__).is_relative_to(project), f"{linli.__file__} is not of {project}"
    home = Home.find()
    if task == "configure":
        home.create()
        programs = configure(home)
        home.remember()
        print(json.dumps([asdict(program) for program in programs], default=dict))  # noqa: T201 read by the test
    else:
        asyncio.run(up._provision(home))
        database.migrate_all(home)
        up._bootstrap_directory(home)


main(*sys.argv[1:])
