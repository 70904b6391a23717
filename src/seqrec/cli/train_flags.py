"""The flags of `seqrec train`: those of the data, of `TrainingArguments`, and of the chosen architecture."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from transformers.hf_argparser import string_to_bool

from seqrec.cli.collected_values import Collect, names, numbers, weights
from seqrec.cli.dataclass_parser import DataclassParser
from seqrec.cli.parsers import FlagParser, finite_number, number_or_none, true_or_false
from seqrec.cli.train_command import own_flags
from seqrec.configuration.config_fields import TRAINING, default_of, help_of, own_fields, purpose_of
from seqrec.interactions.data_arguments import DataArguments
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.default_rule import CHOSEN_ARGUMENTS, CHOSEN_FIELDS
from seqrec.training.device_choice import device_settings
from seqrec.training.starting_point import chosen_model_type, require_one_start

__all__ = ["config_flags", "device_flags", "given_flags", "train_parser"]

FLAGS = ("architecture", "numerics", *TRAINING, "initialization")  # fields that the command line sets, by purpose
# Of the TrainingArguments' many flags, those that `train --help` shows.
COMMON_FLAGS = {
    *("output_dir", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size", "learning_rate"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "gradient_accumulation_steps", "bf16", "torch_compile"),
    *("seed", "metric_for_best_model", "early_stopping_patience", "packing", "exclude_seen", "report_to"),
    *("resume_from_checkpoint", "push_to_hub", "hub_model_id", "license", "disable_tqdm", "quiet"),
}
FROM_DATA = "(default: chosen for the data)"
# Fields that hold several values, separated by commas, and what reads a text of them.
COLLECTED: dict[str, Any] = {"tasks": names, "past_labels": names, "rating_scale": numbers, "task_weights": weights}
PLACEHOLDERS: dict[Any, str] = {
    names: "NAME,NAME",
    numbers: "FLOAT,FLOAT",
    weights: "NAME=FLOAT,NAME=FLOAT",
    int: "INT",
    float: "FLOAT",
    finite_number: "FLOAT",
    number_or_none: "FLOAT|none",
    string_to_bool: "BOOL",
    true_or_false: "BOOL",
}


def train_parser(argv: Sequence[str], own: FlagParser | None = None) -> DataclassParser:
    """Build the parser of `seqrec train`, with the flags of the architecture that `argv` names.

    Args:
        argv: The words of the command line.
        own: A parser of the flags that no dataclass declares, for another command; it has those of `seqrec train` too.
    """
    own = own or own_flags(MODEL_TYPES)
    flags = own.parse_known_args(argv)[0]
    with own.naming_flags():
        start = require_one_start(flags.model_name_or_path, flags.init_from)
        model_type = chosen_model_type(flags.model_type, start, flags.model_revision)
    own.set_defaults(model_type=model_type)
    parser = DataclassParser(
        [DataArguments, SequentialTrainingArguments],
        prog=own.prog,
        usage=f"{own.prog} --dataset DATA --output_dir DIR [flags]",
        parents=[own],
        description="Train a model on interactions, select its best epoch by validation, evaluate it on test, "
        "and save it.",
        epilog="All flags of transformers.TrainingArguments work; --help_all lists them. Flags may also be set in a "
        "YAML file (--config FILE.yaml); the command line takes precedence.",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=40, width=110),
    )
    model_group = parser.add_argument_group(f"model ({model_type})")
    for name, (default, text) in config_flags(model_type).items():
        if name in COLLECTED:
            settings = {"nargs": "+", "action": Collect, "type": COLLECTED[name]}
            told = ", ".join(default or ()) or "none"
            model_group.add_argument(f"--{name}", **settings, help=f"{text} (default: {told})")
            continue
        if isinstance(default, list):  # the others that are flags hold integers
            model_group.add_argument(f"--{name}", type=int, nargs="+", help=f"{text} (default: none)")
            continue
        kind = number_or_none if default is None else type(default)  # fields that may be None are numbers
        told = FROM_DATA if name in CHOSEN_FIELDS else f"(default: {default})"
        model_group.add_argument(f"--{name}", type=kind, help=f"{text} {told}")
    parser.add_argument("--help_all", action="help", help="Show all flags.")
    rare = {field.name for field in fields(SequentialTrainingArguments)} - COMMON_FLAGS
    tidy_help(parser, hidden=set() if "--help_all" in argv else rare)
    return parser


def tidy_help(parser: argparse.ArgumentParser, hidden: set[str]) -> None:
    """Make a long help readable: one spelling for each flag, short placeholders, defaults shown, `hidden` left out."""
    for action in parser._actions:
        if action.dest in hidden or action.option_strings[0].startswith("--no_"):
            action.help = argparse.SUPPRESS
            continue
        action.option_strings = [name for name in action.option_strings if "-" not in name.lstrip("-")]
        if action.nargs != 0:
            action.metavar = PLACEHOLDERS.get(action.type, "TEXT")
        if action.choices and len(list(action.choices)) <= 3:
            action.metavar = "|".join(map(str, action.choices))
        if action.help and action.dest in CHOSEN_ARGUMENTS:
            action.help += f" {FROM_DATA}"
        if action.help and "default" not in action.help.lower() and action.default not in (None, argparse.SUPPRESS):
            action.help += f" (default: {getattr(action.default, 'value', action.default)})"


def config_flags(model_type: str) -> dict[str, tuple[Any, str]]:
    """Map each field of an architecture's configuration that is a flag to its default and help text."""
    return {
        field.name: (default_of(field), help_of(field))
        for field in own_fields(MODEL_TYPES[model_type])
        if purpose_of(field) in FLAGS
    }


def device_flags(argv: Sequence[str]) -> list[str]:
    """Translate `--device` into a flag of `TrainingArguments`, which select the accelerator themselves.

    Raises:
        InputError: If the device does not exist, or training cannot be restricted to it.
    """
    parser = FlagParser(prog="seqrec train", add_help=False)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--use_cpu", "--use-cpu", type=string_to_bool, nargs="?", const=True)
    flags = parser.parse_known_args(argv)[0]
    settings = device_settings(flags.device, flags.use_cpu)
    return [word for name, value in settings.items() for word in (f"--{name}", str(value).lower())]


def given_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """Return the flags that a command line gives, by name, without the defaults of the others."""
    defaults = [(action, action.default) for action in parser._actions]
    try:
        for action in parser._actions:
            action.default = argparse.SUPPRESS
        return vars(parser.parse_known_args(argv, argparse.Namespace())[0])
    finally:
        for action, default in defaults:
            action.default = default
