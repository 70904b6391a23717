"""Measures the quality of this library's models, validated after each epoch.

`train`: the time from the table on disk to a given validation NDCG@10, with a recipe of `seqrec train`; it saves no
checkpoints and does not evaluate on test. `best_epoch`: test NDCG@10 of the epoch that is best in validation.
"""

import tempfile
import time
from itertools import count
from typing import Any

from protocol import Channel, Message, serve
from seqrec_data import load_sequences
from seqrec_worker import build_model
from transformers import TrainerCallback, TrainerControl, TrainerState, set_seed

from seqrec import AutoModelForNextItem, SequentialTrainer, SequentialTrainingArguments
from seqrec.cli.config_file import with_config_file
from seqrec.cli.train_flags import config_flags, train_parser
from seqrec.interactions.preparation import prepare
from seqrec.modeling.modeling_auto import MODEL_TYPES

ONLY_VALIDATION = ("--save_strategy=no", "--load_best_model_at_end=false", "--report_to=none", "--disable_tqdm=true")


class StopAtQuality(TrainerCallback):
    """Reports every validation to the harness, and stops at the quality or the time limit."""

    def __init__(self, settings: Message, channel: Channel, start: float) -> None:
        self.settings, self.channel, self.start = settings, channel, start
        self.last: Message = {}

    def on_evaluate(
        self, arguments: Any, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **kwargs: Any
    ) -> None:
        """Report one validation."""
        seconds = time.perf_counter() - self.start
        ndcg = metrics["eval_ndcg@10"]
        self.last = {"epoch": state.epoch, "ndcg@10": ndcg, "reached": ndcg >= self.settings["quality"]}
        self.channel.send({**self.last, "elapsed": seconds, "cpu_elapsed": time.process_time()})
        if self.last["reached"] or seconds > self.settings["limit_seconds"]:
            control.should_training_stop = True


class ReportEpochs(TrainerCallback):
    """Reports every validation to the harness, and measures how long validation takes."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.seconds = self.start = 0.0
        self.epochs: list[Message] = []

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Start the clock; validation follows."""
        self.start = time.perf_counter()

    def on_evaluate(
        self, arguments: Any, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **kwargs: Any
    ) -> None:
        """Report one validation."""
        self.seconds += time.perf_counter() - self.start
        self.epochs.append({"best_epoch": state.epoch, "validation_ndcg@10": metrics["eval_ndcg@10"]})
        self.channel.send(self.epochs[-1])

    @property
    def best(self) -> Message:
        """The best epoch, and its validation NDCG@10; of equal ones the first, which the Trainer keeps too."""
        return max(self.epochs, key=lambda epoch: epoch["validation_ndcg@10"])


def train(request: Message, channel: Channel) -> None:
    """Train once; units are epochs."""
    settings = request["settings"]
    channel.ready()
    channel.receive()
    start, cpu_start = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--config", settings["recipe"], "--dataset", request["data"], "--output_dir", folder, *ONLY_VALIDATION]
        flags = with_config_file(flags)
        data_arguments, arguments, rest = train_parser(flags).parse_args_into_dataclasses(flags)
        options = vars(rest)
        names = config_flags(options["model_type"])
        fields = {name: options[name] for name in names if options[name] is not None}
        set_seed(arguments.seed)
        data = prepare(data_arguments)
        config = MODEL_TYPES[options["model_type"]](vocab_size=len(data.tokenizer), **fields)
        callback = StopAtQuality(settings, channel, start)
        SequentialTrainer(
            AutoModelForNextItem.from_config(config),
            arguments,
            processing_class=data.tokenizer,
            train_dataset=data.sequences["train"],
            eval_dataset=data.sequences["validation"],
            callbacks=[callback],
        ).train()
    channel.answer(
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu_start,
        units=callback.last["epoch"],
        **callback.last,
    )
    channel.receive()


def best_epoch(request: Message, channel: Channel) -> None:
    """Train with another seed in each turn; units are epochs.

    Training reads the newest events that fill one row for each user, as RecTools does, instead of all.
    """
    settings = request["settings"]
    sequences, tokenizer = load_sequences(request["data"], settings["config"]["max_position_embeddings"] + 1)
    channel.ready()
    for seed in count(settings["first_seed"]):
        channel.receive()
        start = time.perf_counter()
        report = ReportEpochs(channel)
        with tempfile.TemporaryDirectory() as folder:
            trainer = SequentialTrainer(
                build_model(len(tokenizer), settings, seed),
                SequentialTrainingArguments(
                    output_dir=folder,
                    seed=seed,
                    num_train_epochs=settings["epochs"],
                    per_device_train_batch_size=settings["batch_size"],
                    bf16=settings["bf16"],
                    learning_rate=1e-3,
                    lr_scheduler_type="constant",
                    early_stopping_patience=0,
                    use_cpu=True,
                    report_to="none",
                    disable_tqdm=True,
                ),
                processing_class=tokenizer,
                train_dataset=sequences["train"],
                eval_dataset=sequences["validation"],
                callbacks=[report],
            )
            trainer.train()
        train_seconds = time.perf_counter() - start - report.seconds
        channel.answer(
            **report.best,
            **trainer.evaluate(sequences["test"], metric_key_prefix="test"),
            units=settings["epochs"],
            seed=seed,
            train_seconds=train_seconds,
            num_targets=len(sequences["test"]),
            num_items=tokenizer.num_items,
            seconds=time.perf_counter() - start,
        )


if __name__ == "__main__":
    serve({"train": train, "best_epoch": best_epoch})
