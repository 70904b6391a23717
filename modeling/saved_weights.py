"""Find a saved model's weights, check them before loading, and mark them after saving."""

from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from seqrec.errors import SavedFolderError
from seqrec.interactions.locations import require_model_name
from seqrec.modeling.weight_checks import mark_weights, require_fitting_weights, require_trained_configuration
from seqrec.modeling.weight_files import ALIGNMENT, INDEX, SINGLE, shard_names

__all__ = ["align", "check_saved", "file_states", "find", "find_weights", "finish_saving"]

PLACE_ARGUMENTS = ("cache_dir", "force_download", "proxies", "token", "revision", "local_files_only", "subfolder")
# With these, transformers loads other weights than the folder's, or renames them, and checks them itself.
OTHER_WEIGHTS = ("state_dict", "gguf_file", "variant", "key_mapping", "quantization_config")

FileStates = dict[str, tuple[int, int, int]]


def check_saved(model_class: type[PreTrainedModel], name: str | PathLike[str] | None, **kwargs: Any) -> None:
    """Check a saved model before it is loaded; for arguments, see `from_pretrained`.

    Raises:
        InputError: If the name is a mistyped path.
        SavedFolderError: If its weights do not fit its configuration, or were trained with another one.
    """
    if name is None:
        return
    require_model_name(name)
    if any(kwargs.get(argument) is not None for argument in OTHER_WEIGHTS):
        return
    place = {argument: kwargs[argument] for argument in PLACE_ARGUMENTS if argument in kwargs}
    files = find_weights(str(name), **place)
    if not files:
        return  # transformers raises an error or, for an adapter alone, loads its base model
    config_class: Any = model_class.config_class
    if find(str(name), "config.json", **place) is not None:
        saved, _ = config_class.get_config_dict(name, **place)
        require_trained_configuration(files, config_class.from_dict(saved))
    config = kwargs.pop("config", None)
    if not isinstance(config, PreTrainedConfig):
        config, _ = config_class.from_pretrained(config or name, return_unused_kwargs=True, **kwargs)
    require_fitting_weights(model_class, config, files, same_shapes=not kwargs.get("ignore_mismatched_sizes", False))


def find_weights(name: str, **place: Any) -> list[Path]:
    """Find a model's safetensors files, in a folder or on the Hub; an empty list if there are none.

    Raises:
        SavedFolderError: If the index of shards is broken, or a shard is missing.
    """
    single = find(name, SINGLE, **place)
    if single is not None:
        return [single]
    index = find(name, INDEX, **place)
    if index is None:
        return []
    found = {shard: find(name, shard, **place) for shard in shard_names(index)}
    missing = [shard for shard, path in found.items() if path is None]
    if missing:
        raise SavedFolderError(
            f"{index} names {len(missing)} files that do not exist (first: {missing[0]!r}). Save the model again, or "
            "fetch it again."
        )
    return [path for path in found.values() if path is not None]


def find(name: str, file_name: str, **place: Any) -> Path | None:
    """Find a file of a model, in a folder or on the Hub; None if it does not exist.

    Raises:
        InputError: If the name is a mistyped path.
    """
    require_model_name(name)
    try:
        path = cached_file(name, file_name, **place)
    except OSError:
        return None
    return None if path is None else Path(path)


def file_states(folder: Path) -> FileStates:
    """Record the state of a folder's weight files, to detect later which were written again."""
    stats = {name: (folder / name).stat() for name in (SINGLE, INDEX) if (folder / name).is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


def finish_saving(folder: Path, earlier: FileStates, config: Any) -> None:
    """Write the configuration into the weights just saved, and remove weights left from an earlier save.

    Otherwise transformers would leave an old unsharded file next to new shards, and load that.
    """
    present = file_states(folder)
    written = {name for name, state in present.items() if earlier.get(name) != state}
    if not written:
        return  # an adapter was saved
    for name in present.keys() - written:
        (folder / name).unlink()
    mark_weights([folder / SINGLE] if SINGLE in written else map(folder.joinpath, shard_names(folder / INDEX)), config)


def align(module: nn.Module) -> None:
    """Copy loaded weights that are not aligned in memory, as those of a model that was never saved are.

    The last bit of a product depends on the alignment. Weights are read in place from the file, where those of features
    can have any size, so that the alignment of others would change with the number of items.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()
