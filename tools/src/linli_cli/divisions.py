"""`linli import divisions`: take in official division codes (统计用区划代码), each district whole or not at all."""

import asyncio
import csv
import io
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble, err, out
from linli_cli.home import PROJECT, Home
from linli_cli.identity import Identities

app = typer.Typer(help="Take in data from files 导入数据.", no_args_is_help=True)

COLUMNS = ("code", "name", "level", "parent_code")
_LEVELS = {6: "district", 9: "street", 12: "community"}
_LONGEST_NAME = 100
_SHOWN = 50


@dataclass(frozen=True)
class Row:
    """One line of the file."""

    line: int
    code: str
    name: str
    level: str
    parent: str


@dataclass(frozen=True)
class Wrong:
    """Why a line can't be taken."""

    line: int
    code: str
    english: str
    chinese: str


@app.callback()
def _group() -> None:
    """Take in data from files 导入数据."""


@app.command()
def divisions(
    file: Annotated[
        Path, typer.Argument(help="CSV with code,name,level,parent_code; UTF-8 or GB18030.", dir_okay=False)
    ] = PROJECT / "data" / "divisions.csv",
) -> None:
    """Take in districts, streets and communities; safe to run twice 导入行政区划."""
    home = Home.find()
    home.require()
    rows = read(file)
    wrong = check(rows)
    spoiled = {one.code[:6] for one in wrong}
    districts: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.code[:6] not in spoiled:
            districts[row.code[:6]].append(row)
    wrong += asyncio.run(_apply(home, districts))
    if wrong:
        report(wrong)
        raise typer.Exit(1)


def read(file: Path) -> list[Row]:
    """Read a file as Chinese offices write them: UTF-8 with or without BOM, or GB18030.

    Raises:
        Trouble: when it is no such table.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Trouble(f"{file} can't be read: {error.strerror}.", f"无法读取 {file}。") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError:
            raise Trouble(
                f"{file} is neither UTF-8 nor GB18030 text.",
                f"{file} 既不是 UTF-8 也不是 GB18030 文本。",
                hint="Save it as CSV (UTF-8).  请另存为 CSV（UTF-8）。",
            ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise Trouble(
            f"{file} has no column {', '.join(missing)}; its first line must be {','.join(COLUMNS)}.",
            f"{file} 缺少列 {'、'.join(missing)}，首行应为 {','.join(COLUMNS)}。",
        )
    try:
        return [Row(reader.line_num, *((one[name] or "").strip() for name in COLUMNS)) for one in reader]
    except csv.Error as error:
        raise Trouble(
            f"{file}, line {reader.line_num}: {error}.", f"{file} 第 {reader.line_num} 行无法解析。"
        ) from error


def check(rows: list[Row]) -> list[Wrong]:
    """Find what is wrong with each line by itself and among the others; all of it, not the first only."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(row.code, row.line)
    found = []
    for row in rows:
        reason = _fault(row, first)
        if reason:
            found.append(Wrong(row.line, row.code, *reason))
    return found


def _fault(row: Row, first: dict[str, int]) -> tuple[str, str] | None:  # noqa: PLR0911 one line a rule
    level = _LEVELS.get(len(row.code))
    if not (row.code.isascii() and row.code.isdigit()) or level is None or row.code[0] == "0":
        return "code must have 6, 9 or 12 digits", "代码应为 6、9 或 12 位数字"
    if "000" in (row.code[6:9], row.code[9:12]):
        return "code leaves a level out: 000", "代码中有层级为 000"
    if row.level != level:
        return (
            f"level must be {level} for {len(row.code)} digits, not {row.level!r}",
            f"{len(row.code)} 位代码的级别应为 {level}",
        )
    if not row.name:
        return "name is empty", "名称为空"
    if len(row.name) > _LONGEST_NAME:
        return f"name is longer than {_LONGEST_NAME}", f"名称超过 {_LONGEST_NAME} 字"
    if first[row.code] != row.line:
        return f"code stands in line {first[row.code]} already", f"代码与第 {first[row.code]} 行重复"
    above = "" if level == "district" else row.code[:-3]
    if row.parent != above:
        return f"parent_code must be {above or 'empty'}, not {row.parent!r}", f"上级代码应为 {above or '空'}"
    return None


async def _apply(home: Home, districts: dict[str, list[Row]]) -> list[Wrong]:
    """Send each district as one request, which the directory takes whole or not at all; give the rows it refused."""
    total: Counter[str] = Counter()
    refused: list[Wrong] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with Api(home.url) as api:
        operator = api.by(Identities(home, api).login("operator", "0"))
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("units 单元", total=sum(map(len, districts.values())))
            for rows in districts.values():
                progress.update(task, description=rows[0].name)
                counts, wrong = await send(operator, rows)
                total.update(counts)
                refused += wrong
                progress.advance(task, len(rows))
            progress.update(task, description="units 单元")
    out.print(
        f"{total['created']} created 新增, {total['updated']} renamed 更名, {total['unchanged']} unchanged 未变"
        f" · {len(districts)} districts 个区"
    )
    return refused


async def send(operator: Api, rows: list[Row]) -> tuple[dict[str, int], list[Wrong]]:
    """Send one district's rows; give how many were created, renamed and left, and the rows that were refused."""
    body = {"units": [{"code": row.code, "name": row.name} for row in rows]}
    try:
        counts: dict[str, int] = (await operator.post("/directory/v1/units/import", body)).json()
    except ApiProblem as problem:
        return {}, _refusals(rows, problem)
    return counts, []


def _refusals(rows: list[Row], problem: ApiProblem) -> list[Wrong]:
    """Trace a refusal back to lines of the file: errors point at rows as `#/units/<index>/...`."""
    found = []
    for error in problem.body.get("errors", ()):
        pointed = re.match(r"#?/(?:body/)?units/(\d+)", error.get("pointer", ""))
        if pointed is None:
            raise problem
        row = rows[int(pointed[1])]
        found.append(Wrong(row.line, row.code, error.get("detail", ""), error.get("detail_zh", "")))
    if not found:
        raise problem
    return found


def report(wrong: list[Wrong]) -> None:
    """Show wrong rows, in the order of the file."""
    title = "Wrong rows; nothing of their districts was applied  有误的行，其所在区均未导入"
    table = Table("line 行", "code 代码", "reason 原因", title=title)
    for one in sorted(wrong, key=lambda one: one.line)[:_SHOWN]:
        table.add_row(str(one.line), one.code, f"{one.english}  {one.chinese}")
    if len(wrong) > _SHOWN:
        table.caption = f"and {len(wrong) - _SHOWN} more  另有 {len(wrong) - _SHOWN} 行"
    err.print(table)
