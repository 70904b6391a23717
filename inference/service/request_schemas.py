"""The bodies of requests.

A new option of recommending is one field of `RecommendRequest`, by the name that `Recommender.recommend` gives it.
"""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StrictInt, StrictStr, model_validator

from seqrec.errors import InputError
from seqrec.inference.service.limits import Limits

__all__ = ["ExplainRequest", "HistoriesRequest", "PredictRequest", "RecommendRequest", "Request", "SimilarRequest"]

ItemId: TypeAlias = StrictStr | StrictInt
ItemIdList: TypeAlias = list[ItemId]
OneOrEach: TypeAlias = ItemIdList | list[ItemIdList]  # a list of ids for all histories, or one for each
Number = Annotated[FiniteFloat, Field(strict=True)]
Time: TypeAlias = StrictStr | StrictInt | Number
MOST_EXPLAINED = 20  # items in one request: each takes as long as many lists
ListLength = Annotated[StrictInt, Field(ge=1)]


class Request(BaseModel):
    """What all bodies have in common: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")

    @property
    def size(self) -> int:
        """Number of histories."""
        return 1

    def check(self, limits: Limits) -> None:
        """Raise an `InputError` if the request exceeds a limit."""
        k = getattr(self, "k", 1)
        if k > limits.k:
            raise InputError(f"k={k} is more than {limits.k}, the longest list that this service answers.")


class HistoriesRequest(Request):
    """One history or several, and what is known of their events.

    Attributes:
        LISTS: Fields with one list of ids for all histories, or one for each.
        EACH: All fields with a value for each history; the others are options of the whole request.
    """

    LISTS: ClassVar[tuple[str, ...]] = ()
    EACH: ClassVar[tuple[str, ...]] = ("history", "histories", "timestamps", "at", "columns")

    history: ItemIdList | None = Field(None, description="Raw ids of one user's items, oldest first.")
    histories: Annotated[list[ItemIdList], Field(min_length=1)] | None = Field(
        None, description="Histories of several users, in place of `history`."
    )
    timestamps: list[Time] | list[list[Time]] | None = Field(
        None,
        description="When the user took each item, laid out like the history or histories: ISO text, or numbers since "
        "1970. Required by models that read times (see `/model`), ignored by others.",
    )
    at: Time | list[Time] | None = Field(
        None,
        description='When the items are asked for: a time, `"now"`, or one for each history. Only for models that read '
        "it (see `/model`).",
    )
    columns: dict[str, list[Any]] | None = Field(
        None,
        description="Further event columns that the model reads (see `/model`), each laid out like the history or "
        'histories, such as `{"rating": [5, null, 3]}`.',
    )
    unsorted: Literal["sort", "error"] = Field(
        "sort", description="Whether to sort the items of a history whose timestamps go backwards, or to refuse it."
    )
    unknown: Literal["skip", "error"] = Field(
        "skip",
        description="Whether to leave out unknown items of histories, and list them, or to refuse the request.",
    )

    @model_validator(mode="after")
    def require_histories(self) -> Self:
        """Require one history or several, and as many values as histories."""
        if (self.history is None) == (self.histories is None):
            raise ValueError("Give either history, a list of item ids, or histories, a list of such lists.")
        for name, values in self.per_history().items():
            if len(values) != self.size:
                raise ValueError(f"{name} has {len(values)} entries for {self.size} histories. Give one for each.")
        return self

    @property
    def rows(self) -> list[ItemIdList]:
        """The histories, also if there is only one."""
        return [self.history or []] if self.histories is None else self.histories

    @property
    def size(self) -> int:
        """Number of histories."""
        return 1 if self.histories is None else len(self.histories)

    @property
    def num_answered(self) -> int:
        """Number of items in the answer, at most."""
        raise NotImplementedError

    def per_history(self) -> dict[str, list[Any]]:
        """Return the fields and columns that were given, with one entry for each history."""
        is_single = self.histories is None
        found: dict[str, list[Any]] = {}
        if self.timestamps is not None:
            found["timestamps"] = [self.timestamps] if is_single else self.timestamps
        if self.at is not None:
            found["at"] = self.at if isinstance(self.at, list) else [self.at] * self.size
        for name in self.LISTS:
            lists = getattr(self, name)
            if lists is not None:
                is_for_each = bool(lists) and isinstance(lists[0], list)
                found[name] = lists if is_for_each else [lists] * self.size
        for name, values in (self.columns or {}).items():
            found[f"columns.{name}"] = [values] if is_single else values
        return found

    def options(self) -> dict[str, Any]:
        """Return the options, which are the same for all histories."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in self.EACH}

    def check(self, limits: Limits) -> None:
        """Raise an `InputError` if there are too many histories, or a list is too long."""
        super().check(limits)
        if self.size > limits.histories:
            raise InputError(
                f"The request has {self.size:,} histories, more than {limits.histories:,}. Divide it into several."
            )
        if max(map(len, self.rows)) > limits.history_length:
            raise InputError(f"A history has more than {limits.history_length:,} items. Give only the newest ones.")
        given = self.per_history()
        for name in self.LISTS:
            if max(map(len, given.get(name, [[]]))) > limits.history_length:
                raise InputError(f"{name} has more than {limits.history_length:,} items. Shorten it.")
        if self.num_answered > limits.items:
            raise InputError(
                f"The answer would list {self.num_answered:,} items, more than {limits.items:,}. Divide the request "
                "into several."
            )


class RecommendRequest(HistoriesRequest):
    """A request for recommendations."""

    LISTS = ("allow", "deny")
    EACH = (*HistoriesRequest.EACH, *LISTS)

    k: ListLength = Field(10, description="Number of items for each history.")
    exclude_seen: StrictBool = Field(True, description="Whether to leave out the items of the history.")
    allow: OneOrEach | None = Field(
        None, description="The only ids that may be recommended: one list for all histories, or one for each."
    )
    deny: OneOrEach | None = Field(
        None, description="Ids that may not be recommended: one list for all histories, or one for each."
    )
    rank_by: dict[str, Number] | None = Field(
        None,
        description="Weights by which the best items are ranked again, for models with tasks, such as "
        '`{"next_item": 1, "rating": 0.2}`.',
    )
    rerank_from: ListLength = Field(
        100, description="Number of best items that `rank_by` ranks again and diverse lists are chosen from."
    )
    where: StrictStr | None = Field(
        None, description="A condition on the columns of the items, such as `year >= 1990 and 'Comedy' in genres`."
    )
    min_score: Number | None = Field(None, description="Items that score lower are left out.")
    diversity: Number = Field(0.0, ge=0, le=1, description="From 0, the best items, to 1, the most diverse ones.")
    method: Literal["mmr", "dpp", "calibrated"] = Field("mmr", description="How lists become diverse.")
    diversify_by: StrictStr = Field("vectors", description="`vectors`, or the column of the items to compare them by.")
    max_per: dict[str, ListLength] | None = Field(
        None, description='Most items of one category in a list, by column, such as `{"genres": 3}`.'
    )
    popularity_penalty: Number = Field(0.0, ge=0, description="Strength of preferring less popular items.")
    exploration: Number = Field(0.0, ge=0, description="Temperature of drawing items instead of taking the best.")
    seed: Annotated[StrictInt, Field(ge=0)] | None = Field(None, description="Makes what is drawn the same each time.")

    @property
    def num_answered(self) -> int:
        """Number of items in the answer, at most."""
        return self.size * self.k


class PredictRequest(HistoriesRequest):
    """A request for predictions of ratings, clicks and other outcomes."""

    LISTS = ("candidates",)
    EACH = (*HistoriesRequest.EACH, *LISTS)

    candidates: OneOrEach = Field(
        description="Ids of the items to predict for: one list for all histories, or one for each."
    )

    @property
    def num_answered(self) -> int:
        """Number of items in the answer."""
        return sum(map(len, self.per_history()["candidates"]))


class ExplainRequest(Request):
    """A request for reasons: how much each past item contributes to the scores of items."""

    history: Annotated[list[ItemId], Field(min_length=1)] = Field(
        description="Raw ids of one user's items, oldest first."
    )
    item_ids: Annotated[list[ItemId], Field(min_length=1, max_length=MOST_EXPLAINED)] = Field(
        description="Ids of the items whose scores are explained."
    )
    method: Literal["leave_one_out", "integrated_gradients", "attention_rollout"] = Field(
        "leave_one_out", description="How contributions are computed."
    )
    timestamps: list[Time] | None = Field(None, description="As in `/recommend`.")
    at: Time | None = Field(None, description="As in `/recommend`.")
    columns: dict[str, list[Any]] | None = Field(None, description="As in `/recommend`.")
    unsorted: Literal["sort", "error"] = Field("sort", description="As in `/recommend`.")
    unknown: Literal["skip", "error"] = Field("skip", description="As in `/recommend`.")

    def check(self, limits: Limits) -> None:
        """Raise an `InputError` if the history is too long."""
        if len(self.history) > limits.history_length:
            raise InputError(f"The history has more than {limits.history_length:,} items. Give only the newest ones.")


class SimilarRequest(Request):
    """A request for similar items."""

    item_id: ItemId = Field(description="Raw id of an item.")
    k: ListLength = Field(10, description="Number of items.")
