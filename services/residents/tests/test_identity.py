from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residents import identity

EXAMPLE = "11010519491231002X"
"""The standard's own example (GB 11643-1999, appendix)."""


def test_the_standards_own_example_is_valid() -> None:
    assert identity.id_number(EXAMPLE) == EXAMPLE
    assert identity.check_digit(EXAMPLE[:17]) == "X"
    assert identity.born_on(EXAMPLE).isoformat() == "1949-12-31"
    assert identity.gender(EXAMPLE) == "female"


def test_blanks_small_letters_and_wide_digits_are_put_right() -> None:
    assert identity.id_number(" 110105 19491231 002x ") == EXAMPLE
    assert identity.id_number("１１０１０５１９４９１２３１００２Ｘ") == EXAMPLE


@given(st.integers(0, 16), st.integers(1, 9))
def test_any_one_wrong_digit_is_noticed(at: int, shift: int) -> None:
    slip = str((int(EXAMPLE[at]) + shift) % 10)
    with pytest.raises(ValueError, match="身份证号"):
        identity.id_number(EXAMPLE[:at] + slip + EXAMPLE[at + 1 :])


@given(st.integers(0, 15))
def test_two_neighbours_changed_over_are_noticed(at: int) -> None:
    swapped = EXAMPLE[:at] + EXAMPLE[at + 1] + EXAMPLE[at] + EXAMPLE[at + 2 :]
    if swapped != EXAMPLE:
        with pytest.raises(ValueError, match="身份证号"):
            identity.id_number(swapped)


WRONG = [
    ("110105194912310", "17 digits and a check digit"),
    ("110105194913310023", "no date of birth"),
    ("110105209912310025", "no date of birth"),
    ("110105194912310021", "check digit is wrong"),
]


@pytest.mark.parametrize(("number", "reason"), WRONG)
def test_what_is_wrong_with_an_id_number_is_said(number: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        identity.id_number(number)


def refusal(read: Callable[[str], str], text: str) -> str | None:
    try:
        assert read(text).isascii()
    except ValueError as error:
        return str(error)
    return None


SAID = {None, refusal(identity.phone_number, ""), *(refusal(identity.id_number, number) for number, _ in WRONG)}
"""The sentences, which what is refused never becomes a part of; it may be a word that stands in one."""


@given(st.text(max_size=30))
def test_anything_else_is_refused_and_never_crashes(text: str) -> None:
    for read in (identity.id_number, identity.phone_number):
        assert refusal(read, text) in SAID


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("138 1234 1234", "13812341234"),
        ("+86-138-1234-1234", "13812341234"),
        ("021-64312345", "02164312345"),
        ("(0571) 8765 4321", "057187654321"),
    ],
)
def test_phone_numbers_are_read_as_people_write_them(written: str, digits: str) -> None:
    assert identity.phone_number(written) == digits


@pytest.mark.parametrize("written", ["12812341234", "1381234123", "64312345", "110", "", "138123412345"])
def test_what_is_no_phone_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="电话"):
        identity.phone_number(written)
