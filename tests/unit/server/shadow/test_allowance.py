"""Judging takes its share of the tokens in the long run, whatever a judgement costs."""

import pytest

from gprune_server.shadow.allowance import BURST, Allowance

SERVED, JUDGED = 300, 900


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_judging_stays_within_its_share_of_all_tokens(share: float) -> None:
    allowance, served, judged = Allowance(share), 0, 0
    for _ in range(int(20 * BURST / SERVED / share)):
        allowance.earn(SERVED)
        served += SERVED
        judged += JUDGED * allowance.spend(JUDGED)
    assert judged - BURST - JUDGED <= share * (served + judged) <= judged


def test_a_share_of_one_sets_no_limit() -> None:
    allowance = Allowance(1.0)
    for _ in range(1000):
        allowance.earn(1)
        assert allowance.spend(BURST)


def test_what_is_not_spent_is_kept_up_to_the_burst() -> None:
    allowance = Allowance(0.5)
    allowance.earn(10 * BURST)
    assert [allowance.spend(BURST), allowance.spend(1)] == [True, False]
    allowance.earn(2)
    assert [allowance.spend(BURST), allowance.spend(1)] == [True, False]
