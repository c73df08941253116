"""P-values of several tests: equal to those of statsmodels, and bounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from perm_cli.statistics.multiple import holm
from perm_cli.statistics.resampling import Floats

EXACT = 1e-9
_P = st.lists(st.sampled_from([0.0, 1e-9, *np.arange(0.0025, 1.0025, 0.0025)]), min_size=1, max_size=12).map(np.array)


@settings(max_examples=12, deadline=None)  # statsmodels collects garbage at each
@given(p=_P)
def test_adjusted_p_values_are_those_of_statsmodels(p: Floats) -> None:
    """Ties, noughts and ones included."""
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=EXACT)


def test_what_is_missing_takes_no_part() -> None:
    """A pair of judges that share no item must not make the others' differences look smaller."""
    p = np.array([np.nan, 0.03, 0.004, np.nan, 0.2])

    adjusted = holm(p)

    assert np.isnan(adjusted).tolist() == [True, False, False, True, False]
    assert adjusted[[1, 2, 4]] == pytest.approx(multipletests(p[[1, 2, 4]], method="holm")[1], abs=EXACT)


def test_holm_by_hand() -> None:
    """Three tests: 0.01, 0.04, 0.03."""
    # In order: 0.01 * 3 = 0.03; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, which may not be less than the one before.
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06], abs=EXACT)


@pytest.mark.parametrize(
    "p", [pytest.param([], id="none"), pytest.param([0.03], id="one"), pytest.param([np.nan] * 2, id="all-missing")]
)
def test_with_one_test_or_none_there_is_nothing_to_adjust(p: list[float]) -> None:
    """A run with two judges has one pair of them."""
    assert holm(np.array(p)) == pytest.approx(p, nan_ok=True)
