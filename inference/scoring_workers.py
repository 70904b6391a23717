"""Recommend for the parts of a table on many workers, each of which loads the model once."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.inference.list_outputs import write_table
from seqrec.interactions.user_partitions import UsersPart
from seqrec.interactions.workers import Workers, run_steps

__all__ = ["PartScoring", "SavedScoring"]

MODEL = "model"


@dataclass
class SavedScoring:
    """Recommends with a saved model, which is loaded on the first call.

    Attributes:
        folder: Where the model is.
        loading: Options of `Recommender.from_pretrained`.
        options: Options of `Recommender.recommend_frame`.
        module: Module that registers the architecture.
    """

    folder: Path
    loading: Mapping[str, Any]
    options: Mapping[str, Any]
    module: str

    @cached_property
    def recommend_frame(self) -> Callable[..., pl.DataFrame]:
        """The method of the recommender."""
        from seqrec.inference.recommender import Recommender

        import_module(self.module)
        return Recommender.from_pretrained(self.folder, **self.loading).recommend_frame

    def __call__(self, task: tuple[int, UsersPart, Path]) -> int:
        """Recommend for the users of a part and write their lists; return the place of the part.

        Raises:
            InputError: If the part has other users than were counted.
        """
        place, part, lists = task
        answered: list[int] = []
        found = self.recommend_frame(part.path, **self.options, advance=answered.append)
        if sum(answered) != part.num_users:
            raise InputError(
                f"'{part.path}' had {part.num_users:,} users, and now has {sum(answered):,}. Remove its folder, and "
                "repeat the call."
            )
        write_table(found, lists)
        return place


@dataclass(frozen=True)
class PartScoring:
    """Answers parts of a table on workers; see `recommend_file`.

    Attributes:
        workers: The workers.
        save: Saves the model in a new folder.
        loading: See `SavedScoring`; a worker uses a GPU unless the device is "cpu".
        options: See `SavedScoring`.
        module: See `SavedScoring`.
    """

    workers: Workers
    save: Callable[[Path], object]
    loading: Mapping[str, Any]
    options: Mapping[str, Any]
    module: str

    def __call__(self, parts: list[UsersPart], lists: list[Path], work: Path) -> Iterator[int]:
        """Answer the parts; yield the place of each that is done."""
        folder = work.resolve() / MODEL
        tasks = [
            (place, UsersPart(part.path.resolve(), part.num_users), path.resolve())
            for place, (part, path) in enumerate(zip(parts, lists, strict=True))
        ]
        scoring = SavedScoring(folder, self.loading, self.options, self.module)
        try:
            self.save(folder)
            yield from run_steps(
                self.workers, scoring, tasks, work.resolve(), gpus=self.loading.get("device", "auto") != "cpu"
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
