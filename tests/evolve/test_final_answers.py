"""What a worked solution ends with, and which solutions end alike."""

from __future__ import annotations

import pytest

from evolve.final_answers import agreement, final_answer


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("She pays 3 and gets 7 back. \n#### 1,450", "1450"),
        (r"So \boxed{7} or rather $\boxed{\frac{1}{2}}$, not 9.", "1/2"),
        (r"\boxed{0.50}", "1/2"),
        (r"\boxed{1/2}", "1/2"),
        (r"\boxed{x = -3}", "-3"),
        ("#### \N{MINUS SIGN}3.0", "-3"),
        (r"\boxed{12\,000 \text{ dollars}}", "12000"),
        (r"#### $18.00.", "18"),
        (r"\boxed{\{1, 2\}}", r"\{1,2\}"),
        (r"\boxed{3} \boxed{2 \{", "3"),
        ("#### Blue", "blue"),
        ("In 1999 there were 12 of them, which is 1,234.50 in all.", "2469/2"),
        ("The chance is 3/4.", "3/4"),
        ("It is 5/0, they say.", "5"),
        ("Version v2 has none", None),
        ("She has 12.", "12"),
        ("", None),
        (r"\boxed{9^{9^{9^{9}}}}", "9^{9^{9^{9}}}"),
        ("9" * 4000, None),
    ],
)
def test_the_final_answer_in_one_form(text: str, final: str | None) -> None:
    assert final_answer(text) == final


def test_the_share_of_all_answers_that_say_the_same() -> None:
    finals = ["7", "8", None, "7"]
    assert agreement(finals) == [0.5, 0.25, None, 0.5]
    assert agreement([None]) == [None]
