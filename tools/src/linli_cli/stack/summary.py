"""What `linli up` says at the end: where things are and what to try."""

import asyncio

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from linli_cli.console import out
from linli_cli.home import SERVICES, Home
from linli_cli.identity import token_of
from linli_cli.stack.gateway import embedded_tls
from linli_cli.trace import newest

_TICKET = "POST /tickets/v1/tickets"
_CHILDREN = "/directory/v1/units/310104003/children"


def show(home: Home, seconds: float) -> None:
    """Print addresses, tokens to try, a request to copy, and the trace of one ticket."""
    table = Table.grid(padding=(0, 3))
    table.add_column(style="bold")
    table.add_row("Address 地址", home.url)
    if tls := embedded_tls(home):
        table.add_row("HTTPS", f"https://127.0.0.1:{tls.port}")
    table.add_row("Docs 接口文档", f"{home.url}/docs")
    table.add_row("APIs 接口", f"{home.url}/<service>/v1/...  [dim]{' '.join(SERVICES)}[/]")
    table.add_row("Roles 角色", "resident volunteer grid_worker department_staff community_manager")
    table.add_row("", "street_admin district_admin operator app")
    table.add_row("Go on 下一步", "make doctor · make logs · .venv/bin/linli trace · make down")
    title = f"[bold green]Linli is up[/] 邻里平台已启动  [cyan]{seconds:.1f} s[/]"
    out.print(Panel.fit(table, title=title, border_style="green"))
    # Outside of the frame, where a narrow terminal leaves them whole to copy.
    out.print(Text("Try 试一试", style="bold"))
    out.print("TOKEN=$(.venv/bin/linli token --role street_admin --unit 310104003)", soft_wrap=True)
    out.print(f'curl -H "Authorization: Bearer $TOKEN" {home.url}{_CHILDREN}', soft_wrap=True)
    out.print(Text("Console, signed in for ten minutes  控制台（十分钟内免登录）", style="bold"))
    out.print(f"{home.url}/console/#token={asyncio.run(token_of(home, 'operator', '0'))}", soft_wrap=True)
    drawn = newest(home, _TICKET)
    if drawn:
        out.print(Text("One ticket's way through the services  一张工单的调用链", style="bold"))
        out.print(drawn)
