"""The laws of a merge, on functions of Python: which break, and by what example a person sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq

import pytest

from replicator.mapping.laws import Answer, Breach, Failure, Law, Pair, Value, broken, shown

NUMBERS = ("1", "2", "0", "-1", "5", None)
TEXTS = ("a", "b", "", "A", None)
Function = Callable[[Value, Value], Value]


def check(
    values: Sequence[Value], function: Function, equal: Callable[[Value, Value], bool] = eq
) -> tuple[Breach | None, Failure | None]:
    def evaluate(pairs: Sequence[Pair]) -> list[Answer]:
        answers = []
        for a, b in pairs:
            try:
                answers.append(Answer(function(a, b)))
            except ArithmeticError:
                answers.append(Answer(None, "division by zero", "22012"))
        return answers

    return broken(values, evaluate, lambda pairs: [equal(a, b) for a, b in pairs])


def strict(function: Callable[[int, int], int]) -> Function:
    """NULL if either is NULL, as SQL's operators do."""
    return lambda a, b: None if a is None or b is None else str(function(int(a), int(b)))


def lenient(function: Callable[[int, int], int]) -> Function:
    """The other if either is NULL, as greatest() does."""
    return lambda a, b: strict(function)(a if a is not None else b, b if b is not None else a)


@pytest.mark.parametrize("function", [lenient(max), lenient(min), strict(max), strict(lambda a, b: a | b)])
def test_good_merges_of_numbers(function: Function) -> None:
    assert check(NUMBERS, function) == (None, None)


def test_a_merge_may_tidy_up() -> None:
    assert check(NUMBERS, lenient(lambda a, b: min(max(a, b), 2))) == (None, None)
    assert check(TEXTS, lambda a, b: max((a or "").lower(), (b or "").lower())) == (None, None)


@pytest.mark.parametrize(
    ("function", "law", "example"),
    [
        (strict(lambda a, b: a - b), "sides", "of '1' and '2' it makes '-1', of '2' and '1' '1'"),
        (lambda a, b: a, "sides", "of '1' and '2' it makes '1', of '2' and '1' '2'"),
        (lambda a, b: a or b, "sides", "of '1' and '2' it makes '1', of '2' and '1' '2'"),
        (lambda a, b: None if a is None else b, "sides", "of '1' and '2' it makes '2', of '2' and '1' '1'"),
        (strict(lambda a, b: a + b), "again", "of '1' and '1' it makes '2', and of '2' and '2' '4'"),
        (strict(lambda a, b: a * b), "again", "of '2' and '2' it makes '4', and of '4' and '4' '16'"),
    ],
)
def test_laws_that_break(function: Function, law: Law, example: str) -> None:
    breach, failure = check(NUMBERS, function)
    assert (breach, failure) == (Breach(law, example), None)


def test_an_average_depends_on_who_meets_first() -> None:
    breach, _ = check(("0", "8", "4"), strict(lambda a, b: (a + b) // 2))
    assert breach == Breach("order", "of '0', '0' and '8' it makes '4' if the first two meet first, '2' if the last two do")


def test_null_on_either_side_is_tried() -> None:
    breach, _ = check(("1", None), lambda a, b: a)
    assert breach == Breach("sides", "of '1' and NULL it makes '1', of NULL and '1' NULL")


def test_two_writings_of_one_value_are_no_breach() -> None:
    assert check(("a", "A"), lambda a, b: a, lambda a, b: (a or "").lower() == (b or "").lower()) == (None, None)


def test_values_that_cannot_be_merged_are_named_and_the_others_judged() -> None:
    breach, failure = check(NUMBERS, strict(lambda a, b: a // b))
    assert failure == Failure(("1", "0"), Answer(None, "division by zero", "22012"))
    assert breach is not None
    assert breach.law == "sides"


def test_values_are_shown_in_one_short_line() -> None:
    assert shown(None) == "NULL"
    assert shown("a\nb") == "'a b'"
    assert len(shown("x" * 99)) == 42
