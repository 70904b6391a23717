"""Training with an item table that is divided among processes."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.hub.json_objects import read_json_object
from seqrec.interactions.whole_files import write_text_whole
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.sharded_items import ShardedItems, shard_items
from seqrec.modeling.weight_files import SINGLE
from seqrec.training.bare_model import BareModel
from seqrec.training.lazy_adamw import clip_grad_norm
from seqrec.training.sharded_checkpoints import (
    load_item_states,
    load_weights,
    save_item_states,
    table_pieces,
    without_item_states,
)
from seqrec.training.streamed_weights import append_tensor

__all__ = ["ItemSharding", "refuse_unsharded_arguments"]

TABLE = "model.item_embedding.weight"
# Arguments that need the whole table in each process, or weight the processes' losses differently.
REFUSED = ("ema_decay", "fp16", "torch_compile", "fsdp", "deepspeed", "auto_find_batch_size", "neftune_noise_alpha")


def refuse_unsharded_arguments(args: Any) -> None:
    """Refuse training arguments that do not go together with a divided item table.

    Raises:
        InputError: If there is one.
    """
    if not args.shard_items:
        return
    given = [name for name in REFUSED if getattr(args, name, None)]
    if given:
        raise InputError(
            f"{given[0]}={getattr(args, given[0])!r} cannot be used with shard_items, which divides the item table "
            "among the processes. Leave out one of them."
        )
    if not args.average_tokens_across_devices:
        raise InputError(
            "shard_items needs average_tokens_across_devices, because the processes' losses must count equally. Leave "
            "out average_tokens_across_devices=False."
        )


def set_dtype(config: Path, dtype: torch.dtype) -> None:
    """Write the type of a model's weights into its saved configuration."""
    content = {**read_json_object(str(config)), "dtype": str(dtype).removeprefix("torch.")}
    write_text_whole(config, json.dumps(content, indent=2, sort_keys=True) + "\n")


class ItemSharding(BareModel):
    """A `Trainer` that divides the item table of its model among the processes, if `args.shard_items` says so."""

    item_group: Any = None

    @property
    def sharded_items(self) -> ShardedItems | None:
        """The divided item table; None if each process has all items."""
        items = self.bare_model.get_input_embeddings()
        return items if isinstance(items, ShardedItems) else None

    def divide_items(self, model: NextItemHead) -> None:
        """Keep this process's rows of a model's item table, if there are several processes.

        Raises:
            InputError: If the model cannot be divided.
        """
        if not self.args.shard_items or self.args.world_size == 1:
            return
        if isinstance(model.get_input_embeddings(), ShardedItems):
            return
        if self.item_group is None:
            self.item_group = dist.new_group()
        shard_items(model, self.item_group)
        if self.args.item_dtype == "bfloat16":
            items = model.get_input_embeddings()
            items.weight.data = items.weight.data.bfloat16()

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        items = self.sharded_items
        if items is not None:
            return clip_grad_norm(model.parameters(), self.args.max_grad_norm, items.weight, items.shards)
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        items = self.sharded_items
        if items is not None and grad_norm is None:
            grad_norm = clip_grad_norm(model.parameters(), float("inf"), items.weight, items.shards)
        return super()._get_grad_norm(model, grad_norm)

    def save_whole_model(self, folder: Path) -> None:
        """Save a divided model as an ordinary one: the first process writes the rows that the others send."""
        items = self.sharded_items
        assert items is not None
        writes, model = self.args.process_index == 0, self.bare_model
        if writes:
            others = {name: one for name, one in model.state_dict().items() if name != TABLE}
            model.save_pretrained(folder, state_dict=others)
            if (
                items.weight.dtype != items.vector_dtype
            ):  # the library takes the type of the first weight for that of all
                set_dtype(folder / "config.json", items.vector_dtype)
        pieces = table_pieces(items.weight, items.shards)
        if writes:
            shape = (items.shards.num_rows, items.weight.shape[1])
            converted = (piece.to(items.vector_dtype) for piece in pieces)
            append_tensor(folder / SINGLE, TABLE, shape, items.vector_dtype, converted)
        else:
            for _ in pieces:
                pass

    def num_weights(self) -> int:
        """Return the number of weights of the whole model."""
        items = self.sharded_items
        elsewhere = 0 if items is None else items.shards.num_rows - len(items.weight)
        return self.bare_model.num_parameters() + elsewhere * self.bare_model.config.hidden_size

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        items = self.sharded_items
        if items is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.bare_model, Path(resume_from_checkpoint), TABLE, items.shards)

    def _load_best_model(self) -> None:
        items = self.sharded_items
        if items is None:
            super()._load_best_model()
        else:
            load_weights(self.bare_model, Path(str(self.state.best_model_checkpoint)), TABLE, items.shards)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        items = self.sharded_items
        if items is None:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        optimizer = self.optimizer.optimizer
        save_item_states(optimizer, items.weight, items.shards, Path(output_dir))
        with without_item_states(optimizer, items.weight):
            super()._save_optimizer_and_scheduler(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        items = self.sharded_items
        if items is not None and checkpoint is not None:
            load_item_states(self.optimizer.optimizer, items.weight, items.shards, Path(checkpoint))
