"""Load a model, and show its page in the browser."""

import os
from pathlib import Path
from threading import Event
from typing import Any

from seqrec.inference.demo.demo_model import DemoModel
from seqrec.inference.demo.demo_page import build_page, launch_options
from seqrec.inference.demo.shown_card import card_of
from seqrec.inference.recommender import Recommender

__all__ = ["show_page"]


def show_page(
    name_or_path: str | Path,
    *,
    name: str | None = None,
    device: Any = "auto",
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
) -> None:
    """Show the page of a model until the process ends.

    Args:
        name_or_path: Folder of the model, or its repository on the Hub.
        name: Heading of the page; None for the name of the folder or repository.
        device: See `Recommender.from_pretrained`.
        host: Address to answer at; None for this machine alone, or what Gradio's environment variables name.
        port: Port; None for a free one from 7860 on.
        share: Whether to ask Gradio for a public address, through its own servers.

    Raises:
        InputError: If the model reads event columns that the page cannot ask for; otherwise as in
            `Recommender.from_pretrained`.
        SeqrecError: As in `Recommender.from_pretrained`.
    """
    text = str(name_or_path)
    recommender = Recommender.from_pretrained(text, device=device)
    is_folder = Path(text).is_dir()
    model = DemoModel(recommender, name or (Path(text).resolve().name if is_folder else text))
    page = build_page(model, card_of(text, recommender))
    reach_without_proxy("localhost", "127.0.0.1", *([host] if host else []))
    _, local, public = page.launch(
        server_name=host, server_port=port, share=share, prevent_thread_lock=True, **launch_options()
    )
    print(f"The page is at {public or local}", flush=True)
    try:
        Event().wait()  # until a signal ends the process
    finally:
        page.close(verbose=False)


def reach_without_proxy(*hosts: str) -> None:
    """Let Gradio, which asks its own server whether it answers, do so directly where a proxy is set."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), *hosts)))
