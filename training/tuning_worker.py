"""A process of a search: `python -m seqrec.training.tuning_worker TASK`, started by `search_in_processes`."""

import json
import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.settings import sort_settings
from seqrec.training.tuning_bench import Request, make_bench
from seqrec.training.tuning_budget import Clock
from seqrec.training.tuning_processes import PREPARED
from seqrec.training.tuning_study import open_study, quiet_optuna
from seqrec.training.tuning_trial import search

__all__ = ["main"]


def main(text: str) -> None:
    """Run trials until the budget is used up."""
    task = json.loads(text)
    sys.path.append("")
    for name in task["modules"]:
        import_module(name)
    torch.set_num_threads(task["threads"])
    request = Request(**task["request"])
    folder = Path(task["folder"])
    arguments = SequentialTrainingArguments(
        **{**sort_settings(request.given, request.model_type).training, "output_dir": str(folder)}
    )
    data = DataArguments(dataset=str(folder / PREPARED))
    with quiet_optuna():
        bench = make_bench(request, arguments, data, prepare, folder=folder, clock=Clock(**task["clock"]))
        bench.on_step = partial(end_with, task["parent"])
        study = open_study(folder, seed=task["seed"], greater_is_better=arguments.greater_is_better is not False)
        search(bench, study, task["trials"])


def end_with(parent: int, *_: Any) -> None:
    """End this process if the one that started it has ended, such as by being killed."""
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
