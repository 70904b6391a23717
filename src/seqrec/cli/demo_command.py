"""`seqrec demo`."""

from argparse import Namespace
from collections.abc import Sequence
from importlib.util import find_spec

from seqrec.cli.parsers import FlagParser
from seqrec.cli.shared_flags import add_device_flag, add_import_flag, add_model_flag, import_modules
from seqrec.errors import InputError
from seqrec.inference.service.ports import open_port
from seqrec.interactions.locations import require_model_name

__all__ = ["demo_command"]


def demo_command(argv: Sequence[str]) -> None:
    """`seqrec demo`."""
    parser = demo_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_model_name(flags.model)
        require_gradio()
        if ":" in flags.host:
            raise InputError(
                f"--host {flags.host} is an IPv6 address, which Gradio cannot answer at. Give an IPv4 one."
            )
        with open_port(flags.host, flags.port) as opened:  # before the model is loaded, which takes a while
            flags.port = opened.getsockname()[1]
        import_modules(argv)
        demo(flags)


def demo_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec demo",
        description="Try a model in the browser: search items, click a history, see recommendations and reasons. Stop "
        "it with Ctrl-C.",
    )
    add_model_flag(parser)
    add_device_flag(parser)
    parser.add_argument("--host", default="127.0.0.1", help="Address to answer at (default: 127.0.0.1; all: 0.0.0.0).")
    parser.add_argument("--port", type=int, default=7860, help="Port (default: 7860; 0 for a free one).")
    parser.add_argument(
        "--share",
        action="store_true",
        help="Also show the page at a public address for a week, through the servers of Gradio.",
    )
    add_import_flag(parser)
    return parser


def require_gradio() -> None:
    """Raise an `ImportError` that says how to install Gradio, if it is missing."""
    if find_spec("gradio") is None:
        raise ImportError('`seqrec demo` needs gradio. Install it with: pip install "seqrec[demo]"')


def demo(flags: Namespace) -> None:
    """Show the page as the flags say."""
    from seqrec.inference.demo.serve_page import show_page
    from seqrec.modeling.devices import resolve_device

    show_page(flags.model, device=resolve_device(flags.device), host=flags.host, port=flags.port, share=flags.share)
