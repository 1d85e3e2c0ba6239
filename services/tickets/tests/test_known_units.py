from linli.testing import Running


async def test_a_service_tells_which_units_have_reached_it(tickets: Running) -> None:
    await tickets.know_units("320211003001", "320211004")
    street = tickets.client("app", "320211003")
    listed = (await street.get("/tickets/v1/known-units")).json()
    assert [one["code"] for one in listed["items"]] == ["320211003", "320211003001"]
    community = {"code": "320211003001", "kind": "community", "name": "unit", "active": True, "sequence": 1}
    assert listed["items"][1] == community
    platform = tickets.client("operator", "0")
    within = (await platform.get("/tickets/v1/known-units", params={"within": "320211"})).json()
    assert [one["code"] for one in within["items"]] == ["320211", "320211003", "320211003001", "320211004"]
    assert (await street.get("/tickets/v1/known-units", params={"within": "320211004"})).status_code == 403
