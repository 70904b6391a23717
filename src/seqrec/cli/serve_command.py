"""`seqrec serve`."""

import argparse
import gc
from collections.abc import Sequence
from importlib.util import find_spec
from socket import socket

from seqrec.cli.parsers import FlagParser, finite_number, not_empty, positive_integer
from seqrec.cli.shared_flags import add_device_flag, add_import_flag, add_model_flag, import_modules
from seqrec.errors import InputError
from seqrec.inference.service.api_keys import ApiKeys
from seqrec.inference.service.limits import Limits
from seqrec.inference.service.ports import open_port
from seqrec.interactions.locations import require_model_name

__all__ = ["serve_command"]

LEVELS = ("debug", "info", "warning", "error")
LIMITS = {
    "max_body_bytes": ("body_bytes", "Length of a request's body, in bytes (default: 2 MiB)."),
    "max_histories": ("histories", "Histories in one request (default: 1000)."),
    "max_history_length": ("history_length", "Items in one history, or list of ids (default: 5000)."),
    "max_k": ("k", "Length of a list (default: 1000)."),
    "max_items": ("items", "Items in one answer: those of all its lists (default: 100,000)."),
    "max_waiting": ("waiting", "Histories that may wait; further requests get status 429 (default: 4000)."),
    "max_batch": ("batch", "Histories of waiting requests that are answered together (default: 64)."),
}


def serve_command(argv: Sequence[str]) -> None:
    """`seqrec serve`."""
    parser = serve_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_model_name(flags.model)
        if flags.timeout <= 0 or flags.watch_seconds < 0:
            raise InputError("--timeout must be more than 0 seconds, and --watch_seconds at least 0.")
        import_modules(argv)
        require_packages()
        serve(flags)


def serve_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec serve",
        description="Answer HTTP requests for recommendations: /docs describes them. Stop it with Ctrl-C or SIGTERM. "
        "If the folder of the model is replaced, the new one is loaded and used, without a pause.",
    )
    add_model_flag(parser)
    add_device_flag(parser)
    parser.add_argument("--host", default="127.0.0.1", help="Address to answer at (default: 127.0.0.1; all: 0.0.0.0).")
    parser.add_argument("--port", type=int, default=8000, help="Port (default: 8000; 0 for a free one).")
    parser.add_argument("--api_keys", type=not_empty, help="File of keys, one a line; requests then need one of them.")
    for name, (_, text) in LIMITS.items():
        parser.add_argument(f"--{name}", type=positive_integer, help=text)
    parser.add_argument(
        "--timeout", type=finite_number, default=10.0, help="Seconds to receive and to answer a request (default: 10)."
    )
    parser.add_argument(
        "--watch_seconds",
        type=finite_number,
        default=2.0,
        help="Seconds between two looks at the folder for a new model; 0 never looks (default: 2).",
    )
    parser.add_argument(
        "--num_threads", type=positive_integer, help="Threads that compute (default: as torch chooses)."
    )
    parser.add_argument("--log_level", default="info", choices=LEVELS, help="What to log, as JSON (default: info).")
    add_import_flag(parser)
    return parser


def require_packages() -> None:
    """Raise an `ImportError` that says how to install what the service needs."""
    for name in ("fastapi", "prometheus_client", "uvicorn"):
        if find_spec(name) is None:
            raise ImportError(f'`seqrec serve` needs {name}. Install it with: pip install "seqrec[serve]"')


def serve(flags: argparse.Namespace) -> None:
    """Open the port, load the model, and answer requests until told to stop."""
    keys = None if flags.api_keys is None else ApiKeys.read(flags.api_keys)
    given = {field: getattr(flags, name) for name, (field, _) in LIMITS.items() if getattr(flags, name) is not None}
    limits = Limits(seconds=flags.timeout, **given)
    with open_port(flags.host, flags.port) as opened:
        answer_at(opened, flags, limits, keys)


def answer_at(opened: socket, flags: argparse.Namespace, limits: Limits, keys: ApiKeys | None) -> None:
    """Load the model, and answer requests at an open port."""
    import torch

    from seqrec.inference.service.app import create_app
    from seqrec.inference.service.json_log import log_as_json
    from seqrec.inference.service.loaded_model import LoadedModel, load_model_to_serve
    from seqrec.inference.service.server import run_app
    from seqrec.modeling.devices import resolve_device

    device = resolve_device(flags.device)
    if flags.num_threads is not None:
        torch.set_num_threads(flags.num_threads)
    log_as_json(flags.log_level)

    def load() -> LoadedModel:
        loaded = load_model_to_serve(flags.model, device=device)
        gc.collect()
        gc.freeze()  # a later collection of all that libraries hold would halt answers for a fifth of a second
        return loaded

    app = create_app(flags.model, load, limits=limits, keys=keys, watch_seconds=flags.watch_seconds)
    run_app(app, opened)
