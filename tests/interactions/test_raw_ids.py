"""Raw ids in any container are read as from a list, or refused with a one-line error."""

import array
import enum
import io
from collections import deque
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

from seqrec.interactions.raw_ids import encode_lists, id_text, read_histories, read_ids, read_lists

IDS = ["50", "181", "9"]
NUMBERS = [50, 181, 9]


class Film(str, enum.Enum):  # noqa: UP042 (StrEnum has another __str__)
    HEAT = "50"


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "range-like deque": deque,
    "iterator": iter,
    "generator": lambda ids: (item_id for item_id in ids),
    "dict's values": lambda ids: dict(enumerate(ids)).values(),
    "array": np.array,
    "array of objects": lambda ids: np.array(ids, dtype=object),
    "every second of an array": lambda ids: np.array(ids).repeat(2)[::2],
    "pandas Series": pd.Series,
    "pandas Series, indexed": lambda ids: pd.Series(ids, index=[7, 7, 7]),
    "pandas Series of objects": lambda ids: pd.Series(ids, dtype=object),
    "pandas Series by Arrow": lambda ids: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(ids))),
    "pandas Index": pd.Index,
    "pandas array": lambda ids: pd.array(ids),
    "pandas Categorical": pd.Categorical,
    "polars Series": lambda ids: pl.Series(values=ids),
    "pyarrow Array": pa.array,
    "pyarrow ChunkedArray": lambda ids: pa.chunked_array([ids[:1], ids[1:]]),
    "pyarrow dictionary": lambda ids: pa.array(ids).dictionary_encode(),
    "column of a data set": lambda ids: Dataset.from_dict({"item_id": ids})["item_id"],
}
ODD_INTEGERS = {
    "array of small integers": np.array(NUMBERS, dtype=np.uint8),
    "array module": array.array("i", NUMBERS),
    "nullable integers": pd.Series(NUMBERS, dtype="Int64"),
    "NumPy scalars": [np.int64(50), np.uint8(181), np.str_("9")],
    "Enum": [Film.HEAT, 181, "9"],
    "polars Categorical": pl.Series(IDS, dtype=pl.Categorical),
}


@pytest.mark.parametrize("ids", [IDS, NUMBERS], ids=["text", "integers"])
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_whatever_holds_ids_is_one_history(container, ids):
    assert read_histories(container(ids)) == ([IDS], True)
    assert read_lists(container(ids), where="deny") == ([IDS], True)
    assert read_ids(container(ids)) == IDS


@pytest.mark.parametrize("ids", ODD_INTEGERS.values(), ids=ODD_INTEGERS)
def test_kinds_of_integers_and_text(ids):
    assert read_histories(ids) == ([IDS], True)
    assert [type(item_id) for item_id in read_ids(ids)] == [str] * 3


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_list_of_whatever_holds_ids_is_several_histories(container):
    histories = [container(IDS), ["7"], [], container(NUMBERS)]
    assert read_histories(histories) == ([IDS, ["7"], [], IDS], False)


@pytest.mark.parametrize(
    "several",
    [
        [["50", "181"], ["9"]],
        (("50", "181"), ("9",)),
        (iter(ids) for ids in (["50", "181"], ["9"])),
        np.array([["50", "181"], ["9"]], dtype=object),
        pd.Series([["50", "181"], ["9"]]),
        pd.Series([np.array([50, 181]), np.array([9])]),
        pl.Series([["50", "181"], ["9"]]),
        pl.Series([[50, 181], [9]]),
        pa.array([["50", "181"], ["9"]]),
        Dataset.from_dict({"history": [["50", "181"], ["9"]]})["history"],
    ],
    ids=["lists", "tuples", "iterators", "array", "Series", "of arrays", "polars", "integers", "pyarrow", "data set"],
)
def test_columns_of_lists_are_several_histories(several):
    assert read_histories(several) == ([["50", "181"], ["9"]], False)


@pytest.mark.parametrize("dtype", [str, int, object])
def test_the_rows_of_a_matrix_are_histories(dtype):
    assert read_histories(np.array([[50, 181], [9, 7]]).astype(dtype)) == ([["50", "181"], ["9", "7"]], False)


@pytest.mark.parametrize(
    "nothing",
    [[], (), iter([]), np.array([]), pd.Series([], dtype=float), pl.Series([]), pl.Series([], dtype=pl.String)],
)
def test_nothing_is_one_empty_history(nothing):
    assert read_histories(nothing) == ([[]], True)


@pytest.mark.parametrize(
    "nothing",
    [
        np.empty((0, 5)),
        pl.Series([], dtype=pl.List(pl.String)),
        pl.Series([], dtype=pl.Array(pl.Int64, 2)),
        pa.array([], pa.list_(pa.string())),
        pa.array([], pa.large_list(pa.int64())),
        pd.Series([], dtype=pd.ArrowDtype(pa.list_(pa.string()))),
    ],
)
def test_no_rows_of_lists_are_no_history(nothing):
    assert read_histories(nothing) == ([], False)


REFUSED_CONTAINERS = {
    "text": ("50", r"but '50' was given\. Put a single id into a list: \['50'\]"),
    "bytes": (b"50", r"but b'50' was given\. Decode bytes"),
    "bytearray": (bytearray(b"50"), "Decode bytes"),
    "memoryview": (memoryview(b"50"), "Decode bytes"),
    "integer": (50, "but 50 was given"),
    "None": (None, "but None was given"),
    "dict": ({"50": 1}, r"but \{'50': 1\} was given"),
    "tensor": (torch.tensor([50]), "a tensor was given, and its numbers could be token ids"),
    "file": (io.StringIO("50\n181\n"), "was given"),
    "row of a table": (next(pd.DataFrame({"item_id": IDS}).itertuples()), "was given"),
    "NumPy scalar": (np.array(50), "was given"),
    "array of bytes": (np.array([b"50"]), r"an array of \|S2 was given\. Decode bytes"),
    "array of floats": (np.array([50.0]), r"an array of float64 was given\. Convert whole numbers"),
    "array of truths": (np.array([True]), "an array of bool"),
    "array of times": (np.array(["2020-01-01"], dtype="datetime64[ns]"), "an array of datetime64"),
    "array of records": (np.array([(1, 2)], dtype=[("a", int), ("b", int)]), "was given"),
    "pandas table": (pd.DataFrame({"item_id": IDS}), "a table was given"),
    "polars table": (pl.DataFrame({"item_id": IDS}), "a table was given"),
    "pyarrow table": (pa.table({"item_id": IDS}), "a table was given"),
    "data set": (Dataset.from_dict({"item_id": IDS}), "a table was given"),
    "index of pairs": (pd.MultiIndex.from_tuples([("50", "181")]), "a table was given"),
}
REFUSED_IDS = {
    "bytes": (b"50", r"but b'50' was given.*Decode bytes"),
    "NumPy bytes": (np.bytes_(b"50"), "Decode bytes"),
    "float": (50.0, r"but 50\.0 was given.*Convert whole numbers"),
    "NumPy float": (np.float32(50), "Convert whole numbers"),
    "NaN": (float("nan"), "but nan was given"),
    "pandas' NA": (pd.NA, "but <NA> was given"),
    "None": (None, "but None was given"),
    "truth": (True, "but True was given"),
    "NumPy truth": (np.True_, "True_? was given"),
    "Decimal": (Decimal(50), "was given"),
    "dict": ({"item_id": "50"}, r"but \{'item_id': '50'\} was given"),
    "date": (pd.Timestamp("2020-01-01"), "was given"),
}


@pytest.mark.parametrize("read", [read_histories, lambda values: read_lists(values, where="deny"), read_ids])
@pytest.mark.parametrize("name", REFUSED_CONTAINERS)
def test_what_may_mean_something_else_is_refused(read, name):
    values, message = REFUSED_CONTAINERS[name]
    for given in (values, [["9"], values]):
        with pytest.raises(ValueError, match=message if given is values else "given") as caught:
            read(given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [lambda one: [one, "9"], lambda one: ["9", one], lambda one: [["9"], ["9", one]]])
@pytest.mark.parametrize("name", REFUSED_IDS)
def test_what_is_no_id_is_refused(name, place):
    value, message = REFUSED_IDS[name]
    for read in (read_histories, lambda values: read_lists(values, where="deny")):
        with pytest.raises(ValueError, match=message) as caught:
            read(place(value))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):
        id_text(value)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([50.0, None]),
        pd.Series(["50", None]),
        pd.Series([50, None], dtype="Int64"),
        pl.Series(["50", None]),
        pl.Series([b"50"]),
        pl.Series([50.0]),
        pl.Series([{"item_id": "50"}]),
        pa.array(["50", None]),
        pa.array([b"50"]),
        np.ma.masked_array([50, 181], mask=[False, True]),
        [torch.tensor(50), torch.tensor(181)],
        [pa.scalar("50")],
    ],
)
def test_columns_with_anything_but_ids_are_refused(column):
    with pytest.raises(ValueError, match="was given"):
        read_histories(column)


@pytest.mark.parametrize("mixed", [["50", ["9"]], [["9"], "50"], [["9"], 50], [[], None], [[["50"]]], [[["50"], "9"]]])
def test_mixed_or_deeply_nested_lists_are_refused(mixed):
    for read in (read_histories, lambda values: read_lists(values, where="allow")):
        with pytest.raises(ValueError, match="was given"):
            read(mixed)


def test_a_set_denies_and_allows_but_is_no_history():
    found, is_one = read_lists({"50", 181}, where="deny")
    assert (sorted(found[0]), is_one) == (["181", "50"], True)
    assert read_lists([{"50"}, frozenset()], where="deny") == ([["50"], []], False)
    for history in ({"50"}, frozenset({"50"}), {"50": 1}.keys(), [{"50"}, ["9"]]):
        with pytest.raises(ValueError, match="a set was given, which has no order"):
            read_histories(history)
    with pytest.raises(ValueError, match="A set of lists was given in deny"):
        read_lists({("50",), ("9",)}, where="deny")


@pytest.mark.parametrize("num_users", [1, 2, 3])
def test_lists_are_for_all_or_for_each(num_users):
    def encode(names):
        return np.array([int(name) for name in names], dtype=np.int64)

    assert [one.tolist() for one in encode_lists(iter(IDS), num_users, encode, where="deny")] == [NUMBERS]
    assert [one.tolist() for one in encode_lists([], num_users, encode, where="deny")] == [[]]
    each = [iter(["50"])] * 1 + [[]] * (num_users - 1)
    assert [one.tolist() for one in encode_lists(each, num_users, encode, where="deny")] == [[50], [], []][:num_users]
    with pytest.raises(ValueError, match=f"deny has {num_users + 1} lists for {num_users} histories"):
        encode_lists([["50"]] * (num_users + 1), num_users, encode, where="deny")
