"""Public calls raise each class of `seqrec.errors`, and refuse names that can only be mistyped paths."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from seqrec import AutoModelForNextItem, Recommender, SasRecForNextItem
from seqrec.cli import command_line
from seqrec.errors import HubConnectionError, HubError, InputError, NonFiniteError, SavedFolderError, SeqrecError
from seqrec.hub.model_card import save_model_card
from seqrec.hub.saved_folder import load_tokenizer
from seqrec.hub.sharing import push_folder
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.hub_errors import explained
from seqrec.interactions.locations import is_hub_name, require_model_name
from seqrec.interactions.preparation import prepare
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import run_job
from seqrec.training.starting_point import load_starting_point
from seqrec.training.trainer import SequentialTrainer


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def prepared(tmp_path):
    prepare(DataArguments(dataset="synthetic")).save(tmp_path / "prepared")
    return tmp_path / "prepared"


def raised_by(action):
    """Return the error that a call raises, which must be one of ours and of one line."""
    with pytest.raises(SeqrecError, match=r"^[^\n]+$") as raised:
        action()
    return type(raised.value)


def test_the_family():
    for kind in (InputError, SavedFolderError, HubError, HubConnectionError, NonFiniteError):
        assert issubclass(kind, SeqrecError)
        assert issubclass(kind, ValueError)
        assert str(kind("a sentence")) == "a sentence"
    assert issubclass(HubConnectionError, HubError)
    assert issubclass(HubConnectionError, ConnectionError)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json", "items.parquet"])
def test_an_incomplete_model(folder, missing):
    (folder / missing).unlink()
    assert raised_by(lambda: Recommender.from_pretrained(folder)) is SavedFolderError
    assert raised_by(lambda: load_starting_point(str(folder))) is SavedFolderError
    if missing in ("config.json", "model.safetensors"):
        assert raised_by(lambda: push_folder(folder, "org/name")) is SavedFolderError


@pytest.mark.parametrize("damaged", ["config.json", "model.safetensors", "tokenizer.json", "items.parquet"])
def test_a_damaged_model(folder, damaged):
    (folder / damaged).write_bytes(b"{nope")
    assert raised_by(lambda: Recommender.from_pretrained(folder)) is SavedFolderError
    if damaged == "config.json":
        assert raised_by(lambda: save_model_card(folder)) is SavedFolderError


def test_parts_of_two_models(folder):
    other = prepare(DataArguments(dataset="synthetic"))
    model = Recommender.from_pretrained(folder).model
    assert raised_by(lambda: Recommender(model, other.tokenizer, other.items)) is InputError
    other.tokenizer.save_pretrained(folder)
    assert raised_by(lambda: Recommender.from_pretrained(folder)) is SavedFolderError


def test_a_folder_that_must_not_be_shared_as_it_is(folder):
    (folder / "optimizer.pt").touch()
    assert raised_by(lambda: push_folder(folder, "org/name")) is InputError
    assert raised_by(lambda: push_folder(folder / "nowhere", "org/name")) is InputError


@pytest.mark.parametrize("name", ["items.parquet", "train.parquet", "protocol.json", "tokenizer.json"])
def test_a_damaged_prepared_set(prepared, name):
    (prepared / name).write_bytes(b"{nope")
    assert raised_by(lambda: prepare(DataArguments(dataset=str(prepared)))) is SavedFolderError


def test_half_a_prepared_set_and_one_that_is_prepared_otherwise(prepared):
    other = DataArguments(dataset=str(prepared), min_user_interactions=7)
    assert raised_by(lambda: prepare(other)) is InputError
    (prepared / "protocol.json").unlink()
    assert raised_by(lambda: prepare(DataArguments(dataset=str(prepared)))) is SavedFolderError


def test_tables_that_cannot_be_used(tmp_path):
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    assert raised_by(lambda: prepare(DataArguments(dataset=str(tmp_path / "log.csv")))) is InputError


def test_resuming(tiny_model, tokenizer, tmp_path):
    data = DataArguments(dataset="synthetic")
    arguments = SequentialTrainingArguments(output_dir=str(tmp_path / "run"), resume_from_checkpoint="true")
    assert raised_by(lambda: run_job(data, arguments)) is SavedFolderError
    rows = [{"input_ids": [3, 4, 5]}] * 8
    settings = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2, "eval_strategy": "no", "disable_tqdm": True}
    settings |= {"load_best_model_at_end": False, "output_dir": str(tmp_path / "trainer"), "report_to": "none"}

    def trainer(**changed):
        from datasets import Dataset

        return SequentialTrainer(
            model=tiny_model,
            args=SequentialTrainingArguments(**settings | changed),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )

    trainer().train()
    assert raised_by(lambda: trainer(learning_rate=0.5).train(resume_from_checkpoint=True)) is InputError
    nowhere = str(tmp_path / "trainer" / "checkpoint-9")
    assert raised_by(lambda: trainer().train(resume_from_checkpoint=nowhere)) is SavedFolderError
    for checkpoint in (tmp_path / "trainer").glob("checkpoint-*"):
        (checkpoint / "optimizer.pt").unlink()
    assert raised_by(lambda: trainer().train(resume_from_checkpoint=True)) is SavedFolderError


def test_offline_the_hub_cannot_be_reached(folder):
    assert raised_by(lambda: Recommender.from_pretrained("org/name")) is HubConnectionError
    assert raised_by(lambda: load_starting_point("org/name")) is HubConnectionError
    assert raised_by(lambda: push_folder(folder, "org/name")) is HubConnectionError
    assert raised_by(lambda: prepare(DataArguments(dataset="org/name"))) is HubConnectionError


ANSWERS = dict.fromkeys((408, 429, 500, 502, 503, 504), HubConnectionError)
ANSWERS |= dict.fromkeys((400, 401, 403, 409, 422), HubError)


def answer(status):
    """Make the exception that the Hub's client raises for an answer."""
    return HfHubHTTPError("refused", response=SimpleNamespace(status_code=status, headers={}, request=None))


@pytest.mark.parametrize(
    ("error", "kind"),
    [*((answer(status), kind) for status, kind in ANSWERS.items()), (LocalTokenNotFoundError("none"), HubError)],
    ids=[*map(str, ANSWERS), "no token"],
)
def test_only_what_may_succeed_later_is_a_lost_connection(error, kind):
    def fail():
        with explained("org/name", "fetched"):
            raise error

    assert raised_by(fail) is kind


def test_a_name_that_no_repository_can_have(folder):
    assert raised_by(lambda: push_folder(folder, "no blanks/name")) is InputError


MISTYPED = ("/nowhere/model", "./modle", "../modle", "~/modle", "runs\\modle", "runs/2024/modle", "runs/modle", "modle")
LOADERS = {
    "Recommender": Recommender.from_pretrained,
    "AutoModelForNextItem": AutoModelForNextItem.from_pretrained,
    "SasRecForNextItem": SasRecForNextItem.from_pretrained,
    "with given weights": lambda name: SasRecForNextItem.from_pretrained(name, state_dict={}),
    "load_tokenizer": load_tokenizer,
    "load_starting_point": load_starting_point,
}


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """Fail where anything is asked of the Hub; give a working folder with `runs/model` and `logs/may.csv`."""

    def refuse(*_, **__):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", refuse)
    monkeypatch.setattr("seqrec.interactions.prepared_sets.hf_hub_download", refuse)
    monkeypatch.setattr("seqrec.interactions.sources.load_dataset_builder", refuse)
    monkeypatch.chdir(tmp_path)
    Path("runs/model").mkdir(parents=True)
    Path("logs").mkdir()
    Path("logs/may.csv").write_text("user_id,item_id\n")


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", [*MISTYPED, "runs/model.csv", "org/log.parquet"])
def test_a_mistyped_path_of_a_model_is_never_asked_of_the_hub(no_hub, loader, name):
    with pytest.raises(InputError, match=r"^'[^\n]*is not a folder here, and is not looked up on the Hub[^\n]*$"):
        LOADERS[loader](name)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--dataset", "synthetic", "--output_dir", "out", "--model_name_or_path"],
        ["evaluate", "--dataset", "synthetic", "--model"],
        ["recommend", "--history", "1", "--model"],
        ["push", "--repo_id", "org/name", "--model"],
    ],
    ids=lambda command: command[0],
)
def test_commands_name_folders_of_similar_names(no_hub, capsys, command):
    for name in MISTYPED:
        assert command_line.main([*command, name]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "is not a folder" in told
        if name in ("runs/modle", "runs\\modle"):
            assert "Did you mean 'runs/model'?" in told


@pytest.mark.parametrize("name", ["logs/mya", "logs/mya.csv", "org/may.parquet", "./logs/mya", "logs\\may"])
def test_a_mistyped_path_of_a_data_set_is_never_asked_of_the_hub(no_hub, name):
    with pytest.raises(InputError, match=r"^There is no file [^\n]*$") as raised:
        prepare(DataArguments(dataset=name))
    assert ("Did you mean 'logs/may.csv'?" in str(raised.value)) == ("org" not in name)


def test_names_of_repositories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("org/name", "org/name-1.0", "o_g/na.me"):
        require_model_name(name)
        assert is_hub_name(name)
    assert is_hub_name("name")
    assert is_hub_name("org/name:train+test")
    for name in ("org/name:train", "name", "org/a/b", "", " ", "org/name/", "x" * 97, "org/log.jsonl.gz"):
        with pytest.raises(InputError):
            require_model_name(name)
    Path("org").mkdir()
    assert not is_hub_name("org/name")
    Path("org/name").mkdir()
    require_model_name("org/name")
    require_model_name(Path("org", "name"))


def test_the_command_line_keeps_the_kind_of_an_error(capsys):
    assert command_line.main(["recommend", "--model", "org/name", "--history", "1"]) == 2
    assert "HF_HUB_OFFLINE=1 forbids access" in capsys.readouterr().err


def test_python_users_are_told_of_arguments_and_not_of_flags():
    flag = re.compile(r"(?<!\()--[a-z]\w+")  # in parentheses, it follows the argument
    rooms = [room for room in (Path(__file__).parents[1] / "src/seqrec").iterdir() if room.name != "cli"]
    paths = [path for room in rooms if room.is_dir() for path in room.resolve().rglob("*.py")]
    errors = [node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8"))) if is_raised(node)]
    texts = [node.value for error in errors for node in ast.walk(error) if isinstance(node, ast.Constant)]
    assert len(errors) > 100
    assert [text for text in texts if isinstance(text, str) and flag.search(text)] == []


def is_raised(node):
    """Return whether a node of a syntax tree raises an exception that it makes."""
    return isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
