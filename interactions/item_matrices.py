"""Matrices in files, whose rows belong to the rows of a table of items."""

import os
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.torch import load_file

from seqrec.errors import InputError
from seqrec.interactions.locations import local_path, similar
from seqrec.interactions.one_line import one_line

__all__ = ["MATRIX_SUFFIXES", "add_matrix"]

MATRIX_SUFFIXES = (".npy", ".safetensors")


def add_matrix(table: pl.DataFrame, name: str, file: str) -> pl.DataFrame:
    """Add a matrix to a table as a column of vectors.

    Args:
        table: The items, in the order of the matrix's rows.
        name: Name of the new column.
        file: A `.npy` file with a matrix, or a `.safetensors` file with one matrix or one of this name.

    Raises:
        InputError: If the file cannot be read, holds no matrix of numbers, or has another number of rows than the
            table; or if the table already has a column of this name.
    """
    if name in table.columns:
        raise InputError(f"The items already have a column {name}. Give the matrix in '{file}' another name.")
    matrix = read_matrix(name, local_path(file))
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or matrix.shape[1] == 0:
        raise InputError(
            f"'{file}' holds an array of shape {tuple(matrix.shape)} and type {matrix.dtype}. Expected a matrix of "
            "numbers, with one row per item."
        )
    if len(matrix) != len(table):
        raise InputError(
            f"The matrix in '{file}' has {len(matrix):,} rows, but the table of items has {len(table):,}. Give one row "
            "per item, in the order of the table."
        )
    return table.with_columns(pl.Series(name, np.ascontiguousarray(matrix, dtype=np.float32)))


def read_matrix(name: str, path: Path) -> np.ndarray:
    """Read an array by its file's suffix."""
    if path.suffix not in MATRIX_SUFFIXES:
        raise InputError(f"'{path}' is of an unknown kind. Give a matrix as {' or '.join(MATRIX_SUFFIXES)}.")
    if not os.path.isfile(path):
        raise InputError(f"There is no file '{path}'.{similar(path)}")
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else read_tensor(name, path)
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"'{path}' cannot be read as a {path.suffix} file: {one_line(error)}.") from error


def read_tensor(name: str, path: Path) -> np.ndarray:
    """Read the only tensor of a file, or the one of this name."""
    tensors = load_file(path)
    if name not in tensors and len(tensors) != 1:
        raise InputError(
            f"'{path}' holds {len(tensors)} tensors ({one_line(', '.join(tensors))}), none of them named {name}. Save "
            "the matrix under this name."
        )
    tensor = tensors[name] if name in tensors else next(iter(tensors.values()))
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
