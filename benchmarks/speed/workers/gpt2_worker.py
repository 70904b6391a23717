"""Measures an alternative without this library: GPT-2 on item ids, trained by `transformers.Trainer`.

Each user's newest items form one row, padded to the longest in the batch. Batches are grouped by length, the Trainer's
own way to reduce padding. Attention has no dropout, which is fastest on a CPU.
"""

import torch
from protocol import Channel, Gate, Message, serve
from seqrec_data import load_training
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from trainer_callback import ONLY_TRAINING, GateCallback, output_folder
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments


def train(request: Message, channel: Channel) -> None:
    """Train; units are targets."""
    settings = request["settings"]
    histories, tokenizer = load_training(request)
    length = settings["max_length"] + 1
    rows = [{"input_ids": torch.as_tensor(ids[-length:])} for ids in histories["input_ids"]]
    torch.manual_seed(42)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=length, attn_pdrop=0.0, **settings["config"])
    model = GPT2LMHeadModel(config)
    arguments = TrainingArguments(
        output_dir=output_folder(),
        per_device_train_batch_size=settings["batch_size"],
        bf16=settings["bf16"],
        use_cpu=True,
        dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length",
        **ONLY_TRAINING,
    )
    callback = GateCallback(Gate(channel), model, shifted=True)
    Trainer(model, arguments, data_collator=collate, train_dataset=rows, callbacks=[callback]).train()


def collate(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Pad to the longest row on the right, where causal attention needs no mask; padding has no labels."""
    sequences = [row["input_ids"].long() for row in rows]
    return {
        "input_ids": pad_sequence(sequences, batch_first=True),
        "labels": pad_sequence(sequences, batch_first=True, padding_value=-100),
    }


if __name__ == "__main__":
    serve({"train": train})
