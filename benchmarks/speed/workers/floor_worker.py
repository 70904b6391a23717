"""Measures a lower bound on a training step: only the matrix products of our model on our packed batches.

Forward and backward, in float32, into preallocated buffers: projections, attention over whole rows, the feed-forward
layers, and the scores of the whole catalogue in the loss's own chunks.

Shape suffixes: R packed rows, W their width, H heads, E size of a head, D hidden size, N targets, C rows of a chunk,
V vocabulary.
"""

from itertools import cycle

import numpy as np
import torch
from protocol import Channel, Message, serve, serve_turns
from seqrec_data import load_training
from torch import Tensor

from seqrec.interactions.collators import NextItemCollator
from seqrec.modeling.losses import chunk_rows

NUM_BATCHES = 8


def train(request: Message, channel: Channel) -> None:
    """Compute the products for batches packed by the collator; units are targets."""
    settings = request["settings"]
    config = settings["config"]
    histories, tokenizer = load_training(request)
    collate = NextItemCollator(tokenizer, config["max_position_embeddings"])
    rows = histories.select(np.random.default_rng(42).permutation(len(histories)))
    batches = []
    for start in range(0, NUM_BATCHES * settings["batch_size"], settings["batch_size"]):
        labels = collate(rows.select(slice(start, start + settings["batch_size"])))["labels"]
        batches.append((*labels.shape, int((labels != -100).sum())))
    order = cycle(batches)

    @torch.inference_mode()
    def run(count: int) -> Message:
        units = 0
        for _ in range(count):
            num_rows, width, num_targets = next(order)
            blocks(num_rows, width, config)
            catalogue(num_targets, len(tokenizer), config["hidden_size"])
            units += num_targets
        return {"units": units}

    serve_turns(channel, run)


def blocks(num_rows: int, width: int, config: Message) -> None:
    """The products of the Transformer blocks."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    num_tokens = num_rows * width
    for _ in range(config["num_hidden_layers"]):
        linear(num_tokens, hidden, 3 * hidden)
        attention(num_rows, heads, width, hidden // heads)
        linear(num_tokens, hidden, hidden)
        linear(num_tokens, hidden, config["intermediate_size"])
        linear(num_tokens, config["intermediate_size"], hidden)


def linear(num_tokens: int, size_in: int, size_out: int) -> None:
    """Y = XW, and its gradients GWᵀ and XᵀG."""
    inputs, weight, outputs = (
        buffer("in", num_tokens, size_in),
        buffer("weight", size_in, size_out),
        buffer("out", num_tokens, size_out),
    )
    torch.mm(inputs, weight, out=outputs)
    torch.mm(outputs, weight.T, out=inputs)
    torch.mm(inputs.T, outputs, out=weight)


def attention(num_rows: int, heads: int, width: int, head_size: int) -> None:
    """QKᵀ and AV, and the gradients of both."""
    query, key, value = (buffer(name, num_rows * heads, width, head_size) for name in ("query", "key", "value"))
    weights = buffer("attention", num_rows * heads, width, width)
    torch.bmm(query, key.mT, out=weights)
    torch.bmm(weights, value, out=query)
    torch.bmm(query, value.mT, out=weights)
    torch.bmm(weights.mT, query, out=value)
    torch.bmm(weights, key, out=query)
    torch.bmm(weights.mT, query, out=key)


def catalogue(num_targets: int, vocabulary: int, hidden: int) -> None:
    """Scores of all items in chunks of rows, and the gradients of users and items."""
    users_ND, items_VD = buffer("users", num_targets, hidden), buffer("items", vocabulary, hidden)
    grad_VD = buffer("grad items", vocabulary, hidden)
    size = chunk_rows(items_VD)
    for start in range(0, num_targets, size):
        users_CD = users_ND[start : start + size]
        logits_CV = buffer("logits", len(users_CD), vocabulary)
        torch.mm(users_CD, items_VD.T, out=logits_CV)
        torch.mm(logits_CV.T, users_CD, out=grad_VD)
        torch.mm(logits_CV, items_VD, out=users_CD)


buffers: dict[str, Tensor] = {}


def buffer(name: str, *shape: int) -> Tensor:
    """Return a float32 matrix of this shape, reusing the memory of earlier calls with the same name."""
    size = 1
    for length in shape:
        size *= length
    if name not in buffers or buffers[name].numel() < size:
        buffers[name] = torch.zeros(size)
    return buffers[name][:size].view(*shape)


if __name__ == "__main__":
    torch.manual_seed(42)
    serve({"train": train})
