"""Write a Space of the Hub that shows the demo page of a model."""

import shutil
from importlib.metadata import version
from pathlib import Path

import yaml

from seqrec.hub.markdown import python, text
from seqrec.hub.product_files import product_files
from seqrec.hub.sharing import refuse_pickles, require_model
from seqrec.interactions.locations import require_model_name
from seqrec.interactions.whole_files import whole_folder

__all__ = ["write_space"]

GRADIO = "6.31.0"  # the version that the Space installs
PYTHON = "3.12"
APP, CARD, REQUIREMENTS = "app.py", "README.md", "requirements.txt"
MODEL = "model"  # the folder of a model that the Space itself holds
APP_TEXT = '''"""The demo page of {title}; `seqrec demo` shows the same page."""

from pathlib import Path

from seqrec.inference.demo.serve_page import show_page

show_page({model}, name={name})
'''
IN_THE_SPACE = f'Path(__file__).with_name("{MODEL}")'


def write_space(model: str | Path, folder: str | Path, *, title: str | None = None) -> list[Path]:
    """Write the files of a Space: `app.py`, `README.md` with its settings, and `requirements.txt`.

    The Space loads a model of the Hub from there. It holds a copy of a model in a folder.

    Args:
        model: Repository of the model on the Hub, or its folder.
        folder: New folder for the Space.
        title: Title of the Space and heading of the page; None for the name of the model.

    Returns:
        The files written, without those of the model.

    Raises:
        InputError: If the model is no folder and no name of a repository, a file of it is a link or may be a pickle,
            or the folder is not empty or cannot be written.
        SavedFolderError: If the model's folder holds no model, or a damaged one.
    """
    require_model_name(model)
    source = Path(model)
    is_folder = source.is_dir()
    if is_folder:
        require_model(source)
        refuse_pickles(source)
    title = title or (source.resolve().name if is_folder else str(model))
    with whole_folder(folder, last=APP) as part:
        if is_folder:
            copy_model(source, part / MODEL)
        (part / CARD).write_text(card_text(title, None if is_folder else str(model)), encoding="utf-8")
        (part / REQUIREMENTS).write_text(f"seqrec[demo]=={version('seqrec')}\n", encoding="utf-8")
        (part / APP).write_text(app_text(title, None if is_folder else str(model)), encoding="utf-8")
    return [Path(folder) / name for name in (APP, CARD, REQUIREMENTS)]


def copy_model(source: Path, target: Path) -> None:
    """Copy the files of a model that would be pushed, and nothing else."""
    for path in product_files(source):
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def app_text(title: str, repo_id: str | None) -> str:
    """Return the program of the Space; `repo_id` is None if it holds the model."""
    source = APP_TEXT.format(
        title=" ".join(title.replace('"', "'").replace("\\", "/").split()),
        model=IN_THE_SPACE if repo_id is None else python(repo_id),
        name=python(title),
    )
    return source if repo_id is None else source.replace("from pathlib import Path\n\n", "")


def card_text(title: str, repo_id: str | None) -> str:
    """Return the settings of the Space, and a sentence about it."""
    settings = {
        "title": title,
        "emoji": "🔎",
        "colorFrom": "indigo",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "python_version": PYTHON,
        "app_file": APP,
        **({} if repo_id is None else {"models": [repo_id]}),
        "pinned": False,
        "short_description": "Recommendations for a history of items",
    }
    front = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    link = "" if repo_id is None else f" The model is [{text(repo_id)}](https://huggingface.co/{repo_id})."
    return (
        f"---\n{front}---\n\n# {text(title)}\n\nSearch items, click a history, and see what the model recommends next, "
        f"why, and with which diversity.{link} The page is that of `seqrec demo`.\n"
    )
