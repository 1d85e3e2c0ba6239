"""Errors as classes with the facts in them, answered as RFC 9457 problem details.

    Problem
    ├── BadRequest 400          ├── Conflict 409            ├── TooManyRequests 429
    ├── Unauthorized 401        ├── PreconditionFailed 412  └── Unavailable 503
    ├── Forbidden 403           ├── Unprocessable 422
    └── NotFound 404            └── PreconditionRequired 428

A problem's docstring is its English detail, `title_zh` and `detail_zh` its Chinese words; the `type` is made
from the class name and never changes: `class TicketNotResolved` is `urn:linli:problem:ticket-not-resolved`.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from http import HTTPStatus
from typing import ClassVar, Final, Self

from sqlalchemy.ext.asyncio import AsyncSession

_JSON: Final = str | int | float | list | None


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", name)


class Problem(Exception):  # noqa: N818 the field's word for it (RFC 9457)
    """The request could not be carried out."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Problem"
    title_zh: ClassVar[str] = "出错了"
    detail_zh: ClassVar[str] = "请求未能完成。"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, *, errors: list[dict[str, str]] | None = None, **facts: object) -> None:
        self.facts = facts
        self.errors = errors
        self.note: Callable[[AsyncSession], Awaitable[None]] | None = None
        super().__init__(self.detail)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "title" not in cls.__dict__:
            cls.title = " ".join(_words(cls.__name__)).capitalize()

    def noting(self, note: Callable[[AsyncSession], Awaitable[None]]) -> Self:
        """Have something written down although nothing was done: before the answer, in a transaction of its own."""
        self.note = note
        return self

    @classmethod
    def type(cls) -> str:
        """Give the stable identifier of this kind of problem."""
        return "urn:linli:problem:" + "-".join(_words(cls.__name__)).lower()

    @classmethod
    @cache
    def template(cls) -> str:
        """Give the English detail with the facts' places open."""
        return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())

    @property
    def detail(self) -> str:
        """What happened and what to do, in English."""
        return self.template().format(**self.facts)

    def body(self, trace_id: str | None = None) -> dict[str, object]:
        """Give the problem details object: type, title, status, detail, Chinese words, facts, trace id."""
        body: dict[str, object] = {
            "type": self.type(),
            "title": self.title,
            "title_zh": self.title_zh,
            "status": self.status,
            "detail": self.detail,
            "detail_zh": self.detail_zh.format(**self.facts),
        }
        body |= {name: value if isinstance(value, _JSON) else str(value) for name, value in self.facts.items()}
        if self.errors is not None:
            body["errors"] = self.errors
        if trace_id:
            body["trace_id"] = trace_id
        return body


class BadRequest(Problem):
    """The request can't be read: {reason}."""

    status = 400
    title_zh = "请求有误"
    detail_zh = "无法读取请求：{reason}。"


class Unauthorized(Problem):
    """A valid Bearer token is needed: {reason}. Get one at /directory/oauth/token."""

    status = 401
    title_zh = "需要登录"
    detail_zh = "需要有效的访问令牌：{reason}。请在 /directory/oauth/token 获取。"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="linli", error="invalid_token"'}


class Forbidden(Problem):
    """Your role may not do this: {permission} is needed."""

    status = 403
    title_zh = "没有权限"
    detail_zh = "当前角色无权执行此操作，需要权限：{permission}。"


class OutsideScope(Forbidden):
    """The unit {unit} lies outside of what this token covers."""

    title_zh = "超出管辖范围"
    detail_zh = "单元 {unit} 不在当前令牌的管辖范围内。"


class BeyondReach(Forbidden):
    """What this would read or write lies outside of what your role covers."""

    title_zh = "超出权限"
    detail_zh = "此操作涉及的数据不在当前角色的权限范围内。"


class NotFound(Problem):
    """There is no {kind} {id}, or you may not see it."""

    status = 404
    title_zh = "未找到"
    detail_zh = "未找到 {kind} {id}，或您无权查看。"


class NoSuchRoute(Problem):
    """There is nothing at this address. The operations are listed at /docs."""

    status = 404
    title_zh = "地址不存在"
    detail_zh = "该地址不存在，可用接口见 /docs。"


class MethodNotAllowed(Problem):
    """This address does not take {method}; see the Allow header and /docs."""

    status = 405
    title_zh = "方法不允许"
    detail_zh = "该地址不支持 {method}，见 Allow 头和 /docs。"


class Conflict(Problem):
    """The request conflicts with how things stand."""

    status = 409
    title_zh = "状态冲突"
    detail_zh = "请求与当前状态冲突。"


class KeyInFlight(Conflict):
    """A request with this Idempotency-Key is still being worked on. Try again in a moment."""

    title_zh = "请求处理中"
    detail_zh = "同一 Idempotency-Key 的请求仍在处理，请稍后重试。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class PreconditionFailed(Problem):
    """It was changed by somebody else: its ETag is {etag} now. Read it again, then repeat the change."""

    status = 412
    title_zh = "内容已被他人修改"
    detail_zh = "内容已被修改，当前 ETag 为 {etag}。请重新读取后再修改。"


class BodyTooLarge(Problem):
    """A request body may have at most {limit} bytes. Send less, or split the import into parts."""

    status = 413
    title_zh = "请求体过大"
    detail_zh = "请求体最多 {limit} 字节，请减少内容或分批导入。"


class UnsupportedMediaType(Problem):
    """Send the body as {expected}."""

    status = 415
    title_zh = "不支持的媒体类型"
    detail_zh = "请以 {expected} 格式发送请求体。"


class Unprocessable(Problem):
    """Some fields are not right; each is listed under "errors" with a JSON pointer."""

    status = 422
    title_zh = "字段有误"
    detail_zh = "部分字段有误，详见 errors 中的 JSON 指针。"


class UnknownUnit(Unprocessable):
    """There is no active unit {unit} here. If it was created a moment ago, try again in a few seconds."""

    title_zh = "单元不存在"
    detail_zh = "此处没有启用的单元 {unit}；若刚刚创建，请稍后重试。"


class NotStorable(Unprocessable):
    """A number is too large, or a text has characters that are none, such as a zero byte."""

    title_zh = "无法保存"
    detail_zh = "数值超出范围，或文本含有无效字符（如零字节）。"


class KeyReused(Unprocessable):
    """This Idempotency-Key was used for another request. Take a new key for a new request."""

    title_zh = "幂等键被重复使用"
    detail_zh = "该 Idempotency-Key 已用于另一请求，新请求请使用新的键。"


class PreconditionRequired(Problem):
    """Send If-Match with the ETag you have read, so that nobody's change is lost."""

    status = 428
    title_zh = "缺少 If-Match"
    detail_zh = "请在 If-Match 中带上读取到的 ETag，以免覆盖他人的修改。"


class TooManyRequests(Problem):
    """Too many requests. Try again after as many seconds as the Retry-After header says."""

    status = 429
    title_zh = "请求过于频繁"
    detail_zh = "请求过于频繁，请在 Retry-After 所示的秒数后重试。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "60"}


class Unavailable(Problem):
    """A part the platform needs does not answer. Try again in a few seconds; a POST with its Idempotency-Key."""

    status = 503
    title_zh = "服务暂不可用"
    detail_zh = "平台所需的部分暂时没有响应，请稍后重试；POST 请沿用原 Idempotency-Key。"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class InternalError(Problem):
    """Something went wrong on our side; nothing was changed. Tell the operator the trace_id."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR.value
    title_zh = "内部错误"
    detail_zh = "平台内部出错，未做任何修改。请将 trace_id 告知运维人员。"


def catalogue(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """List every kind of problem that is loaded, for the documentation."""
    for found in root.__subclasses__():
        yield found
        yield from catalogue(found)
