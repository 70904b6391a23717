"""Recommend for the users of tables and of files of any size: the part of `Recommender` for it.

Shape suffix: K list length.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.hub.weights_hash import model_sha256
from seqrec.inference.exposed_lists import exposed_lists, require_exposure
from seqrec.inference.item_columns import require_item_columns
from seqrec.inference.list_recommender import BY_POPULARITY, ListRecommender
from seqrec.inference.recommend_file import RecommendedFile, recommend_file
from seqrec.inference.scoring_workers import PartScoring
from seqrec.inference.user_tables import read_user_table, user_lists
from seqrec.interactions.engine_tables import shared_table
from seqrec.interactions.item_sets import ItemSet
from seqrec.interactions.polars_threads import require_polars
from seqrec.interactions.raw_ids import ItemIds, Unknown
from seqrec.interactions.request_options import require_switch
from seqrec.interactions.request_reading import warn_of_empty
from seqrec.interactions.workers import Engine, Workers, find_workers
from seqrec.search.diversity_options import DiversityMethod, DiversityOptions
from seqrec.search.score_floor import read_min_score

__all__ = ["TableRecommender"]


class TableRecommender(ListRecommender):
    """Recommends lists of items for tables of interactions; `Recommender` is one."""

    def recommend_frame(
        self,
        frame: Any,
        k: int = 10,
        *,
        at: Any = None,
        exclude_seen: bool = True,
        allow: ItemIds | ItemSet | None = None,
        deny: ItemIds | ItemSet | None = None,
        where: str | None = None,
        min_score: float | None = None,
        item_columns: Sequence[str] = (),
        unknown: Unknown = "skip",
        rank_by: Mapping[str, float] | None = None,
        rerank_from: int = 100,
        diversity: float = 0.0,
        method: DiversityMethod = "mmr",
        diversify_by: str = "vectors",
        max_per: Mapping[str, int] | None = None,
        popularity_penalty: float = 0.0,
        exploration: float = 0.0,
        seed: int | None = None,
        min_exposure: float = 0.0,
        columns: Mapping[str, str] | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> pl.DataFrame:
        """Recommend for every user of a table of interactions.

        Args:
            frame: A file or frame with `user_id`, `item_id`, `timestamp` and the event columns that the model reads
                besides the items; see `read_interactions`. Columns may also have the names of the training table
                (`self.columns`). Labels of past events, such as ratings, may be missing. Rows of impressions (`click`
                0, if the model predicts clicks) are no part of histories, and their items not seen.
            k: Number of items for each user.
            at: When the items are asked for, one time for all users; see `recommend`.
            exclude_seen: Whether to leave out the items in the user's rows.
            allow: The only ids that may be recommended.
            deny: Ids that may not be recommended.
            where: See `recommend`.
            min_score: See `recommend`. Users for whom no item scores high enough have no row, with a warning.
            item_columns: Columns of the items (`items.frame`), such as `["title", "year"]`, to add to the result.
            unknown: See `recommend`.
            rank_by: See `recommend`.
            rerank_from: See `recommend`.
            diversity: See `recommend`.
            method: See `recommend`.
            diversify_by: See `recommend`.
            max_per: See `recommend`.
            popularity_penalty: See `recommend`.
            exploration: See `recommend`.
            seed: See `recommend`.
            min_exposure: From 0 to 1: about the least number of lists that an item is in, relative to that with all
                items in equally many. Items in fewer lists replace the last items of some: of those users, among whose
                best `rerank_from` they are, for whom they are nearly good enough. Lists stay in the order of scores.
            columns: Other names of the table's columns, such as `{"user_id": "uid"}`.
            advance: Called with the number of users after each batch that was answered, such as `update` of a progress
                bar.

        Returns:
            `user_id`, `rank` (from 1), `item_id`, `score`, always by these names, and `item_columns`, ordered by user
            and rank. User ids keep the table's type; item ids are text. Users without a known item get the most
            popular items; for their scores, see `Recommendations`.

        Raises:
            InputError: If the table cannot be read; otherwise as in `recommend`.
            NonFiniteError: If scores are infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.
        """
        k, exclude_seen = self.check_k(k), require_switch(exclude_seen, name="exclude_seen")
        options = DiversityOptions(diversity, method, diversify_by, max_per, popularity_penalty, exploration, seed)
        min_score = read_min_score(min_score)
        rerankers = self.rerankers(k, rank_by=rank_by, rerank_from=rerank_from, diversity=options, min_score=min_score)
        item_columns = require_item_columns(item_columns, self.items, taken=("user_id", "rank", "item_id", "score"))
        require_exposure(min_exposure, rerank_from, k, others=bool(rerankers))
        num_found = min(rerank_from, len(self.items)) if min_exposure else k
        allowed = self.allowed(self.encode_list(allow, where="allow"), where)
        denied = self.encode_list(deny, where="deny")
        table = read_user_table(
            frame,
            self.tokenizer,
            event_columns=self.retriever.columns,
            label_tasks=self.model.config.label_tasks,
            at=at,
            columns=columns,
            remembered=self.columns,
            protocol=self.protocol,
            unknown=unknown,
        )
        warn_of_empty(table.histories, BY_POPULARITY)
        self.warn_of_old_counts(table.histories)
        found = self.retriever.retrieve(
            table.histories,
            num_found,
            exclude_seen=exclude_seen,
            allowed=allowed,
            denied=denied,
            rerankers=rerankers,
            min_score=min_score,
            advance=advance,
        )
        if min_exposure:
            found = exposed_lists(
                *found,
                k,
                min_exposure=min_exposure,
                has_items_R=table.histories.lengths_R > 0,
                vocab_size=self.items.vocab_size,
            )
        return user_lists(table.user_ids, *found, self.items, item_columns)

    def recommend_file(
        self,
        source: Any,
        output: str | Path,
        k: int = 10,
        *,
        columns: Mapping[str, str] | None = None,
        progress: bool = False,
        engine: Engine | None = None,
        num_workers: int | None = None,
        worker_device: str = "auto",
        **options: Any,
    ) -> RecommendedFile:
        """Recommend for every user of a file of any size, in bounded memory, and write the lists to another file.

        The lists are those of `recommend_frame`. The same call after an interruption goes on where it stopped; see the
        function `recommend_file`.

        Args:
            source: A file of interactions, or a folder with parts of one table; see `recommend_frame`. With an engine,
                also an address that it reads, such as s3://bucket/table, or a `ray.data.Dataset` or DataFrame of Spark.
            output: A file ending in .parquet, .csv or .jsonl; or a folder, which exists and is empty or whose name ends
                in "/", for Parquet files `part-00000.parquet` and so on, which are there as soon as they are done.
            k: Number of items for each user.
            columns: Other names of the table's columns; see `recommend_frame`.
            progress: Whether to show progress bars.
            engine: "ray" (extra `[ray]`) or "spark" (extra `[spark]`) to answer a table of more than 200,000 rows by
                many workers, each of which loads the model once; see `find_workers`. They and this process share the
                folder of the output. The lists are the same.
            num_workers: The number of workers of Ray; by default, one for each core, or GPU.
            worker_device: The device of each worker; see `from_pretrained`.
            **options: Further options of `recommend_frame`, except `min_exposure`.

        Returns:
            The number of rows written, and of users.

        Raises:
            InputError: If the output cannot be written, `min_exposure` is given, or parts of another call are beside
                the output; if an engine is not installed, or its workers die again and again; otherwise as in
                `recommend_frame`.
            NonFiniteError: If scores are infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.

        Example:
            >>> recommender.recommend_file("big.parquet", "lists.parquet", k=10)  # doctest: +SKIP
        """
        require_polars()
        if "min_exposure" in options:
            raise InputError(
                "min_exposure balances the lists of all users, but recommend_file never holds them all. Leave it out, "
                "or call recommend_frame."
            )
        options |= {name: self.given_items(name, options[name]) for name in ("allow", "deny") if name in options}
        told = {name: ids.token_ids.tolist() if isinstance(ids, ItemSet) else ids for name, ids in options.items()}
        workers = find_workers(engine, num_workers)
        worker_options = {"k": self.check_k(k), "columns": columns, **options}
        with shared_table(source, workers, Path(f"{str(output).rstrip('/')}.table")) as table:
            return recommend_file(
                partial(self.recommend_frame, k=self.check_k(k), columns=columns, **options),
                table,
                output,
                settings=lambda: {
                    **{"k": k, "columns": columns, "options": told},
                    **{"model": model_sha256(self.model), "items": self.items.sha256()},
                },
                columns=columns,
                remembered=self.columns,
                progress=progress,
                scoring=None if workers is None else self.part_scoring(workers, worker_device, worker_options),
            )

    def given_items(self, name: str, item_ids: ItemIds | ItemSet | None) -> ItemSet | None:
        """Look up an allow or deny list for all parts of a file."""
        encoded = self.encode_list(item_ids, where=name)
        return None if encoded is None else ItemSet(encoded[0], self.tokenizer.look_up)

    def part_scoring(self, workers: Workers, device: str, options: Mapping[str, Any]) -> PartScoring:
        """Return the scoring of parts by workers that load this recommender; see `recommend_file`."""
        raise NotImplementedError
