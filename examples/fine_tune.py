"""Fine-tune a shared recommender, either fully or with a small LoRA adapter (`pip install peft`).

The example first trains a model on synthetic data; replace it with your own folder, or "org/name" on the Hub.
"""

import polars as pl
from peft import LoraConfig, PeftModel, get_peft_model

from seqrec import DataArguments, Recommender, SequentialTrainer, SequentialTrainingArguments, prepare
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.training.job import run_job

SETTINGS = {"num_train_epochs": 5, "learning_rate": 0.01, "disable_tqdm": True}

run_job(
    DataArguments(dataset="synthetic"),
    SequentialTrainingArguments(output_dir="runs/shared", **SETTINGS),
    config_fields={"hidden_size": 32, "max_position_embeddings": 50},
    overwrite=True,
)

# New interactions with the same items, encoded with the model's vocabulary.
recommender = Recommender.from_pretrained("runs/shared")
new = synthetic_interactions(seed=1).filter(pl.col("item_id").is_in(recommender.tokenizer.item_ids))
new.write_parquet("runs/new_interactions.parquet")
data = prepare(DataArguments("runs/new_interactions.parquet"), recommender.tokenizer, refuse_unknown=True)


def trainer_of(model, folder):
    return SequentialTrainer(
        model,
        SequentialTrainingArguments(output_dir=folder, **SETTINGS),
        processing_class=recommender.tokenizer,
        train_dataset=data.sequences["train"],
        eval_dataset=data.sequences["validation"],
        items=data.items,
    )


def ndcg(trainer):
    return trainer.evaluate(data.sequences["test"], metric_key_prefix="test")["test_ndcg@10"]


# With an adapter: the shared weights are frozen, and only a few additional ones are trained, saved and pushed.
adapted = get_peft_model(recommender.model, LoraConfig(r=8, target_modules="all-linear"))
trainer = trainer_of(adapted, "runs/adapter")
before = ndcg(trainer)
trainer.train()
print(f"NDCG@10 on the new interactions: {before:.4f} before fine-tuning, {ndcg(trainer):.4f} with an adapter")
adapted.save_pretrained("runs/adapter")  # or adapted.push_to_hub("org/adapter")

base = Recommender.from_pretrained("runs/shared")
with_adapter = Recommender(PeftModel.from_pretrained(base.model, "runs/adapter"), base.tokenizer, base.items)
print(with_adapter.recommend(base.tokenizer.item_ids[:3], k=3))

# Fully: the same as `seqrec train --model_name_or_path runs/shared --dataset runs/new_interactions.parquet`.
trainer = trainer_of(Recommender.from_pretrained("runs/shared").model, "runs/tuned")
trainer.train()
trainer.save_model()
print(f"NDCG@10 on the new interactions: {ndcg(trainer):.4f} after fine-tuning all weights")
