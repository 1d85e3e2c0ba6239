"""`linli district add`: take a district on while the platform runs; run again, it makes only what is missing."""

import asyncio
import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from linli_cli import divisions
from linli_cli.api import Api, ApiProblem
from linli_cli.console import Trouble, err, out, step
from linli_cli.district.clients import Client, Done, Secrets, every, register
from linli_cli.home import PROJECT, Home
from linli_cli.identity import Identities

_PATIENCE = 120.0
"""Seconds the services may take to hear of a district."""
_PAUSE = 0.2


def add(  # noqa: PLR0913, PLR0917 one option each
    district: Annotated[
        int, typer.Argument(min=100_000, max=999_999, help="Six digits, e.g. 310104 区划代码", metavar="CODE")
    ],
    file: Annotated[
        Path, typer.Option("--divisions", help="CSV with code,name,level,parent_code 区划文件", dir_okay=False)
    ] = PROJECT / "data" / "divisions.csv",
    name: Annotated[str, typer.Option(help="The district's name, if not the file's 区名")] = "",
    issuer: Annotated[str, typer.Option(help="Its OIDC provider: https://... 统一身份认证")] = "",
    jwks: Annotated[str, typer.Option(help="The provider's keys: https://..., or a file 公钥集")] = "",
    audience: Annotated[str, typer.Option(help="For whom its ID tokens are; linli-CODE by default 受众")] = "",
    secrets: Annotated[
        Path | None, typer.Option(help="Where clients' secrets are kept; - prints them 密钥文件", dir_okay=False)
    ] = None,
    *,
    new_secrets: Annotated[
        bool, typer.Option("--new-secrets", help="For clients whose secret that file does not hold 重新生成密钥")
    ] = False,
) -> None:
    """Take a district on with all its streets, nothing is restarted; safe to run twice 接入一个区."""
    home = Home.find()
    home.require()
    if bool(issuer) != bool(jwks):
        raise Trouble("Give --issuer and --jwks together.", "--issuer 与 --jwks 须同时提供。")
    rows = _rows(str(district), file, name)
    provider = {"issuer": issuer, "audience": audience or f"linli-{district}", **_keys(jwks)} if issuer else None
    kept = Secrets(secrets or home.secrets / f"district-{district}.json", f"{home.url}/directory/oauth/token")
    asyncio.run(_add(home, rows, provider, kept, renew=new_secrets))
    kept.show()


def _rows(district: str, file: Path, name: str) -> list[divisions.Row]:
    """Read the district's rows of the file.

    Raises:
        Trouble: when there are none.
        Exit: when some are wrong, which are shown.
    """
    every_row = divisions.read(file)
    if wrong := [one for one in divisions.check(every_row) if one.code[:6] == district]:
        divisions.report(wrong)
        raise typer.Exit(1)
    rows = [row for row in every_row if row.code[:6] == district]
    below = [row for row in rows if row.code != district]
    if not below:
        raise Trouble(
            f"{file} has no street of {district}.",
            f"{file} 中没有 {district} 的街道。",
            hint="--divisions FILE names another file.  可用 --divisions 指定区划文件。",
        )
    name = name or next((row.name for row in rows if row.code == district), "")
    if not name:
        raise Trouble(
            f"{file} does not name {district}; give --name.", f"{file} 未给出 {district} 的名称，请用 --name。"
        )
    return [divisions.Row(0, district, name, "district", ""), *below]


def _keys(jwks: str) -> dict[str, Any]:
    if jwks.startswith(("https://", "http://")):
        return {"jwks_uri": jwks, "jwks": None}
    try:
        return {"jwks": json.loads(Path(jwks).read_text(encoding="utf-8")), "jwks_uri": None}
    except (OSError, ValueError) as error:
        raise Trouble(f"{jwks} is no address and no file with a JWK set.", f"{jwks} 不是地址或公钥集文件。") from error


async def _add(
    home: Home, rows: list[divisions.Row], provider: dict[str, Any] | None, secrets: Secrets, *, renew: bool
) -> None:
    began = time.perf_counter()
    district = rows[0].code
    async with Api(home.url) as api:
        identities = Identities(home, api)
        operator = api.by(identities.login("operator", "0"))
        with step("Units are there", "单元已导入"):
            counts, refused = await divisions.send(operator, rows)
        if refused:
            divisions.report(refused)
            raise typer.Exit(1)
        if provider:
            with step("The identity provider is known", "统一身份认证已登记"):
                await _provide(operator, district, provider)
        streets = [row for row in rows if row.level == "street"]
        wanted = [Client(district, f"{rows[0].name}管理", "district_admin")]
        wanted += [Client(row.code, f"{row.name}应用", "app") for row in streets]
        with step("Clients are there", "客户端已登记"):
            clients = await register(operator, district, wanted, secrets, renew=renew)
        await _heard(api.by(identities.login("app", district)), rows)
    table = Table()
    for title in ("unit 单元", "client 客户端", "client_id", ""):
        table.add_column(title, overflow="fold")
    for client, client_id, done in clients:
        table.add_row(client.unit, client.name, client_id, done.value)
    err.print(table)
    # Standard output is for the secrets alone when they were asked for.
    (err if secrets.printed else out).print(
        f"{district} {rows[0].name}: {len(streets)} streets 街道, {len(rows) - 1 - len(streets)} communities 社区"
        f" · {counts['created']} units made 新增单元, {counts['updated']} renamed 更名"
        f" · {sum(done is Done.MADE for *_, done in clients)} clients made 新增客户端"
        f" · {time.perf_counter() - began:.1f} s"
    )
    unknown = sum(done is Done.UNKNOWN for *_, done in clients)
    if unknown:
        err.print(
            f"[yellow]![/] The secrets of {unknown} clients are not in {secrets.place}; --new-secrets makes new"
            f" ones, the old end.  {unknown} 个客户端的密钥不在该文件中，可用 --new-secrets 重新生成。",
            soft_wrap=True,
        )
    elif not secrets.printed:
        err.print(f"Secrets 密钥: {secrets.place}", soft_wrap=True)
    _say_what_is_next(district, provider)


async def _provide(operator: Api, district: str, provider: dict[str, Any]) -> None:
    """Register the district's OIDC provider; one that is there is never exchanged for another.

    Raises:
        Trouble: when it has another one.
    """
    path = f"/directory/v1/providers/{district}"
    try:
        await operator.put(path, provider)
    except ApiProblem as problem:
        if problem.status != HTTPStatus.PRECONDITION_REQUIRED:
            raise
        known = (await operator.get(path)).json()
        if any(known[name] != value for name, value in provider.items()):
            raise Trouble(
                f"{district} has another provider: {known['issuer']} for {known['audience']}.",
                f"{district} 已登记其他统一身份认证：{known['issuer']}（{known['audience']}）。",
                hint=f"Change it with PUT {path} and If-Match: whoever signs in is then somebody else.",
            ) from problem


async def _heard(api: Api, rows: list[divisions.Row]) -> None:
    """Wait until every service that keeps units has heard of all of them.

    Raises:
        Trouble: when one does not.
    """
    from linli_cli.stack.streams import subscriptions  # noqa: PLC0415 loaded while the directory works

    wanted = {row.code: row.name for row in rows}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + _PATIENCE
    with Progress(*columns, console=err) as progress:
        waiting = {
            one.service: progress.add_task(one.service, total=len(wanted)) for one in subscriptions() if one.known_units
        }
        while waiting:
            for service in list(waiting):
                path = f"/{service}/v1/known-units"
                known = {one["code"]: one["name"] async for one in every(api, path, within=rows[0].code)}
                heard = sum(known.get(code) == name for code, name in wanted.items())
                progress.update(waiting[service], completed=heard)
                if heard == len(wanted):
                    del waiting[service]
            if waiting and time.monotonic() > deadline:
                raise Trouble(
                    f"{', '.join(waiting)} did not hear of all units within {_PATIENCE:.0f} s; they are made.",
                    f"{'、'.join(waiting)} 在 {_PATIENCE:.0f} 秒内未收到全部单元；单元已创建。",
                    hint="`linli doctor` tells what is late; then run it again.  请先运行 linli doctor，再重新执行。",
                )
            await asyncio.sleep(_PAUSE if waiting else 0)


def _say_what_is_next(district: str, provider: dict[str, Any] | None) -> None:
    steps = ["Hand each street its client_id and client_secret 将客户端密钥分发给各街道"]
    if provider is None:
        steps.append(
            f"linli district add {district} --issuer https://... --jwks https://...  so that people can sign in"
            " 登记统一身份认证"
        )
    steps.append("Grids, buildings, staff: with the administrators' client 用区管理客户端录入网格、楼栋和人员")
    for number, words in enumerate(steps, 1):
        err.print(f"  {number}. {words}", markup=False, soft_wrap=True)
