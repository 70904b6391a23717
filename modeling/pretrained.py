"""Saving and loading of backbones and heads."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from transformers import PreTrainedModel

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.interactions.label_columns import register_label_columns
from seqrec.modeling.item_encoder import ItemEncoder
from seqrec.modeling.recent_counts import PopularityWeights
from seqrec.modeling.saved_weights import align, check_saved, file_states, finish_saving
from seqrec.modeling.task_heads import TaskHead
from seqrec.search.finite import require_finite_weights

__all__ = ["NextItemPreTrainedModel"]

SHARING_ARGUMENTS = {
    *("repo_id", "commit_message", "commit_description", "private", "token", "revision", "create_pr", "tags")
}


class NextItemPreTrainedModel(PreTrainedModel):
    """Base class of backbones and heads: saving, loading, and the features of transformers that they support.

    Attributes:
        uses_attention: Whether the attention implementation can be chosen and attention weights returned.
    """

    config: NextItemConfig
    base_model_prefix = "model"
    uses_attention: ClassVar[bool] = False
    _can_compile_fullgraph = True
    # Writes a saved model's code into its folder. The package `seqrec` sets it. It is None in models loaded as remote
    # code, whose code transformers copies.
    write_code: Callable[[PreTrainedModel, str], Any] | None = None

    def __init__(self, config: NextItemConfig, **unknown: Any) -> None:
        config.refuse_unknown_fields(unknown)  # `from_pretrained` passes on unknown keywords
        config.validate()  # fields may have been changed since the configuration was made
        register_label_columns(config.label_tasks)  # again, as remote code of configurations has its own registry
        super().__init__(config)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, PopularityWeights | TaskHead):
            module.reset_parameters()
        elif isinstance(module, ItemEncoder) and module.bound is not None:
            nn.init.zeros_(module.weight)  # items start as their features alone
        else:
            super()._init_weights(module)

    def save_pretrained(
        self,
        save_directory: str | PathLike[str],
        is_main_process: bool = True,
        *,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save weights, configuration and code; for arguments, see `PreTrainedModel.save_pretrained`.

        `push_to_hub=True` calls `push_to_hub` afterwards, which saves again, so that the code is pushed too.

        Raises:
            NonFiniteError: If a weight is infinite or NaN.
        """
        sharing = {name: kwargs.pop(name) for name in SHARING_ARGUMENTS & kwargs.keys()} if push_to_hub else {}
        require_finite_weights((kwargs.get("state_dict") or self.state_dict()).items())
        earlier = file_states(Path(save_directory))
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)
        if is_main_process:
            finish_saving(Path(save_directory), earlier, self.config)
        if self.write_code is not None and is_main_process and Path(save_directory, "config.json").is_file():
            self.write_code(self, str(save_directory))
        if push_to_hub and is_main_process:
            self.push_to_hub(sharing.pop("repo_id", Path(save_directory).name), **sharing)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str] | None,
        *args: Any,
        use_safetensors: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load as transformers does, but only safetensors: a pickle can run any code when it is read.

        The weights must fit the configuration, have been trained with it, and be finite.

        Raises:
            InputError: If the name is a mistyped path, a keyword is not a field, or `use_safetensors=False` is given.
            SavedFolderError: If the weights are damaged, do not fit, or were trained with another configuration.
            NonFiniteError: If a weight is infinite or NaN.
            OSError: If no safetensors exist or, from transformers, if the Hub refuses or cannot be reached.
        """
        if use_safetensors is False:
            raise InputError(f"{cls.__name__} reads only safetensors weights. Leave out use_safetensors=False.")
        name = pretrained_model_name_or_path
        check_saved(cls, name, **kwargs)
        found = super().from_pretrained(name, *args, use_safetensors=True, **kwargs)
        model = found[0] if isinstance(found, tuple) else found
        require_finite_weights(model.state_dict().items(), where=str(name))
        if model.config.item_features:
            align(model)
        return found
