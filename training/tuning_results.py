"""What a search leaves next to its model: a recipe, a table of the trials, and a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import polars as pl
import yaml
from optuna.trial import FrozenTrial

from seqrec.interactions.whole_files import whole_file, write_text_whole
from seqrec.training.default_rule import CHOSEN_FIELDS
from seqrec.training.settings import NONE
from seqrec.training.tuning_picture import save_tuning_picture
from seqrec.training.tuning_study import best_value, ended_trials

__all__ = ["save_results"]

RECIPE, TRIALS, PICTURE = "recipe.yaml", "trials.parquet", "tune.png"
# Settings of one run, which a recipe leaves to the command line.
OF_A_RUN = {
    *("output_dir", "quiet", "disable_tqdm", "push_to_hub", "hub_model_id", "hub_token", "hub_revision", "use_cpu"),
    *("hub_strategy", "hub_private_repo", "report_to", "run_name"),
}
FACTS = ("outcome", "seconds", "num_epochs", "best_epoch", "num_parameters")


def save_results(folder: Path, study: optuna.Study, *, recipe: Mapping[str, Any], metric: str) -> None:
    """Write the recipe, the table and the picture of a search.

    Args:
        folder: Where to write them.
        study: The study.
        recipe: All settings of the best trial, by name.
        metric: The metric that compares trials.
    """
    ended = ended_trials(study)
    write_text_whole(folder / RECIPE, recipe_text(recipe, metric))
    with whole_file(folder / TRIALS) as part:
        trials_table(study, ended).write_parquet(part)
    with whole_file(folder / PICTURE) as part:
        save_tuning_picture(study, part, metric=metric)


def recipe_text(recipe: Mapping[str, Any], metric: str) -> str:
    """Return settings as a file for `seqrec train --config`."""
    stated = {name: NONE if value is None and name in CHOSEN_FIELDS else value for name, value in recipe.items()}
    lines = {
        name: plain(value) for name, value in stated.items() if name not in OF_A_RUN and value not in (None, [], {})
    }
    head = (
        f"# The best settings that seqrec tune found, by {metric} on validation:\n#   seqrec train --config recipe.yaml"
    )
    where = "" if "dataset" in lines else " --dataset DATA"
    return f"{head}{where} --output_dir DIR\n{yaml.safe_dump(lines, sort_keys=False, allow_unicode=True)}"


def trials_table(study: optuna.Study, trials: list[FrozenTrial]) -> pl.DataFrame:
    """Return a table with a row for each trial that has ended: its outcome, value, and settings.

    Columns: number, state ("complete" or "pruned"), value (the best one of the metric; null if there is none), outcome
    ("done", "pruned", "time" if its time was over, or why it failed), seconds, num_epochs, best_epoch, num_parameters,
    began (UTC), and a column for each setting; null where a setting had no effect.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.user_attrs.get("settings", {}))
    columns: dict[str, list[Any]] = {
        "number": [trial.number for trial in trials],
        "state": [trial.state.name.lower() for trial in trials],
        "value": [best_value(study, trial) for trial in trials],
        **{fact: [trial.user_attrs.get(fact) for trial in trials] for fact in FACTS},
        **{name: [trial.user_attrs.get("settings", {}).get(name) for trial in trials] for name in names},
    }
    return pl.DataFrame(columns, strict=False)


def plain(value: Any) -> Any:
    """Return a value as a file holds it: that of an enumeration, and a whole number as such."""
    value = getattr(value, "value", value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) >= 1 else value
