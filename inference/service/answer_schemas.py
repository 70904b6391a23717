"""The bodies of answers, for the documentation of the API. What is sent is built as plain dictionaries."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ExplainAnswer",
    "Failure",
    "ModelAnswer",
    "PredictAnswer",
    "RecommendAnswer",
    "ReloadAnswer",
    "SimilarAnswer",
    "Status",
]


class Failure(BaseModel):
    """An error."""

    error: str = Field(description="What was given, what was expected, and what to do.")


class Item(BaseModel):
    """One item of a list, best first."""

    item_id: str
    score: float = Field(description="Compare scores only within one list.")
    title: str | None


class HistoryAnswer(BaseModel):
    """What the service says about one history."""

    unknown_items: list[str] = Field(
        description="Items of the history that the model does not know. They are left out."
    )
    answered_by: Literal["model", "popularity"] = Field(
        description="`popularity` if no known item was left: the most popular items, or predictions by the item alone."
    )


class Recommended(HistoryAnswer):
    """Recommendations for one history."""

    items: list[Item]


class Prediction(BaseModel):
    """What is predicted for a candidate: a number for each task of the model, such as `rating`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    item_id: str


class Predicted(HistoryAnswer):
    """Predictions for one history."""

    items: list[Prediction]


class Answer(BaseModel):
    """What all answers of a model have in common."""

    model_version: str = Field(description="The version that `/model` tells.")


class RecommendAnswer(Answer):
    """Recommendations."""

    results: list[Recommended] = Field(description="One for each history, in their order.")


class PredictAnswer(Answer):
    """Predictions."""

    results: list[Predicted] = Field(description="One for each history, in their order.")


class SimilarAnswer(Answer):
    """Similar items."""

    items: list[Item] = Field(description="The score is the cosine similarity of the items' vectors.")


class Reason(BaseModel):
    """A past item, or another source, and what it contributes to a score; see `Recommender.explain`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    source: str = Field(description="`item` for a past item.")
    position: int | None = Field(description="0 for the newest item of the history.")
    item_id: str | None
    title: str | None
    contribution: float


class Explained(BaseModel):
    """The reasons for one item, the highest contribution first."""

    item_id: str
    reasons: list[Reason]


class ExplainAnswer(Answer):
    """Reasons."""

    results: list[Explained] = Field(description="One for each item, in their order.")
    unknown_items: list[str]


class Status(BaseModel):
    """The state of the service."""

    status: str


class Reads(BaseModel):
    """What the model reads of a history."""

    timestamps: bool = Field(description="Whether `timestamps` are required.")
    at: bool = Field(description="Whether `at` has an effect.")
    columns: list[str] = Field(description="The further event columns; those of past labels may be left out.")
    max_history_length: int = Field(description="The number of newest items that the model reads.")


class Reload(BaseModel):
    """The latest attempt to replace the model."""

    time: str = Field(description="When, in UTC.")
    result: Literal["replaced", "failed"]
    error: str | None = Field(description="Why it failed. The model before is still in use.")


class ModelAnswer(BaseModel):
    """The model that answers."""

    name: str
    version: str = Field(description="Changes with weights, configuration, vocabulary and catalogue.")
    weights_sha256: str | None
    model_type: str
    loaded_at: str = Field(description="When it was loaded, in UTC.")
    num_items: int
    num_hidden_items: int
    reads: Reads
    tasks: list[str] = Field(description="The tasks that `/predict` answers.")
    protocol: dict[str, Any] | None = Field(description="How the model was trained and evaluated.")
    last_reload: Reload | None


class ReloadAnswer(BaseModel):
    """The result of looking for a new model."""

    changed: bool = Field(description="Whether another model answers now.")
    model_version: str
