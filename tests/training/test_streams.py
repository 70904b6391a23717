"""Training on streams of histories: the same model as on the histories themselves, checked row by row."""

import sys
from pathlib import Path

import datasets
import pytest
import torch

from seqrec import AutoModelForNextItem, Recommender, SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.checkpoints import checkpoints_in

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data

SEQUENCES, TOKENIZER = tiny_data()
TRAIN = SEQUENCES["train"].to_dataset()
UNSAVED = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}


class Rows(torch.utils.data.IterableDataset):
    """A stream of torch, of a known length or not."""

    def __iter__(self):
        return iter(TRAIN)


class CountedRows(Rows):
    def __len__(self):
        return len(TRAIN)


class InOrder(SequentialTrainer):
    """Reads histories in their order, as those of a stream."""

    def _get_train_sampler(self, train_dataset=None):
        return torch.utils.data.SequentialSampler(self.train_dataset)


@pytest.fixture
def make(tmp_path):
    """Make a trainer of a tiny model."""

    def trainer(rows, model_type="sasrec", kind=SequentialTrainer, callbacks=None, folder=None, **settings):
        torch.manual_seed(0)
        fields = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12, "hidden_dropout": 0.1}
        model = AutoModelForNextItem.from_config(MODEL_TYPES[model_type](vocab_size=len(TOKENIZER), **fields))
        own = {"disable_tqdm": True, "use_cpu": True, "per_device_train_batch_size": 16, "logging_strategy": "no"}
        return kind(
            model,
            SequentialTrainingArguments(str(folder or tmp_path), **own | UNSAVED | settings),
            processing_class=TOKENIZER,
            train_dataset=rows,
            eval_dataset=SEQUENCES["validation"],
            callbacks=callbacks,
        )

    return trainer


STREAMS = {"datasets": TRAIN.to_iterable_dataset, "torch": Rows, "counted": CountedRows}


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_trains_the_model_that_its_histories_train(stream, packing, model_type, make):
    """For two passes: masks differ between them, and in the same way."""
    steps = {} if stream == "counted" else {"max_steps": 8}
    trainer = make(STREAMS[stream](), model_type, packing=packing, num_train_epochs=2, **steps)
    trainer.train()
    expected = make(SEQUENCES["train"], model_type, InOrder, packing=packing, num_train_epochs=2)
    expected.train()
    assert trainer.state.global_step == expected.state.global_step == 8
    torch.testing.assert_close(trainer.model.state_dict(), expected.model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(("wanted", "expected"), [(None, False), (True, True)])
def test_each_process_reads_a_stream_unless_the_arguments_say_otherwise(wanted, expected, make):
    """Batches of the first process would differ in width, and could not be cut into shares."""
    trainer = make(STREAMS["torch"](), max_steps=8, accelerator_config={"dispatch_batches": wanted})
    assert trainer.args.accelerator_config.dispatch_batches is expected


@pytest.mark.parametrize("stream", ["datasets", "torch"])
def test_without_a_length_the_number_of_steps_must_be_given(stream, make):
    with pytest.raises(InputError, match=r"train_dataset is a stream of unknown length, so max_steps must say"):
        make(STREAMS[stream]())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"input_ids": [3, 4, 43]}], r"input_ids holds token ids from 3 to 43, but .* 3 to 42"),
        ([{"input_ids": [3, 4]}, {"input_ids": [-1, 3]}], "input_ids holds token ids from -1 to 4"),
        ([{"input_ids": [3.5, 4.0]}], "input_ids must hold token ids, all integers"),
        ([{"item_ids": [3, 4]}], "The histories have no input_ids; their columns are item_ids"),
    ],
)
@pytest.mark.parametrize("packing", [True, False])
def test_unusable_rows_are_refused_when_they_arrive(rows, message, packing, make):
    stream = datasets.IterableDataset.from_generator(lambda: iter(rows))
    with pytest.raises(InputError, match=message) as raised:
        make(stream, packing=packing, max_steps=2).train()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model_type", ["sasrec", "bert4rec"])
def test_an_interrupted_training_on_a_stream_resumes_to_the_same_weights(model_type, make, tmp_path):
    def trainer(folder):
        stream = TRAIN.to_iterable_dataset(num_shards=2).shuffle(seed=1, buffer_size=20)
        saving = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
        return make(stream, model_type, folder=tmp_path / folder, max_steps=4, save_total_limit=5, **saving)

    whole = trainer("run")
    whole.train()
    first = checkpoints_in(tmp_path / "run")[0]
    assert first.name == "checkpoint-2"
    resumed = trainer("run")
    resumed.train(resume_from_checkpoint=str(first))
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    other = make(SEQUENCES["train"], model_type, max_steps=4)
    with pytest.raises(InputError, match="it was trained on other histories"):
        other.train(resume_from_checkpoint=str(first))


def test_a_model_of_a_stream_is_saved_with_its_vocabulary(make, tmp_path):
    make(Rows(), max_steps=1).save_model()
    recommender = Recommender.from_pretrained(tmp_path, device="cpu")
    assert recommender.items.item_ids == TOKENIZER.item_ids
    assert not recommender.items.counts.any()


def test_validation_is_never_a_stream(make):
    trainer = make(SEQUENCES["train"])
    with pytest.raises(InputError, match=r"Histories must be .* not IterableDataset"):
        trainer.evaluate(TRAIN.to_iterable_dataset())
    assert isinstance(trainer.train_dataset, Histories)
