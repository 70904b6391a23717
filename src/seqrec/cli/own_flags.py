"""The flags of `seqrec train` that no dataclass declares, and checks of all flags that need no heavy import."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from seqrec.cli.declared_flags import config_flag_names, data_flag_names, training_flag_names
from seqrec.cli.output import require_folder
from seqrec.cli.parsers import FlagParser, flag_names, not_empty, require_flags, true_or_false
from seqrec.cli.shared_flags import add_device_flag, add_import_flag
from seqrec.errors import InputError
from seqrec.interactions.locations import require_dataset_name, similar
from seqrec.registration import MODELS

__all__ = ["asks_for_help", "check_dataset", "check_train_flags", "own_flags", "value_of"]

HELP = {"-h", "--help", "--help_all"}


def own_flags(model_types: Iterable[str]) -> FlagParser:
    """Build a parser of the flags of `seqrec train` that no dataclass declares."""
    parser = FlagParser(prog="seqrec train", add_help=False)
    parser.add_argument("--model_type", choices=sorted(model_types), help="Architecture (default: sasrec).")
    parser.add_argument(
        "--model_name_or_path",
        type=not_empty,
        help="Folder or Hub repository of a model to fine-tune, instead of training from scratch.",
    )
    parser.add_argument("--model_revision", help="Branch, commit or refs/pr/NUMBER of its repository (default: main).")
    parser.add_argument(
        "--overwrite",
        type=true_or_false,
        nargs="?",
        const=True,
        default=False,
        help="Replace a model or checkpoints that output_dir already holds.",
    )
    parser.add_argument("--config", help="YAML file with any of these flags.")
    add_device_flag(parser)
    add_import_flag(parser)
    return parser


def check_train_flags(argv: Sequence[str]) -> None:
    """Refuse, before anything heavy is imported, unknown flags, an unusable output folder and data that do not exist.

    Raises:
        InputError: On any of these.
    """
    if asks_for_help(argv):
        return
    own = own_flags(MODELS)
    names = flag_names(own) | data_flag_names() | training_flag_names() | config_flag_names()
    require_flags(argv, names, own.prog)
    own.parse_known_args(argv)
    output_dir = value_of("output_dir", argv)
    if output_dir is not None:
        require_folder(output_dir)
    check_dataset(argv)


def check_dataset(argv: Sequence[str]) -> None:
    """Refuse a command line that names no interactions, or files or folders that do not exist.

    Raises:
        InputError: On any of these.
    """
    dataset = value_of("dataset", argv)
    if dataset is None:
        raise InputError(
            "No interactions were named. Pass --dataset ml-100k, a file, a folder, or a data set on the Hub."
        )
    if dataset.strip():  # otherwise the message names the flag
        require_dataset_name(dataset)
    items = value_of("items", argv)
    if items and not Path(items).exists():
        raise InputError(f"There is no file {items!r}.{similar(items)}")


def value_of(name: str, argv: Sequence[str]) -> str | None:
    """Return the text that a command line gives for a flag; None without the flag."""
    parser = FlagParser(prog="seqrec", add_help=False)
    parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}")
    return getattr(parser.parse_known_args(argv)[0], name)


def asks_for_help(argv: Sequence[str]) -> bool:
    """Return whether a command line asks for help."""
    return bool(HELP & set(argv))
