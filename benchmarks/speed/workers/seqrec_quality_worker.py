"""Measures the time from the table on disk to a given validation NDCG@10, with a recipe of `seqrec train`.

Validates after every epoch, as the recipe does, but saves no checkpoints and does not evaluate on test.
"""

import tempfile
import time
from typing import Any

from protocol import Channel, Message, serve
from transformers import TrainerCallback, TrainerControl, TrainerState, set_seed

from seqrec import AutoModelForNextItem, SequentialTrainer
from seqrec.cli.train_flags import config_flags, train_parser, with_config_file
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


if __name__ == "__main__":
    serve({"train": train})
