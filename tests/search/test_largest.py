"""The largest scores of each row agree with a stable sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.search import largest as module
from seqrec.search.largest import largest


def naive(scores_BC, k):
    """Score descending, then column ascending."""
    columns_BK = [np.lexsort([np.arange(len(scores_C)), -scores_C])[:k] for scores_C in scores_BC.numpy()]
    return torch.tensor(np.array(columns_BK))


def assert_largest(scores_BC, k):
    values, columns = largest(scores_BC, k)
    expected = naive(scores_BC, k)
    finite = scores_BC.gather(1, expected) > -torch.inf
    assert values.equal(scores_BC.gather(1, expected))
    assert columns.where(finite, -1).equal(expected.where(finite, -1))


@given(st.data())
def test_they_are_those_of_a_stable_sort(data):
    """All widths around a block, all k up to the width and beyond, few and many distinct scores, some −inf."""
    num_rows, num_columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 70))
    k, distinct = data.draw(st.integers(1, 80)), data.draw(st.sampled_from([1, 2, 5, 1000]))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    scores = torch.tensor(rng.integers(0, distinct, (num_rows, num_columns)), dtype=torch.float32)
    scores[torch.tensor(rng.random(scores.shape) < data.draw(st.sampled_from([0, 0.3, 1])))] = -torch.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", data.draw(st.sampled_from([1, 2, 4, 64])))
        assert_largest(scores, k)


@pytest.mark.parametrize("width", [3, 64, 2000, 5000, 5003])
@pytest.mark.parametrize("distinct", [1, 3, 50, 10**6])
def test_blocks_of_many_columns_hide_nothing(width, distinct):
    scores = torch.randint(0, distinct, (5, width), generator=torch.Generator().manual_seed(width)).float()
    scores[1, 7:] = -torch.inf
    scores[2] = -torch.inf
    scores[3, : width // 2] = -1
    assert_largest(scores, 3)


def test_what_is_no_number_comes_first_and_breaks_nothing():
    scores = torch.tensor([[1, torch.nan, 1, 1, 0], [torch.nan] * 5])
    values, columns = largest(scores, 3)
    assert values[0].isnan().tolist() == [True, False, False]
    assert columns[0].tolist() == [1, 0, 2]
    assert values[1].isnan().all()
