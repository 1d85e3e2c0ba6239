"""What makes a phone number and an ID number (身份证号) plausible, by the standards that define them."""

import re
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from linli.crypto import id_number_form, phone_digits

_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_DIGITS: Final = "10X98765432"
_MOBILE: Final = re.compile(r"1[3-9][0-9]{9}")
_LANDLINE: Final = re.compile(r"0[1-9][0-9]{8,10}")
_EARLIEST: Final = date(1900, 1, 1)


def check_digit(first_17: str) -> str:
    """Compute the 18th character of an ID number (GB 11643-1999, ISO 7064 MOD 11-2)."""
    return _CHECK_DIGITS[sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True)) % 11]


def today() -> date:
    """Give today's date in China, where people are born and ages are counted."""
    return datetime.now(ZoneInfo("Asia/Shanghai")).date()


def day_of_birth(value: date) -> date:
    """Read a day of birth.

    Raises:
        ValueError: when it is yet to come.
    """
    if value > today():
        raise ValueError("a day of birth is not in the future (出生日期不能晚于今天)")
    return value


def phone_number(value: str) -> str:
    """Read a mobile number, or a landline number with its area code, as its digits.

    Raises:
        ValueError: when it is neither.
    """
    digits = phone_digits(value)
    if not (_MOBILE.fullmatch(digits) or _LANDLINE.fullmatch(digits)):
        raise ValueError(
            "a phone number is a mobile number of 11 digits, or a landline number with its area code"
            " (电话应为11位手机号，或带区号的固定电话)"
        )
    return digits


def id_number(value: str) -> str:
    """Read an ID number of 18 characters.

    Raises:
        ValueError: when its form, its date of birth or its check digit is wrong.
    """
    found = id_number_form(value)
    if not re.fullmatch(r"[0-9]{17}[0-9X]", found):
        raise ValueError("an ID number has 17 digits and a check digit, 0-9 or X (身份证号应为18位)")
    try:
        born = born_on(found)
    except ValueError:
        born = date.min
    if not _EARLIEST <= born <= today():
        raise ValueError("digits 7 to 14 of the ID number are no date of birth (身份证号中的出生日期无效)")
    if check_digit(found[:17]) != found[17]:
        raise ValueError("the ID number's check digit is wrong: look for a slip of the pen (身份证号校验位错误)")
    return found


def born_on(number: str) -> date:
    """Read the date of birth out of an ID number."""
    return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))


def gender(number: str) -> str:
    """Read the gender out of an ID number: its 17th digit is odd for men."""
    return "male" if int(number[16]) % 2 else "female"
