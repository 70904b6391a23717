"""What a search is about, kept next to its trials so that only the same search is continued."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqrec.errors import InputError
from seqrec.hub.json_objects import read_json_object
from seqrec.interactions.whole_files import write_text_whole

__all__ = ["PLAN", "make_plan", "require_same_plan", "write_plan"]

PLAN = "plan.json"
NOT_GIVEN = "not given"
# Settings without effect on which model is found; the data are compared by their content.
FREE = {
    *("dataset", "items", "quiet", "disable_tqdm", "license", "push_to_hub", "hub_model_id", "hub_private_repo"),
    *("hub_token", "hub_revision", "hub_strategy", "per_device_eval_batch_size", "report_to", "run_name"),
    *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor", "logging_strategy"),
}


def make_plan(
    settings: Mapping[str, Any], protocol: Mapping[str, Any], search: Sequence[str] | None, **others: Any
) -> dict[str, Any]:
    """Return what determines a search, except for its budget.

    Args:
        settings: The settings that were given, by name.
        protocol: The protocol of the prepared data.
        search: The names of the settings to vary, if they were given.
        **others: What else determines it, such as `model_type`.
    """
    given = {name: value for name, value in settings.items() if name not in FREE}
    plan = {"data": protocol["split_sha256"], "search": search, **others, "settings": given}
    return json.loads(json.dumps(plan, default=str))


def write_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write a plan into the folder of a search."""
    write_text_whole(folder / PLAN, json.dumps(plan, indent=2) + "\n")


def require_same_plan(folder: Path, plan: Mapping[str, Any], output_dir: str) -> None:
    """Raise an `InputError` if a folder holds the trials of another search."""
    made = read_json_object(str(folder / PLAN))
    before, now = ({**one, **one.get("settings", {})} for one in (made, plan))
    names = [
        name
        for name in {**before, **now}
        if name != "settings" and before.get(name, NOT_GIVEN) != now.get(name, NOT_GIVEN)
    ]
    if names:
        raise InputError(
            f"{output_dir} holds another search: {'; '.join(difference(name, before, now) for name in names)}. "
            "Choose another `output_dir`, or start a new search there with overwrite=True."
        )


def difference(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe a difference between two plans."""
    if name == "data":
        return "its interactions, or their split, are others"
    words = [one.get(name, NOT_GIVEN) for one in (before, now)]
    return f"{name} was {shown(words[0])} and is now {shown(words[1])}"


def shown(value: Any) -> str:
    """Return a value as it is written in Python; `NOT_GIVEN` as it is."""
    return NOT_GIVEN if value in (None, NOT_GIVEN) else repr(value)
