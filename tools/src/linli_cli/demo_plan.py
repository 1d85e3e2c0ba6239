"""What happens on the demo's day: who reports what, where, and how it is rated; all of it follows from a number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

STREET: Final = "310104003"
"""天平路街道."""


class Matter(NamedTuple):
    """What a resident may report."""

    title: str
    description: str
    category: str


MATTERS: Final = (
    Matter("楼道堆物", "二楼转角堆放纸箱和旧家具，影响通行和消防。", "environment"),
    Matter("路灯不亮", "弄堂口的路灯已有三晚不亮，老人进出看不清路。", "facilities"),
    Matter("独居老人探访", "隔壁独居老人两天没有出门，请上门看望。", "care"),
    Matter("电动车飞线充电", "有人从窗口拉线给电动车充电，存在火灾隐患。", "safety"),
    Matter("垃圾未及时清运", "投放点垃圾满溢，有异味。", "environment"),
    Matter("下水道堵塞", "底楼厨房下水返水，请联系疏通。", "facilities"),
    Matter("电梯故障", "电梯运行有异响，昨天停在四楼一刻钟。", "facilities"),
    Matter("夜间施工噪声", "沿街商铺装修到晚上十一点。", "noise"),
    Matter("宠物不牵绳", "早晨有大型犬不牵绳，孩子上学害怕。", "order"),
    Matter("屋顶渗水", "雨后顶楼天花板渗水，墙面起泡。", "facilities"),
    Matter("共享单车乱停", "单车占满人行道，轮椅无法通过。", "order"),
    Matter("高空抛物", "楼上有人往下扔烟头和杂物。", "safety"),
    Matter("小区停车纠纷", "固定车位被占，双方争执，请帮助调解。", "mediation"),
    Matter("为老助餐咨询", "想了解社区食堂的送餐服务怎么申请。", "care"),
)
_RATINGS: Final = {5: 10, 4: 5, 3: 3, 2: 1, 1: 1}
"""How often each rating is given."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One ticket's part in the day; numbers say which reporter and which beat."""

    number: int
    matter: Matter
    reporter: int
    beat: int
    place: str
    rating: int


def errands(seed: int, count: int, residents: int, places: Sequence[Sequence[str]]) -> list[Errand]:
    """Write the day.

    Args:
        seed: the same one gives the same day.
        count: how many tickets.
        residents: how many people report.
        places: the units of each beat.
    """
    found: list[Errand] = []
    for number in range(count):
        dice = random.Random(f"{seed}/{number}")  # noqa: S311 guards no secret
        beat = dice.randrange(len(places))
        rating = dice.choices(list(_RATINGS), list(_RATINGS.values()))[0]
        reporter, place = dice.randrange(residents), dice.choice(places[beat])
        found.append(Errand(number, dice.choice(MATTERS), reporter, beat, place, rating))
    return found
