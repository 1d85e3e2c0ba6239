"""Made-up people: plausible in age, family and name, and nobody's.

Nothing here can be a real person's number. Phones begin with 169, which is in the range of mobile numbers and assigned
to no operator. ID numbers begin with 0, where GB/T 2260 has no division; the five digits after it are made from the
community's code, so that communities seeded one after the other never give two people the same number.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

DAY: Final = date(2026, 1, 1)
"""The day on which the made-up people have their ages; a fixed one, so that every run makes the same people."""
_SURNAMES: Final = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈"
    "钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹"
)
_MALE: Final = "伟强磊军勇杰涛明超刚平辉鹏华飞波斌宇浩凯健俊帆帅旭宁龙林峰建国志文海永德福根祥"
_FEMALE: Final = "芳娜敏静丽艳娟霞秀燕玲桂英华红梅琴素云莲珍雪荣爱妹香月莺媛倩婷洁琳怡佳慧淑凤兰"
_SIZES: Final = ((0, 9), (1, 29), (2, 31), (3, 20), (4, 8), (5, 3))
_LARGEST: Final = 8
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of a made-up household."""

    name: str
    male: bool
    born_on: date
    lives_here: bool
    phone: str | None
    id_number: str | None


def sizes(dice: random.Random, households: int, people: int) -> list[int]:
    """Share people among households, exactly; some doors have nobody behind them."""
    found = dice.choices([size for size, _ in _SIZES], [weight for _, weight in _SIZES], k=households)
    missing = people - sum(found)
    step = 1 if missing > 0 else -1
    while missing:
        at = dice.randrange(households)
        if 0 <= found[at] + step <= _LARGEST:
            found[at] += step
            missing -= step
    return found


class Population:
    """Makes the people of one community, household by household.

    Args:
        dice: where the luck comes from.
        community: 12 digits.
    """

    def __init__(self, dice: random.Random, community: str) -> None:
        self._dice = dice
        self._area = f"0{(int(community[6:9]) * 331 + int(community[9:12])) % 100_000:05}"
        self._taken: set[str] = set()

    def household(self, size: int) -> list[Person]:
        """Make people who could live together."""
        surname = self._dice.choice(_SURNAMES)
        return [self._person(surname, age, male) for age, male in self._ages(size)]

    def _ages(self, size: int) -> Iterator[tuple[int, bool]]:
        dice = self._dice
        if size == 0:
            return
        if size == 1:
            yield (dice.randint(60, 94) if dice.random() < 0.45 else dice.randint(22, 59)), dice.random() < 0.5  # noqa: PLR2004 odds
            return
        # A couple: old, or of an age to have children; who is beyond two are their children, then their parents.
        old = size == 2 and dice.random() < 0.45  # noqa: PLR2004 odds
        husband = dice.randint(60, 92) if old else dice.randint(26, 58)
        wife = max(husband - dice.randint(-2, 5), 60 if old else 22)
        couple = [(husband, True), (wife, False)]
        children = min(size - 2, 1 if dice.random() < 0.7 else 2)  # noqa: PLR2004 odds
        yield from couple
        for _ in range(children):
            yield max(wife - dice.randint(22, 34), 0), dice.random() < 0.52  # noqa: PLR2004 odds
        for place in range(size - 2 - children):
            yield min(husband + dice.randint(22, 34), 99), place % 2 == 0

    def _person(self, surname: str, age: int, male: bool) -> Person:  # noqa: FBT001 one of two
        dice = self._dice
        born = DAY - timedelta(days=round((age + dice.random()) * 365.2425))
        # A wife keeps her own name.
        family = surname if male or age < 22 else dice.choice(_SURNAMES)  # noqa: PLR2004 an age
        letters = _MALE if male else _FEMALE
        name = family + "".join(dice.choices(letters, k=2 if dice.random() < 0.85 else 1))  # noqa: PLR2004 odds
        return Person(
            name,
            male,
            born,
            lives_here=dice.random() < 0.96,  # noqa: PLR2004 odds
            phone=f"169{dice.randrange(10**8):08}" if age >= 10 and dice.random() < 0.9 else None,  # noqa: PLR2004 odds
            id_number=self._id_number(born, male) if dice.random() < 0.95 else None,  # noqa: PLR2004 odds
        )

    def _id_number(self, born: date, male: bool) -> str:  # noqa: FBT001 one of two
        while True:
            sequence = self._dice.randrange(500) * 2 + male
            first = f"{self._area}{born:%Y%m%d}{sequence:03}"
            if first not in self._taken:
                self._taken.add(first)
                return first + check_digit(first)


def check_digit(first_17: str) -> str:
    """Compute the last character of an ID number (GB 11643-1999)."""
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True)) % 11]
