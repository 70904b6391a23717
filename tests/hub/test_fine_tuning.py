"""Fine-tune a shared model: by any trainer, by the command line, and with an adapter that is shared too."""

import json

NEW_INTERACTIONS = """
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.synthetic import synthetic_interactions

def new_interactions(file):
    '''Write interactions with the catalogue of `make_recommender`.'''
    import polars as pl
    table = synthetic_interactions(num_users=80, num_items=40, num_tastes=2, mean_length=10, seed=3)
    table.with_columns(item_id=pl.format("item {}", "item_id")).write_parquet(file)
    return file
"""


def test_any_trainer_trains_a_pushed_model_on(client, tmp_path):
    losses = client.run(
        NEW_INTERACTIONS
        + """
from transformers import Trainer, TrainingArguments
make_recommender().push_to_hub("maker/base")
result = []
for trainer_class in (Trainer, SequentialTrainer):
    base = Recommender.from_pretrained("maker/base")
    data = prepare(DataArguments(new_interactions(folder + "/new.parquet")), base.tokenizer, refuse_unknown=True)
    arguments = {"output_dir": folder, "num_train_epochs": 8, "learning_rate": 0.01, "disable_tqdm": True,
                 "logging_strategy": "epoch", "save_strategy": "no", "use_cpu": True}
    if trainer_class is Trainer:
        trainer = Trainer(base.model, TrainingArguments(**arguments, dataloader_pin_memory=False),
                          train_dataset=data.sequences["train"], data_collator=NextItemCollator(base.tokenizer, 12))
    else:
        arguments = SequentialTrainingArguments(**arguments, eval_strategy="no", load_best_model_at_end=False)
        trainer = SequentialTrainer(base.model, arguments, processing_class=base.tokenizer,
                                    train_dataset=data.sequences["train"])
    trainer.train()
    result.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    tuned = Recommender(trainer.model, base.tokenizer, data.items)
    assert top(tuned) != top(make_recommender())
    tuned.push_to_hub("maker/tuned")
    assert top(Recommender.from_pretrained("maker/tuned")) == top(tuned)
""",
        folder=str(tmp_path),
    )
    for found in losses:
        assert found[-1] < 0.7 * found[0]


def test_an_adapter_is_pushed_and_loaded_onto_its_base(hub, client, tmp_path):
    client.run(
        NEW_INTERACTIONS
        + """
from peft import LoraConfig, PeftModel, get_peft_model
base = make_recommender("esasrec")
base.push_to_hub("maker/frozen")
shared = Recommender.from_pretrained("maker/frozen")
data = prepare(DataArguments(new_interactions(folder + "/new.parquet")), shared.tokenizer, refuse_unknown=True)
adapted = get_peft_model(shared.model, LoraConfig(r=4, target_modules="all-linear"))
arguments = SequentialTrainingArguments(
    output_dir=folder + "/adapter", num_train_epochs=4, learning_rate=0.05, disable_tqdm=True,
    push_to_hub=True, hub_model_id="maker/adapter", hub_strategy="end",
)
trainer = SequentialTrainer(adapted, arguments, processing_class=shared.tokenizer, items=data.items,
                            train_dataset=data.sequences["train"], eval_dataset=data.sequences["validation"])
trainer.train()
trainer.save_model()
tuned = top(Recommender(adapted, shared.tokenizer, shared.items))
assert tuned != top(base)
fresh = Recommender.from_pretrained("maker/frozen")
loaded = PeftModel.from_pretrained(fresh.model, "maker/adapter")
assert top(Recommender(loaded, fresh.tokenizer, fresh.items)) == tuned
merged = Recommender(loaded.merge_and_unload(), fresh.tokenizer, fresh.items)
for one, other in zip(top(merged), tuned):
    assert [item for item, _ in one] == [item for item, _ in other]
adapted.push_to_hub("maker/adapter-by-peft")
""",
        folder=str(tmp_path),
    )
    repository = hub.store.repositories["model", "maker/adapter"]
    found = repository.commits[repository.refs["refs/heads/main"]]
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "items.parquet"} <= set(found)
    assert not [path for path in found if path.endswith((".bin", ".pt"))]
    assert json.loads(found["adapter_config.json"].content)["base_model_name_or_path"] == "maker/frozen"


TRAIN = """
flags = ["train", "--dataset", new_interactions(folder + "/new.parquet"), "--output_dir", folder + "/tuned",
         "--num_train_epochs", "3", "--learning_rate", "0.01", "--disable_tqdm", "true",
         "--model_name_or_path", "maker/start", *more]
result = command(flags)
"""


def test_the_command_trains_a_repository_on(hub, client, tmp_path):
    client.run(
        """
import polars as pl
from seqrec.interactions.catalogue import Catalogue
start = make_recommender("bert4rec")
start.items = Catalogue(start.items.to_frame().with_columns(title=pl.format("Title of {}", "item_id")))
start.push_to_hub("maker/start")
"""
    )
    status, errors = client.run(NEW_INTERACTIONS + TRAIN, folder=str(tmp_path), more=["--hidden_dropout", "0.1"])
    assert status == 0, errors
    client.run(
        """
tuned, start = Recommender.from_pretrained(folder + "/tuned"), Recommender.from_pretrained("maker/start")
assert tuned.item_ids == start.item_ids
assert tuned.items.titles == start.items.titles
assert tuned.model.config.model_type == "bert4rec" and tuned.model.config.hidden_dropout == 0.1
assert top(tuned) != top(start)
""",
        folder=str(tmp_path),
    )
    metrics = json.loads((tmp_path / "tuned" / "metrics.json").read_text())
    assert metrics["training"]["base_model"] == "maker/start"
    assert metrics["model"]["test"]["ndcg@10"] > 0
    assert "base_model: maker/start" in (tmp_path / "tuned" / "README.md").read_text()


def test_what_a_shared_model_cannot_be_trained_on_is_told(hub, client, tmp_path):
    client.run("make_recommender().push_to_hub('maker/start')")
    for more, told in (
        (["--dataset", "synthetic"], "items in these interactions are not in the model's vocabulary (first: '"),
        (["--hidden_size", "128"], "hidden_size cannot be changed"),
        (["--model_type", "esasrec"], "--model_type esasrec was given, but maker/start is a sasrec"),
        (["--model_revision", "v9"], "the revision does not exist"),
        (["--model_name_or_path", "maker/nothing"], "the repository does not exist"),
    ):
        status, line = client.run(NEW_INTERACTIONS + TRAIN, folder=str(tmp_path), more=more)
        assert status == 2
        assert told in line
    assert not (tmp_path / "tuned" / "config.json").exists()
