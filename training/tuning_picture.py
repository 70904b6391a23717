"""The picture of a search: the score of each trial with the best one so far, and which settings mattered."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from seqrec.evaluation.picture_style import BLUE, GREY, TEXT_GREY, picture
from seqrec.training.tuning_study import DEFAULTS, best_value, ended_trials

__all__ = ["importances", "save_tuning_picture"]

FEWEST_TRIALS = 8  # of which importances say anything
MOST_BARS = 10


def save_tuning_picture(study: optuna.Study, path: Path, *, metric: str) -> None:
    """Draw the picture of a search as a PNG.

    Args:
        study: The study.
        path: The file to write.
        metric: The metric that compares trials.
    """
    trials = ended_trials(study)
    trials = [trial for trial in trials if best_value(study, trial) is not None]
    mattering = importances(study, trials)
    with picture(path, 11, 4.2, title=f"Trials of a search: best validation {metric}") as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        draw_scores(left, study, trials, metric)
        draw_importances(right, mattering)


def draw_scores(axis: Axes, study: optuna.Study, trials: list[FrozenTrial], metric: str) -> None:
    """Draw a point for each trial, and a line for the best one so far, with marks for the defaults and the best."""
    choose = max if study.direction == StudyDirection.MAXIMIZE else min
    places = [trial.number for trial in trials]
    values: list[Any] = [best_value(study, trial) for trial in trials]
    done = [trial.state == TrialState.COMPLETE for trial in trials]
    so_far = [choose(values[: end + 1]) for end in range(len(values))]
    for is_done, colour, name in ((True, BLUE, "trial"), (False, GREY, "pruned trial")):
        chosen = [(place, value) for place, value, one in zip(places, values, done, strict=True) if one == is_done]
        if chosen:
            axis.plot(*zip(*chosen, strict=True), "o", color=colour, markersize=4, label=name)
    axis.step(places, so_far, where="post", color=BLUE, linewidth=1, alpha=0.6, label="best so far")
    default = next((value for trial, value in zip(trials, values, strict=True) if trial.user_attrs.get(DEFAULTS)), None)
    if default is not None:
        axis.axhline(default, color=TEXT_GREY, linewidth=1, linestyle=":", label=f"defaults: {default:.4f}")
    if values:
        best = choose(values)
        axis.plot([places[values.index(best)]], [best], "*", color=BLUE, markersize=13, label=f"best: {best:.4f}")
    axis.set_xlabel("trial")
    axis.set_ylabel(f"best validation {metric}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)
    axis.figure.legend(loc="outside upper left", ncols=5, frameon=False, fontsize=9)


def draw_importances(axis: Axes, mattering: Mapping[str, float]) -> None:
    """Draw a bar for each setting, the most important one above; without importances, say why there are none."""
    axis.set_xlabel("share of the importance (PED-ANOVA)")
    axis.spines[["top", "right"]].set_visible(False)
    if not mattering:
        axis.text(
            0.5,
            0.5,
            f"Fewer than {FEWEST_TRIALS} trials do not\nshow which settings matter.",
            ha="center",
            va="center",
            color=TEXT_GREY,
            transform=axis.transAxes,
        )
        axis.set_xticks([])
        axis.set_yticks([])
        return
    shown = dict(list(mattering.items())[:MOST_BARS])
    bars = axis.barh(list(shown), list(shown.values()), color=BLUE, height=0.7)
    axis.bar_label(bars, fmt="{:.0%}", padding=3, fontsize=8, color=TEXT_GREY)
    axis.invert_yaxis()
    axis.margins(x=0.12)  # room for the labels
    axis.tick_params(axis="y", length=0, labelsize=9)
    axis.xaxis.set_major_formatter("{x:.0%}")


def importances(study: optuna.Study, trials: list[FrozenTrial]) -> dict[str, float]:
    """Estimate how much each setting matters for being among the best trials, as shares of 1, the largest first.

    PED-ANOVA (Watanabe, Bansal & Hutter, IJCAI 2023). Pruned trials count with their best evaluation: without them, bad
    values of a setting would be missing. Empty with fewer than `FEWEST_TRIALS` trials.
    """
    if len(trials) < FEWEST_TRIALS:
        return {}
    copy = optuna.create_study(direction=study.direction, storage=optuna.storages.InMemoryStorage())
    copy.add_trials(
        [
            create_trial(params=trial.params, distributions=trial.distributions, value=best_value(study, trial))
            for trial in trials
            if trial.params
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that the evaluator may change
        evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
        found = get_param_importances(copy, evaluator=evaluator, normalize=False)
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}
