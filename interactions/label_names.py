"""Names of label tasks and of the columns that hold their labels."""

__all__ = ["CLICK", "RATING", "labels_key", "target_key"]

RATING = "rating"  # the task of regression; all others are binary
CLICK = "click"  # the task whose zeros are impressions, rather than events


def target_key(task: str) -> str:
    """Return the name of the column of held-out rows that holds the label of their target."""
    return f"target_{task}"


def labels_key(task: str) -> str:
    """Return the name of a batch's tensor that holds the labels of the items to predict."""
    return f"{task}_labels"
