"""The flags of `seqrec train`: those of the data, of `TrainingArguments`, and of the chosen architecture."""

import argparse
import inspect
import json
import re
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser
from transformers.hf_argparser import string_to_bool

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.data.preparation import DataArguments
from seqrec.hub.saved_folder import saved_model_type
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments

# Fields that the data or the architecture decide, not the command line.
DECIDED_FIELDS = {"vocab_size", "pad_token_id", "mask_token_id", "unk_token_id", "is_causal", "tie_word_embeddings"}
# Of the TrainingArguments' many flags, those that `train --help` shows.
COMMON_FLAGS = {
    *("output_dir", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size", "learning_rate"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "gradient_accumulation_steps", "bf16", "torch_compile"),
    *("seed", "metric_for_best_model", "early_stopping_patience", "packing", "exclude_seen", "report_to"),
    *("resume_from_checkpoint", "push_to_hub", "hub_model_id", "license", "disable_tqdm"),
}
PLACEHOLDERS: dict[Any, str] = {int: "INT", float: "FLOAT", string_to_bool: "BOOL"}


def train_parser(argv: Sequence[str]) -> HfArgumentParser:
    """Build the parser of `seqrec train`, with the flags of the architecture that `argv` names."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--model_type", choices=sorted(MODEL_TYPES), help="Architecture (default: sasrec).")
    first.add_argument("--model_name_or_path", help="Saved or shared model to train on, instead of a new one.")
    first.add_argument("--model_revision", help="Branch, commit or refs/pr/NUMBER of its repository (default: main).")
    model_type = chosen_model_type(first.parse_known_args(argv)[0])
    first.set_defaults(model_type=model_type)
    parser = HfArgumentParser(
        [DataArguments, SequentialTrainingArguments],
        prog="seqrec train",
        usage="seqrec train --dataset DATA --output_dir DIR [flags]",
        parents=[first],
        description="Train a model on interactions, choose its best epoch by validation, measure it on test, save it.",
        epilog="Every flag of transformers.TrainingArguments works; --help_all lists them. Flags may also stand in a "
        "YAML file (--config FILE.yaml); those of the command line win.",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=40, width=110),
    )
    parser.add_argument(
        "--overwrite",
        type=string_to_bool,
        nargs="?",
        const=True,
        default=False,
        help="Replace the model that output_dir may hold.",
    )
    parser.add_argument("--config", help="YAML file with any of these flags.")
    model_group = parser.add_argument_group(f"model ({model_type})")
    for name, (default, text) in config_flags(model_type).items():
        kind = float if default is None else type(default)  # what may be None is a number
        model_group.add_argument(f"--{name}", type=kind, help=f"{text} (default: {default})")
    parser.add_argument("--help_all", action="help", help="Show all flags.")
    rare = {field.name for field in fields(SequentialTrainingArguments)} - COMMON_FLAGS
    tidy_help(parser, hidden=set() if "--help_all" in argv else rare)
    return parser


def chosen_model_type(flags: argparse.Namespace) -> str:
    """Say which architecture is trained: the one asked for, or that of the model to train on."""
    if flags.model_name_or_path is None:
        return flags.model_type or "sasrec"
    found = saved_model_type(flags.model_name_or_path, revision=flags.model_revision)
    if flags.model_type not in (None, found):
        raise ValueError(
            f"--model_type {flags.model_type} was given, but {flags.model_name_or_path} is a {found}. Leave it out."
        )
    return found


def tidy_help(parser: argparse.ArgumentParser, hidden: set[str]) -> None:
    """Make a long help readable: one spelling for each flag, short placeholders, defaults told, `hidden` left out."""
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
    """Map each field of an architecture's configuration to its default and what its docstring says of it."""
    config_class = MODEL_TYPES[model_type]
    texts: dict[str, str] = {}
    for documented in (NextItemConfig, config_class):
        for name, text in re.findall(
            r"^    (\w+): (.+?)(?=^    \w+:|^\S|\Z)", inspect.getdoc(documented) or "", re.M | re.S
        ):
            texts[name] = " ".join(text.split())
    return {
        field.name: (field.default, texts[field.name])
        for field in fields(config_class)
        if field.name in texts and field.name not in DECIDED_FIELDS
    }


def with_config_file(argv: Sequence[str]) -> list[str]:
    """Put the flags of `--config FILE.yaml` before those of the command line, so that the latter win."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    known, others = parser.parse_known_args(argv)
    path = known.config
    if path is None:
        return list(argv)
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"The configuration file {path} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"The configuration file {path} must hold `flag: value` lines.")
    flags: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
        flags += [f"--{name}", *map(str, values)]
    return [*flags, *others]
