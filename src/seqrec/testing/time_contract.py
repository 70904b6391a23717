"""Contract tests of times, for models that declare `time_classes`.

Shape suffixes: B batch, L length.
"""

from itertools import pairwise

import pytest
import torch

from seqrec.interactions.history_collator import HistoryCollator, encoder_inputs
from seqrec.modeling.objectives import training_collator
from seqrec.testing.tiny_inputs import HISTORIES, every_time, gradients, inputs_of, rows_of, times_of, without_dropout

__all__ = ["TimeContract"]

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
DAY = 86_400
HISTORY = HISTORIES[1]


def shifted(model, place, seconds):
    """Return the inputs of a history in which the events from a place on, and the request, happen later."""
    times = [time + seconds * (index >= place) for index, time in enumerate(times_of(HISTORY))]
    return inputs_of(model, [HISTORY], timestamps=times[:-1], target_timestamp=times[-1])


class TimeContract:
    """Times are read as far as `request_time` allows, however batches are laid out; see `ModelContract`."""

    @every_time
    def test_times_change_what_a_model_predicts(self, tiny_model):
        users, later = (tiny_model.encode_users(**shifted(tiny_model, 4, seconds)) for seconds in (0, 100 * DAY))
        assert not torch.allclose(later, users, atol=1e-3)

    @every_time
    def test_packed_histories_with_times_are_read_as_if_alone(self, tiny_model, tokenizer):
        if not tiny_model.objective.is_causal:
            pytest.skip("masks differ from batch to batch; the loss is compared instead")
        batch = training_collator(tiny_model, tokenizer)(rows_of(tiny_model, HISTORIES))
        labels_BL = batch.pop("labels")
        packed = tiny_model.model(**batch).last_hidden_state
        for row, starts in enumerate(batch["position_ids"] == 0):
            # The last event of a training row has no label, and is not read.
            columns = [*starts.nonzero()[:, 0].tolist(), len(starts)]
            for start, end in pairwise(columns):
                ids = batch["input_ids"][row, start:end].tolist()
                if labels_BL[row, start] == -100:
                    continue
                history = next(history for history in HISTORIES if history[:-1] == ids)
                inputs = {name: values[:, :-1] for name, values in inputs_of(tiny_model, [history]).items()}
                alone = tiny_model.model(**inputs).last_hidden_state[0]
                torch.testing.assert_close(packed[row, start:end], alone, **CLOSE)

    @every_time
    def test_packing_gives_the_loss_and_gradients_of_padding_with_times(self, tiny_model, tokenizer):
        without_dropout(tiny_model)
        rows = rows_of(tiny_model, [*HISTORIES, list(range(3, 40)), HISTORIES[1] * 3])
        batches = []
        for packing in (True, False):
            torch.manual_seed(1)  # the same masks, if the objective masks items
            batches.append(training_collator(tiny_model, tokenizer, packing=packing)(rows))
        packed, unpacked = (gradients(tiny_model, batch) for batch in batches)
        torch.testing.assert_close(packed, unpacked, **CLOSE)
        moved = [name for name, gradient in packed[1].items() if "time" in name and gradient.any()]
        assert moved or not any("time" in name for name in packed[1])

    @every_time
    def test_batches_of_histories_are_encoded_as_if_alone(self, tiny_model):
        collate = HistoryCollator(tiny_model.config.max_history_length, tiny_model.config.event_columns)
        rows = rows_of(tiny_model, [*HISTORIES, list(range(3, 40))])
        together = tiny_model.encode_users(**encoder_inputs(collate(rows)))
        alone = torch.cat([tiny_model.encode_users(**encoder_inputs(collate([row]))) for row in rows])
        torch.testing.assert_close(together, alone, **CLOSE)

    @every_time
    def test_a_position_knows_no_later_time_but_that_of_its_request(self, tiny_model):
        if not tiny_model.objective.is_causal:
            pytest.skip("a bidirectional model looks ahead by design")
        place = 4
        before, after = (tiny_model(**shifted(tiny_model, place, seconds)).logits for seconds in (0, 100 * DAY))
        told = place - 1 if tiny_model.config.request_time == "target" else place
        torch.testing.assert_close(after[:, :told], before[:, :told])
        assert not torch.allclose(after[:, told, 3:], before[:, told, 3:], atol=1e-4)

    @every_time
    def test_only_a_model_of_target_is_told_when_the_request_comes(self, tiny_model):
        now, later = (
            tiny_model.encode_users(**shifted(tiny_model, len(HISTORY), seconds)) for seconds in (0, 1000 * DAY)
        )
        assert torch.equal(now, later) == (tiny_model.config.request_time == "last_event")

    @every_time
    def test_a_missing_time_is_refused(self, tiny_model):
        with pytest.raises(ValueError, match=r"reads the event column 'timestamps', .* Pass timestamps="):
            tiny_model.encode_users(torch.tensor([HISTORY]))
        inputs = inputs_of(tiny_model, [HISTORY])
        if inputs.pop("request_times", None) is not None:
            with pytest.raises(ValueError, match=r"reads the event column 'request_times', .* Pass request_times="):
                tiny_model.encode_users(**inputs)

    def test_a_model_without_times_reads_none(self, tiny_model, tokenizer):
        if tiny_model.config.reads_time:
            pytest.skip("reads times by default")
        assert tiny_model.config.event_columns == ("input_ids",)
        row = {"input_ids": HISTORY, "timestamps": times_of(HISTORY)[:-1]}
        assert set(training_collator(tiny_model, tokenizer)([row])) == {"input_ids", "position_ids", "labels"}
