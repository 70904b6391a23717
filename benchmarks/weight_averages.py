"""Compare the weights of a training with running averages of them.

    python benchmarks/weight_averages.py --config benchmarks/recipes/sasrec-rotary-ml-1m.yaml --dataset ml-1m \
        --seed 42 --output_dir runs/averages

Averages do not influence the training, so that one training measures all of them: exponential moving averages of
several decays, and the mean of the weights after the last epochs. Each is validated after each epoch; its best epoch is
evaluated on test once. Prints a table and writes it to `weight_averages.json` in the output folder.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import set_seed

from seqrec.evaluation.metrics import ranking_metrics
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import load_model_and_data
from seqrec.training.settings import sort_settings
from seqrec.training.trainer import SequentialTrainer
from seqrec.training.weight_average import WeightAverage

DECAYS = (0.99, 0.999, 0.9995)
LAST_EPOCHS = 5
METRIC = "ndcg@10"


class MeasuredAverages(SequentialTrainer):
    """A trainer that also validates averages of its weights."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: dict[str, WeightAverage] = {}
        self.epochs: list[list[torch.Tensor]] = []
        self.best: dict[str, tuple[float, float, list[torch.Tensor]]] = {}  # score, epoch, weights

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Take in the weights before each step, which are those after the one before it."""
        if not self.kept:
            self.kept = {f"decay {decay}": WeightAverage(self.model, decay) for decay in DECAYS}
        for average in self.kept.values():
            average.update()
        return super().training_step(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate the weights and all averages."""
        found = super().evaluate(*args, **kwargs)
        if not self.kept:
            return found
        parameters = next(iter(self.kept.values())).parameters.values()
        weights = [one.detach().clone() for one in parameters]
        self.epochs = [*self.epochs, weights][-LAST_EPOCHS:]
        self.keep("weights", weights, found[f"eval_{METRIC}"])
        for name, average in self.kept.items():
            self.validate(name, average.averages)
        mean = [torch.stack(same).mean(dim=0) for same in zip(*self.epochs, strict=True)]
        self.validate(f"mean of {LAST_EPOCHS} epochs", mean)
        return found

    def validate(self, name: str, weights: list[torch.Tensor]) -> None:
        """Validate other weights than those being trained."""
        self.keep(name, weights, self.score(weights, self.eval_dataset))

    def score(self, weights: list[torch.Tensor], rows: Any) -> float:
        """Return NDCG@10 of other weights than those being trained."""
        parameters = list(next(iter(self.kept.values())).parameters.values())
        trained = [one.detach().clone() for one in parameters]
        with torch.no_grad():
            torch._foreach_copy_(parameters, weights)
            ranks_U = self.rank(rows).ranks_U
            torch._foreach_copy_(parameters, trained)
        return ranking_metrics(ranks_U, (10,))[METRIC]

    def keep(self, name: str, weights: list[torch.Tensor], score: float) -> None:
        """Keep weights if they are the best of their name."""
        if score > self.best.get(name, (-1.0,))[0]:
            self.best[name] = (score, self.state.epoch or 0, [one.clone() for one in weights])


def measured_trainer(settings: dict[str, Any], dataset: str, folder: Path) -> tuple[MeasuredAverages, PreparedData]:
    """Return the trainer of a recipe, and its data."""
    model_type = settings.pop("model_type")
    sorted_ = sort_settings(settings, model_type)
    data = DataArguments(dataset=dataset, **sorted_.data)
    arguments = SequentialTrainingArguments(output_dir=str(folder), **sorted_.training)
    set_seed(arguments.seed)
    model, prepared, _ = load_model_and_data(data, prepare, model_type, sorted_.config, arguments, None)
    trainer = MeasuredAverages(
        model,
        arguments,
        processing_class=prepared.tokenizer,
        train_dataset=prepared.sequences["train"],
        eval_dataset=prepared.sequences["validation"],
        items=prepared.items,
    )
    return trainer, prepared


def main() -> None:
    """Train, and print validation and test of the weights and their averages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output_dir", type=Path, required=True)
    arguments = parser.parse_args()
    settings = yaml.safe_load(arguments.config.read_text(encoding="utf-8")) | {"seed": arguments.seed}
    trainer, data = measured_trainer(settings, arguments.dataset, arguments.output_dir)
    trainer.train()
    found = {
        name: {"validation": score, "epoch": epoch, "test": trainer.score(weights, data.sequences["test"])}
        for name, (score, epoch, weights) in trainer.best.items()
    }
    (arguments.output_dir / "weight_averages.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, one in found.items():
        print(f"{name:20} validation {one['validation']:.4f} at epoch {one['epoch']:.0f}, test {one['test']:.4f}")


if __name__ == "__main__":
    main()
