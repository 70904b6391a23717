"""Conditions on items."""

from datetime import date, datetime

import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions.item_filters import find_items

ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "title": ["Heat, The", "Up", None, 'It\'s "ü"'],
        "year": [1990, 2005, None, 1985],
        "price": [1.5, 2.0, 0.5, None],
        "genres": ["Comedy|Drama", "Drama", None, "Comedy"],
        "tags": [["x", "y"], ["y"], [], None],
        "sizes": [[1, 2], [3], [1], None],
        "pages": ["100", " 90", "V", None],  # most are numbers
        "is_new": [True, False, None, True],
        "released": [date(2020, 1, 1), date(2021, 6, 1), None, date(2019, 1, 1)],
        "seen at": [datetime(2020, 1, 1, 12), None, datetime(2022, 1, 1), datetime(2020, 1, 2)],
        "brand": pl.Series(["p", "q", "p", None], dtype=pl.Categorical),
    }
)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year >= 1990", "ab"),
        ("1990 <= year", "ab"),
        ("1985 < year < 2000", "a"),
        ("year == 1990 or title == 'Up'", "ab"),
        ("year >= 1990 and 'Comedy' in genres", "a"),
        ("'Comedy' not in genres", "bc"),
        ("not (year > 1985)", "cd"),
        ("year <= 1985", "d"),
        ("year != 1990", "bd"),
        ("year is None", "c"),
        ("year is not None and price is not None", "ab"),
        ("year in [1990, 1985]", "ad"),
        ("year not in (1990, 1985)", "b"),
        ("title in ['Up']", "b"),
        ("item_id in {'a', 'c'}", "ac"),
        ("'t, T' in title", "a"),
        ("title == 'It\\'s \"ü\"'", "d"),
        ("'y' in tags", "ab"),
        ("1 in sizes", "ac"),
        ("is_new", "ad"),
        ("not is_new", "bc"),
        ("is_new == False", "b"),
        ("released > '2019-12-31'", "ab"),
        ("column('seen at') < '2020-01-02T00:00'", "a"),
        ("column('seen at') in ['2020-01-01 12:00']", "a"),
        ("price > 1 and (year < 1995 or not is_new)", "ab"),
        ("price < -1", ""),
        ("price <= year", "ab"),
        ("brand == 'p'", "ac"),
        ("pages >= 95", "a"),
        ("90 <= pages < 100", "b"),
        ("pages in [90, 100]", "ab"),
        ("pages == 'V'", "c"),
        ("pages != 100", "b"),
        ("brand in ['q']", "b"),
        ("(year > 0\n and price > 0)", "ab"),
    ],
)
def test_items_are_found(where, expected):
    assert "".join(ITEMS["item_id"].filter(find_items(where, ITEMS))) == expected


@pytest.mark.parametrize(
    ("where", "place", "problem"),
    [
        ("year >= 1990 and 'Comedy' in genre", 30, "the items have no column 'genre'; they have item_id, title"),
        ("year >=", 8, "invalid syntax"),
        ("title == 'ü' and jahr > 3", 18, "no column 'jahr'"),
        ("__import__('os').system('ls')", 1, "a column of the items is expected here"),
        ("year + 1", 1, "a comparison is expected here"),
        ("__import__('os') == 1", 1, "a column of the items is expected"),
        ("(lambda: 1)() == 1", 1, "a column of the items is expected"),
        ("year.__class__ == 1", 1, "one side of a comparison must be a column"),
        ("[x for x in year] == 1", 1, "one side of a comparison must be a column"),
        ("1 == 1", 1, "one side of a comparison must be a column"),
        ("year == 'new'", 9, "'year' \\(numbers\\) cannot be compared with this"),
        ("title > 3", 9, "'title' \\(text\\) cannot be compared"),
        ("year == True", 9, "cannot be compared"),
        ("year == None", 9, "write 'is None'"),
        ("year is 3", 9, "'is' is only for None"),
        ("title == year", 10, "'title' \\(text\\) cannot be compared"),
        ("year", 1, "'year' is not true or false"),
        ("year == 2 ** 999999999", 9, "a number, a text, True or False is expected"),
        ("'1' in year", 8, "holds no lists and no text"),
        ("released > 'soon'", 12, "this is no time"),
        ("f'{year}' == title", 1, "a number, a text"),
        ("(" * 900 + "year == 1", 201, "too many nested parentheses"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(where, place, problem):
    with pytest.raises(
        InputError, match=rf"^`where` cannot be read at character {place} \(.*\): .*({problem}).*"
    ) as error:
        find_items(where, ITEMS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["", "  ", None, 3, "x" * 3000])
def test_conditions_are_texts_of_limited_length(where):
    with pytest.raises(InputError, match=r"^`where` (must be a condition|has 3,000 characters)"):
        find_items(where, ITEMS)
