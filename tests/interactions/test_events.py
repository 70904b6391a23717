"""Event columns: raw values become numbers, or an error says why not; names are unique."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.interactions.events import (
    EVENT_COLUMNS,
    CategoricalColumn,
    EventColumn,
    event_column,
    event_columns,
    register_event_column,
)

DEVICE = CategoricalColumn("device", values=("tv", "phone"))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name in list(EVENT_COLUMNS):
        monkeypatch.setitem(EVENT_COLUMNS, name, EVENT_COLUMNS[name])
    yield
    for name in set(EVENT_COLUMNS) - {"input_ids", "timestamps", "request_times"}:
        del EVENT_COLUMNS[name]


@pytest.mark.parametrize("make", [list, np.array, pl.Series, pd.Series, tuple])
def test_numbers_of_any_container_are_encoded(make):
    for dtype in ("int64", "float32"):
        encoded = EventColumn("rating", dtype).encode(make([3, 1, 2]))
        assert encoded.tolist() == [3, 1, 2]
        assert encoded.dtype == dtype
        assert EventColumn("rating", dtype).encode(make([])).dtype == dtype


@pytest.mark.parametrize("values", [[1, None], [1.5, 2.0], ["1"], [[1], [2]], pl.Series([1, None]), [True]])
def test_integers_take_nothing_else(values):
    with pytest.raises(InputError, match="rating must hold integers, one per event and none missing"):
        EventColumn("rating").encode(values)


@pytest.mark.parametrize("values", [[1.0, None], [1.0, float("nan")], [1.0, float("inf")], ["1"], pl.Series([1, None])])
def test_floats_take_only_finite_numbers(values):
    with pytest.raises(InputError, match="rating must hold finite numbers"):
        EventColumn("rating", "float32").encode(values)


@pytest.mark.parametrize("make", [list, lambda names: np.array(names, dtype=object), pl.Series, pd.Series])
def test_categories_are_numbered_from_one_and_the_unknown_are_zero(make):
    assert DEVICE.encode(make(["phone", "tv", None, "fridge", "phone"])).tolist() == [2, 1, 0, 0, 2]
    assert DEVICE.encode(make([])).tolist() == []
    assert DEVICE.encode(make(["tv"])).dtype == np.int64
    assert DEVICE.num_codes == 3


def test_polars_categories_are_text_too():
    assert DEVICE.encode(pl.Series(["tv", None], dtype=pl.Categorical)).tolist() == [1, 0]


@pytest.mark.parametrize("values", [[1, 2], ["tv", 1.5], [["tv"]]])
def test_what_is_no_text_is_no_category(values):
    with pytest.raises(InputError, match="device must hold text such as 'tv', but contains"):
        DEVICE.encode(values)


@pytest.mark.parametrize("values", [(), ("tv", "tv"), ("tv", 1)])
def test_categories_are_distinct_texts(values):
    with pytest.raises(InputError, match="distinct strings"):
        CategoricalColumn("device", values=values)


def test_a_registered_column_is_found_by_its_name():
    assert register_event_column(DEVICE) is DEVICE
    assert event_column("device") is DEVICE
    assert event_columns(["input_ids", "device"]) == (EVENT_COLUMNS["input_ids"], DEVICE)
    register_event_column(CategoricalColumn("device", values=("tv", "phone")))  # the same again
    with pytest.raises(InputError, match="The name 'device' belongs to another event column"):
        register_event_column(EventColumn("device"))


def test_an_unknown_column_is_named_with_those_there_are():
    with pytest.raises(InputError, match="No event column 'device' is registered, only input_ids, timestamps"):
        event_column("device")


@pytest.mark.parametrize("name", ["labels", "attention_mask", "target", "two words", ""])
def test_names_with_another_meaning_are_refused(name):
    with pytest.raises(InputError, match="cannot be called"):
        register_event_column(EventColumn(name))
