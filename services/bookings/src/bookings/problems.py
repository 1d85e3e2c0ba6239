"""What can stand in the way of a booking."""

from linli.problems import Conflict, Unprocessable


class CentreClosed(Conflict):
    """The centre {centre} is not active; it offers no sessions and takes no bookings."""

    title_zh = "中心未开放"
    detail_zh = "邻里中心 {centre} 未启用，暂不安排场次、不接受预约。"


class SessionStarted(Conflict):
    """The session started at {starts_at}; it can't be booked, cancelled or changed any more."""

    title_zh = "场次已开始"
    detail_zh = "场次已于 {starts_at} 开始，不能再预约、取消或修改。"


class SessionFull(Conflict):
    """All {seats} seats of the session are taken."""

    title_zh = "名额已满"
    detail_zh = "该场次的 {seats} 个名额已约满。"


class AlreadyBooked(Conflict):
    """You have a seat in this session; one person books one seat."""

    title_zh = "已预约"
    detail_zh = "您已预约该场次，每人限一个名额。"


class AlreadyCancelled(Conflict):
    """The booking {booking} was cancelled before. Book the session again for a new seat."""

    title_zh = "已取消"
    detail_zh = "预约 {booking} 已取消；如需参加请重新预约。"


class FewerSeatsThanBooked(Conflict):
    """{booked} seats are booked, so there can't be {seats} only."""

    title_zh = "名额少于已预约人数"
    detail_zh = "已有 {booked} 人预约，名额不能减少到 {seats}。"


class TimesWrong(Unprocessable):
    """The times of the session are not possible; see "errors"."""

    title_zh = "时间有误"
    detail_zh = "场次时间有误，详见 errors。"

    def __init__(self, field: str, detail: str, detail_zh: str) -> None:
        super().__init__(errors=[{"pointer": f"#/{field}", "detail": detail, "detail_zh": detail_zh}])
