from tests.console.describe import DOCUMENT, WEB, described


def test_the_page_is_built_against_the_api_as_it_is() -> None:
    assert described() == DOCUMENT.read_text("utf-8"), "the API has changed: make page-api"


def test_the_locked_packages_come_from_any_registry() -> None:
    assert "resolved" not in (WEB / "package-lock.json").read_text("utf-8")
