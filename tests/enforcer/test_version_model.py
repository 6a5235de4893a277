"""No charge is decided by an account that was invalidated: random histories, and each rule left out in turn."""

import pytest
from version_model import HOLES, History


def test_no_charge_is_decided_by_an_account_that_was_invalidated_before_it_began():
    assert [] == [found for seed in range(400) if (found := History(seed).run())]


@pytest.mark.parametrize("hole", sorted(HOLES.keys() - {"none"}))
def test_each_rule_is_needed(hole):
    assert any(History(seed, hole).run() for seed in range(3_000))
