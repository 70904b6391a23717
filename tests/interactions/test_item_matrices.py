import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from seqrec.errors import InputError
from seqrec.interactions.item_feature_tables import fit_features, with_matrices
from seqrec.interactions.item_matrices import add_matrix

TABLE = pl.DataFrame({"item_id": ["a", "b", "c"], "year": [1, 2, 3]})
MATRIX = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Matrices in the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", MATRIX.astype(np.float64))
    np.save("integers.npy", MATRIX.astype(np.int16))
    save_file({"anything": torch.tensor(MATRIX, dtype=torch.bfloat16)}, "one.safetensors")
    save_file({"image": torch.tensor(MATRIX), "other": torch.zeros(1)}, "two.safetensors")
    np.save("flat.npy", MATRIX[0])
    np.save("empty.npy", MATRIX[:, :0])
    np.save("words.npy", np.array([["a"], ["b"], ["c"]]))
    np.save("objects.npy", np.array([None, 1, 2]), allow_pickle=True)
    np.save("short.npy", MATRIX[:2])
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    (tmp_path / "matrix.csv").write_text("1,2\n")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("file", ["good.npy", "integers.npy", "one.safetensors", "two.safetensors"])
def test_the_rows_of_a_matrix_are_those_of_the_table(file):
    table = add_matrix(TABLE, "image", file)
    assert np.array_equal(table["image"].to_numpy(), MATRIX)
    features, values = fit_features(
        TABLE, f"year,image={file}", pl.Series(["c", "a"]), is_trained=np.array([True, True])
    )
    assert features.wanted == ["year:number", "image:vector"]
    assert np.array_equal(values["image"], MATRIX[[2, 0]])


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("image=good.np", r"'good.np' is of an unknown kind. Give a matrix as .npy or .safetensors"),
        ("image=matrix.csv", "is of an unknown kind"),
        ("image=god.npy", r"There is no file 'god.npy'. Did you mean 'good.npy'"),
        ("image=broken.npy", r"'broken.npy' cannot be read as a .npy file"),
        ("image=broken.safetensors", r"'broken.safetensors' cannot be read as a .safetensors file"),
        ("image=objects.npy", r"'objects.npy' cannot be read as a .npy file: Object arrays cannot be loaded"),
        ("picture=two.safetensors", r"holds 2 tensors \(image, other\), none of them named picture"),
        ("image=flat.npy", r"'flat.npy' holds an array of shape \(2,\) and type float32. Expected a matrix"),
        ("image=empty.npy", r"of shape \(3, 0\)"),
        ("image=words.npy", r"type <U1. Expected a matrix of numbers"),
        ("image=short.npy", "The matrix in 'short.npy' has 2 rows, but the table of items has 3"),
        ("year=good.npy", r"The items already have a column year. Give the matrix in 'good.npy' another name"),
        ("image=", "'image=' is not an item feature"),
        ("yeer,image=good.npy", r"no column 'yeer' for item_features. Did you mean year\?"),
    ],
)
def test_other_files_are_refused(wanted, message):
    with pytest.raises(InputError, match=message) as caught:
        with_matrices(TABLE, wanted)
    assert "\n" not in str(caught.value)
