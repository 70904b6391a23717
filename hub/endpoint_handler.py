"""Handler of an inference endpoint of the Hub: answers requests with the model in its folder.

It needs nothing but transformers: the model's code lies next to it. https://huggingface.co/docs/inference-endpoints
describes how the Hub runs it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import pipeline

__all__ = ["EndpointHandler"]

TASK = "next-item-recommendation"
PARAMETERS = ("top_k", "exclude_seen", "allow", "deny", "at")


class EndpointHandler:
    """Recommends for requests, as the pipeline does.

    Args:
        path: Folder of the model.
    """

    def __init__(self, path: str = "") -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline = pipeline(TASK, model=path or ".", trust_remote_code=True, device=device)

    def __call__(self, data: Mapping[str, Any]) -> Any:
        """Answer one request.

        Args:
            data: `inputs`: raw item ids of one history, oldest first; a list of histories; an object with `history`
                and, as the model reads them, `timestamps`, `at` and further columns, or `candidates` to predict for; or
                a list of such objects. `parameters`, optional: `top_k` (10), `exclude_seen` (true), `allow`, `deny` and
                `at`.

        Returns:
            A list of objects with `item_id`, `score` and `title`, best first; for several histories, a list of lists.

        Raises:
            ValueError: If the request cannot be answered; the message says why.
        """
        if not isinstance(data, Mapping) or data.get("inputs") is None:
            raise ValueError('A request is an object such as {"inputs": ["50", "181"], "parameters": {"top_k": 5}}.')
        parameters = data.get("parameters") or {}
        unknown = [name for name in parameters if name not in PARAMETERS]
        if unknown:
            raise ValueError(f"There is no parameter {unknown[0]!r}. The parameters are {', '.join(PARAMETERS)}.")
        return self.pipeline(data["inputs"], **parameters)
