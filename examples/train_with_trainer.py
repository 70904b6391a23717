"""Train, evaluate and use a recommender in Python, step by step, on synthetic data."""

from seqrec import (
    Catalogue,
    ItemTokenizer,
    Recommender,
    SasRecConfig,
    SasRecForNextItem,
    SequentialTrainer,
    SequentialTrainingArguments,
    build_sequences,
    leave_one_out,
    load_interactions,
)

data = load_interactions("synthetic")  # or a CSV, Parquet or JSONL file, a frame, a data set on the Hub
split = leave_one_out(data.interactions)
tokenizer = ItemTokenizer.from_interactions(split.train, catalogue=data.interactions["item_id"])
sequences = build_sequences(split, tokenizer)
items = Catalogue.from_interactions(split.train, tokenizer, data.items)

model = SasRecForNextItem(SasRecConfig(vocab_size=len(tokenizer), hidden_size=32, max_position_embeddings=50))
trainer = SequentialTrainer(
    model,
    SequentialTrainingArguments(output_dir="runs/example", num_train_epochs=5),
    processing_class=tokenizer,
    train_dataset=sequences["train"],
    eval_dataset=sequences["validation"],
    items=items,
)
trainer.train()
print(trainer.evaluate(sequences["test"], metric_key_prefix="test"))

recommender = Recommender(trainer.model, tokenizer, items)
for recommendation in recommender.recommend(tokenizer.item_ids[:3], k=5):
    print(recommendation)
