"""What schemathesis checks here besides."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, Response

_RULES = {"内容不符合要求", "不符合表单要求"}
"""How a rule of the domain, and a category's own form, refuse; other refusals say what is wrong with the form."""


@schemathesis.check
def what_is_documented_is_not_refused_for_its_form(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Fail when a request that is as the document says is told that a field is missing, unknown, or of a wrong kind."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code != 422:
        return
    body = response.json()
    if body["type"] == "urn:linli:problem:unprocessable":
        wrong = [error for error in body["errors"] if error["detail_zh"] not in _RULES]
        if wrong:
            raise AssertionError(f"The document allows what is refused: {wrong}")
