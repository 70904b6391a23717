"""The flags of `seqrec train`: those of the data, of `TrainingArguments`, and of the chosen architecture."""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from transformers.hf_argparser import string_to_bool

from seqrec.cli.parsers import DataclassParser, FlagParser, finite_number
from seqrec.configuration.config_fields import TRAINING, help_of, own_fields, purpose_of
from seqrec.errors import InputError
from seqrec.hub.saved_folder import saved_model_type
from seqrec.interactions.one_line import one_line
from seqrec.interactions.preparation import DataArguments
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.device_choice import device_settings

__all__ = ["DEVICE_HELP", "config_flags", "device_flags", "train_parser", "with_config_file"]

FLAGS = ("architecture", "numerics", *TRAINING, "initialization")  # fields that the command line sets, by purpose
# Of the TrainingArguments' many flags, those that `train --help` shows.
COMMON_FLAGS = {
    *("output_dir", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size", "learning_rate"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "gradient_accumulation_steps", "bf16", "torch_compile"),
    *("seed", "metric_for_best_model", "early_stopping_patience", "packing", "exclude_seen", "report_to"),
    *("resume_from_checkpoint", "push_to_hub", "hub_model_id", "license", "disable_tqdm", "quiet"),
}
NOT_IN_A_FILE = {"config", "help", "help_all"}
DEVICE_HELP = "auto (default: the GPU if there is one), cpu, cuda, cuda:1, mps, …"
PLACEHOLDERS: dict[Any, str] = {int: "INT", float: "FLOAT", finite_number: "FLOAT", string_to_bool: "BOOL"}


def train_parser(argv: Sequence[str]) -> DataclassParser:
    """Build the parser of `seqrec train`, with the flags of the architecture that `argv` names."""
    first = FlagParser(prog="seqrec train", add_help=False)
    first.add_argument("--model_type", choices=sorted(MODEL_TYPES), help="Architecture (default: sasrec).")
    first.add_argument(
        "--model_name_or_path",
        help="Folder or Hub repository of a model to fine-tune, instead of training from scratch.",
    )
    first.add_argument("--model_revision", help="Branch, commit or refs/pr/NUMBER of its repository (default: main).")
    model_type = chosen_model_type(first.parse_known_args(argv)[0])
    first.set_defaults(model_type=model_type)
    parser = DataclassParser(
        [DataArguments, SequentialTrainingArguments],
        prog="seqrec train",
        usage="seqrec train --dataset DATA --output_dir DIR [flags]",
        parents=[first],
        description="Train a model on interactions, select its best epoch by validation, evaluate it on test, "
        "and save it.",
        epilog="All flags of transformers.TrainingArguments work; --help_all lists them. Flags may also be set in a "
        "YAML file (--config FILE.yaml); the command line takes precedence.",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=40, width=110),
    )
    parser.add_argument(
        "--overwrite",
        type=string_to_bool,
        nargs="?",
        const=True,
        default=False,
        help="Replace a model or checkpoints that output_dir already holds.",
    )
    parser.add_argument("--config", help="YAML file with any of these flags.")
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    model_group = parser.add_argument_group(f"model ({model_type})")
    for name, (default, text) in config_flags(model_type).items():
        kind = float if default is None else type(default)  # fields that may be None are numbers
        model_group.add_argument(f"--{name}", type=kind, help=f"{text} (default: {default})")
    parser.add_argument("--help_all", action="help", help="Show all flags.")
    rare = {field.name for field in fields(SequentialTrainingArguments)} - COMMON_FLAGS
    tidy_help(parser, hidden=set() if "--help_all" in argv else rare)
    return parser


def chosen_model_type(flags: argparse.Namespace) -> str:
    """Return the architecture to train: the one requested, or that of the model to fine-tune."""
    if flags.model_name_or_path is None:
        if flags.model_revision is not None:
            raise InputError("--model_revision has no effect without --model_name_or_path. Leave it out.")
        return flags.model_type or "sasrec"
    found = saved_model_type(flags.model_name_or_path, revision=flags.model_revision)
    if flags.model_type not in (None, found):
        raise InputError(
            f"--model_type {flags.model_type} was given, but {flags.model_name_or_path} is a {found}. "
            "Leave out --model_type."
        )
    return found


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
        if action.help and "default" not in action.help.lower() and action.default not in (None, argparse.SUPPRESS):
            action.help += f" (default: {getattr(action.default, 'value', action.default)})"


def config_flags(model_type: str) -> dict[str, tuple[Any, str]]:
    """Map each field of an architecture's configuration that is a flag to its default and help text."""
    return {
        field.name: (field.default, help_of(field))
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


def with_config_file(argv: Sequence[str]) -> list[str]:
    """Put the flags of `--config FILE.yaml` before those of the command line, so that the latter take precedence.

    Raises:
        InputError: If the file cannot be read, or holds anything but flags.
    """
    parser = FlagParser(prog="seqrec train", add_help=False)
    parser.add_argument("--config")
    known, others = parser.parse_known_args(argv)
    path = known.config
    if path is None:
        return list(argv)
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        settings = {} if settings is None else settings  # empty, or only comments
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"The configuration file {path!r} cannot be read: {one_line(error)}.") from error
    if not isinstance(settings, dict):
        raise InputError(f"The configuration file {path!r} must hold `flag: value` lines.")
    return [*(word for name, value in settings.items() for word in flag_words(path, name, value)), *others]


def flag_words(path: str, name: Any, value: Any) -> list[str]:
    """Convert a setting of a configuration file to command-line arguments."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name) or name in NOT_IN_A_FILE:
        raise InputError(f"The configuration file {path!r} sets {name!r}, which is not a flag that a file may set.")
    if value is None or value == []:
        raise InputError(f"The configuration file {path!r} has no value for {name}. Give one, or delete the line.")
    if isinstance(value, dict):
        return [f"--{name}={json.dumps(value)}"]
    if not isinstance(value, list):
        return [f"--{name}={value}"]
    if any(isinstance(one, list | dict) or one is None for one in value):
        raise InputError(f"The configuration file {path!r} nests values in {name}: expected a list of plain values.")
    return [f"--{name}", *map(str, value)]
