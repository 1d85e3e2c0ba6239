"""What `linli up` says at the end: where things are and what to try."""

from rich.panel import Panel
from rich.text import Text

from linli_cli.console import out
from linli_cli.home import SERVICES, Home
from linli_cli.trace import latest, tree

_TICKET = "tickets/v1/tickets"


def show(home: Home, seconds: float) -> None:
    """Print addresses, tokens to try, a request to copy, and the trace of one ticket."""
    lines = [
        f"[bold green]Linli is up[/] [dim]邻里平台已启动[/]  [cyan]{seconds:.1f} s[/]",
        "",
        f"[bold]Address[/] 地址        {home.url}",
        f"[bold]APIs[/] 接口文档       {home.url}/docs",
        *(f"[dim]               {home.url}/{name}/v1/openapi.json[/]" for name in SERVICES),
        "",
        "[bold]Tokens to try[/] 试用令牌   roles 角色: resident volunteer grid_worker department_staff",
        "                          community_manager street_admin district_admin operator app",
        "  TOKEN=$(.venv/bin/linli token --role street_admin --unit 310104003)",
        f'  curl -H "Authorization: Bearer $TOKEN" {home.url}/directory/v1/units/310104003/children',
        "",
        "[bold]Go on[/] 下一步       make doctor · make logs · .venv/bin/linli trace · make down",
    ]
    out.print(Panel.fit("\n".join(lines), border_style="green"))
    trace_id = latest(home, _TICKET)
    drawn = tree(home, trace_id)
    if drawn:
        out.print(Text("One ticket's way through the services  一张工单的调用链", style="bold"))
        out.print(drawn, soft_wrap=True)
