"""Options of diverse lists that cannot be used are refused in one line."""

import math

import numpy as np
import pytest

from seqrec.search.diversity_options import DiversityOptions


@pytest.mark.parametrize(
    "options", [{}, {"diversity": 0}, {"exploration": 0.0, "popularity_penalty": 0, "max_per": None}]
)
def test_by_default_lists_stay_as_they_are(options):
    assert not DiversityOptions(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"diversity": np.float32(0.5)},
        {"diversity": 1, "method": "calibrated", "diversify_by": "genres"},
        {"max_per": {"genres": np.int64(2)}},
        {"popularity_penalty": 3},
        {"exploration": 0.1, "seed": -5},
    ],
    ids=str,
)
def test_any_of_them_makes_lists_diverse(options):
    assert DiversityOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversity": 1.1}, r"^diversity=1.1 is not a number from 0 to 1\.$"),
        ({"diversity": -0.1}, "^diversity=-0.1 is not a number from 0 to 1"),
        ({"diversity": math.nan}, "^diversity=nan is not"),
        ({"diversity": "0.3"}, "^diversity='0.3' is not"),
        ({"diversity": True}, "^diversity=True is not"),
        ({"diversity": None}, "^diversity=None is not"),
        ({"diversity": 0.5, "method": "mrr"}, "^method='mrr' does not exist. Choose from: mmr, dpp, calibrated"),
        ({"diversity": 0.5, "method": ["mmr"]}, "^method=.'mmr'. does not exist"),
        ({"diversity": 0.5, "diversify_by": ""}, "^diversify_by='' is neither 'vectors' nor the name of a column"),
        ({"diversity": 0.5, "diversify_by": None}, "^diversify_by=None is neither"),
        ({"diversity": 0.5, "method": "calibrated"}, "^method='calibrated' needs a column of categories. Name one in"),
        ({"method": "dpp"}, "^method='dpp' has no effect without `diversity`"),
        ({"diversify_by": "genres", "max_per": {"genres": 3}}, "^diversify_by='genres' has no effect without `divers"),
        ({"seed": 1, "diversity": 0.5}, "^seed=1 has no effect without `exploration`. Leave it out"),
        ({"seed": 1.5, "exploration": 1}, "^seed=1.5 is not an integer"),
        ({"seed": False, "exploration": 1}, "^seed=False is not an integer"),
        ({"exploration": -1}, "^exploration=-1 is not a finite number of at least 0"),
        ({"exploration": math.inf}, "^exploration=inf is not a finite number"),
        ({"popularity_penalty": -0.5}, "^popularity_penalty=-0.5 is not a finite number of at least 0"),
        ({"max_per": {}}, r"^max_per must be a dictionary of numbers, such as \{'genres': 3\}, got \{\}"),
        ({"max_per": 3}, "^max_per must be a dictionary of numbers"),
        ({"max_per": {"genres": 0}}, "^max_per of 'genres' must be an integer of at least 1, got 0"),
        ({"max_per": {"genres": 2.0}}, "^max_per of 'genres' must be an integer of at least 1, got 2.0"),
        ({"max_per": {3: 2}}, "^max_per must name columns of the items, got 3"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message) as raised:
        DiversityOptions(**options)
    assert "\n" not in str(raised.value)
