"""The model in use, and its replacement while requests are answered."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from seqrec.inference.service.folder_state import State, state_of
from seqrec.inference.service.loaded_model import LoadedModel, now

__all__ = ["Load", "ModelSlot"]

logger = logging.getLogger("seqrec.service")
Load = Callable[[], LoadedModel]


class ModelSlot:
    """Holds the model that answers.

    A new model is loaded next to the present one, and takes its place in one assignment. If it cannot be loaded, the
    present one stays.

    Args:
        folder: The model's folder; for a repository of the Hub, changes are not noticed.
        load: Loads the model, and raises an error if it is broken.
        count: Receives the result of each replacement, `"replaced"` or `"failed"`.
    """

    def __init__(self, folder: str, load: Load, count: Callable[[str], object] = lambda result: None) -> None:
        self.folder, self.load, self.count = folder, load, count
        self.state = state_of(folder)
        self.seen = self.state
        self.model = load()
        self.last_reload: dict[str, Any] | None = None
        self.lock = asyncio.Lock()

    async def watch(self, seconds: float) -> None:
        """Replace the model whenever its folder was, and looked the same twice in a row."""
        while True:
            await asyncio.sleep(seconds)
            state = await asyncio.to_thread(state_of, self.folder)
            if state is not None and state == self.seen and state != self.state:
                await self.reload()
            self.seen = state

    async def reload(self, *, even_if_unchanged: bool = False) -> bool:
        """Load the folder if it changed since it was last loaded, and return whether another model answers now.

        Args:
            even_if_unchanged: Whether to load it in any case.
        """
        async with self.lock:
            state = await asyncio.to_thread(state_of, self.folder)
            if state == self.state and state is not None and not even_if_unchanged:
                return False
            return await asyncio.to_thread(self.replace, state)

    def replace(self, state: State | None) -> bool:
        """Load a folder in this state, and put the model into use."""
        before = self.model
        self.state = state
        try:
            loaded = self.load()
            if state_of(self.folder) != state:
                raise RuntimeError("the folder changed while it was read; the next look at it tries again")
        except Exception as error:
            self.note("failed", error=f"{type(error).__name__}: {error}")
            return False
        self.model = loaded
        self.note("replaced")
        return loaded.version != before.version

    def note(self, result: str, *, error: str | None = None) -> None:
        """Tell the log, the metrics and `/model` what became of a new model."""
        self.last_reload = {"time": now(), "result": result, "error": error}
        self.count(result)
        facts = {"event": "reload", "result": result, "model_version": self.model.version}
        if error is None:
            logger.info("The model was replaced.", extra={"facts": facts})
        else:
            sentence = "The new model cannot be loaded; the one before stays in use."
            logger.error(sentence, extra={"facts": {**facts, "error": error}})
