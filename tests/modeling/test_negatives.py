"""Negatives follow their distribution, and score as if each token were scored alone."""

import pytest
import torch

from seqrec import AutoModelForNextItem, SasRecConfig, SasRecForNextItem
from seqrec.modeling.losses import cross_entropy, sampled_softmax
from seqrec.modeling.negatives import draw_negatives, log_uniform_probability, score_candidates

CPU = torch.device("cpu")


@pytest.mark.parametrize("sampling", ["uniform", "log_uniform"])
def test_items_are_drawn_as_often_as_their_probability_says(sampling):
    torch.manual_seed(0)
    drawn = draw_negatives(sampling, 20, (100, 5000), CPU)
    share_V = torch.bincount(drawn.flatten(), minlength=23).double() / drawn.numel()
    items = torch.arange(3, 23)
    expected = torch.full((20,), 1 / 20) if sampling == "uniform" else log_uniform_probability(items, 20)
    assert share_V[:3].sum() == 0
    assert len(share_V) == 23
    torch.testing.assert_close(share_V[3:].float(), expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(expected.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("sampling", ["uniform", "log_uniform"])
@pytest.mark.parametrize("num_items", [1, 2])
def test_a_tiny_catalogue_has_negatives_too(sampling, num_items):
    assert set(draw_negatives(sampling, num_items, (3, 500), CPU).flatten().tolist()) == set(range(3, 3 + num_items))
    assert log_uniform_probability(torch.arange(3, 3 + num_items), num_items).sum() == pytest.approx(1)


@pytest.mark.parametrize("loss", ["cross_entropy", "sampled_softmax", "bce", "gbce"])
@pytest.mark.parametrize("negatives_shared_by", ["batch", "sequence"])
@pytest.mark.parametrize("num_labels", [0, 4])
@pytest.mark.parametrize("num_items", [1, 2, 8])
def test_more_negatives_than_items_or_no_label_leave_loss_and_gradients_finite(
    loss, negatives_shared_by, num_labels, num_items
):
    options = {"num_negatives": 300, "negatives_shared_by": negatives_shared_by} if loss != "cross_entropy" else {}
    torch.manual_seed(0)
    model = SasRecForNextItem(SasRecConfig(vocab_size=num_items + 3, hidden_size=16, loss=loss, **options)).eval()
    ids, labels = torch.randint(3, 3 + num_items, (2, 4)), torch.full((2, 4), -100)
    labels[0, :num_labels] = 3
    found = model(ids, torch.ones_like(ids), labels=labels).loss
    found.backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert found.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert bool(gradients) == bool(num_labels)
    if not num_labels:
        assert found == 0


def test_candidates_are_scored_token_by_token():
    torch.manual_seed(0)
    items_VD, hidden_GMD = torch.randn(12, 6), torch.randn(3, 5, 6)
    labels_GM, negatives_GS = torch.randint(3, 12, (3, 5)), torch.randint(3, 12, (3, 4))
    targets, negatives = score_candidates(
        hidden_GMD, items_VD[labels_GM], items_VD[negatives_GS], labels_GM, negatives_GS
    )
    for group in range(3):
        for token in range(5):
            vector, label = hidden_GMD[group, token], labels_GM[group, token]
            torch.testing.assert_close(targets[group, token], vector @ items_VD[label])
            for place, item in enumerate(negatives_GS[group]):
                found = negatives[group, token, place]
                assert found < -1e37 if item == label else torch.isclose(found, vector @ items_VD[item], atol=1e-5)


def test_softmax_over_every_item_is_cross_entropy():
    torch.manual_seed(0)
    hidden_ND, items_VD, labels_N = torch.randn(30, 6), torch.randn(12, 6), torch.randint(3, 12, (30,))
    everything = torch.arange(3, 12)[None]
    targets, negatives = score_candidates(
        hidden_ND[None], items_VD[labels_N][None], items_VD[everything], labels_N[None], everything
    )
    torch.testing.assert_close(sampled_softmax(targets[0], negatives[0]), cross_entropy(hidden_ND, items_VD, labels_N))


def test_corrected_popular_negatives_weigh_as_uniform_ones():
    """With many of them, the loss is that of uniform ones; without the correction it is another."""
    torch.manual_seed(0)
    ids, labels = torch.randint(3, 103, (4, 10)), torch.randint(3, 103, (4, 10))
    losses = {}
    for sampling in ("uniform", "log_uniform"):
        config = SasRecConfig(
            vocab_size=103,
            hidden_size=16,
            initializer_range=0.5,
            loss="sampled_softmax",
            num_negatives=50_000,
            negative_sampling=sampling,
        )
        torch.manual_seed(1)
        model = SasRecForNextItem(config).eval()
        losses[sampling] = model(ids, torch.ones_like(ids), labels=labels).loss
    torch.testing.assert_close(losses["log_uniform"], losses["uniform"], atol=0.02, rtol=0)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bce", "gbce"])
def test_negatives_of_a_sequence_are_scored_in_its_row_only(loss, monkeypatch):
    """Sharing by sequence gives the sum of the losses of the rows, each with its own negatives."""
    from seqrec.modeling import modeling_next_item

    config = SasRecConfig(
        vocab_size=43, hidden_size=16, initializer_range=0.5, loss=loss, num_negatives=5, negatives_shared_by="sequence"
    )
    torch.manual_seed(0)
    model = SasRecForNextItem(config).eval()
    ids, labels = torch.randint(3, 43, (3, 6)), torch.randint(3, 43, (3, 6))
    labels[0, :4] = -100
    drawn = torch.randint(3, 43, (3, 5))
    monkeypatch.setattr(modeling_next_item, "draw_negatives", lambda *_: drawn)
    together = model(ids, torch.ones_like(ids), labels=labels, num_items_in_batch=1).loss
    alone = 0
    for row in range(3):
        monkeypatch.setattr(modeling_next_item, "draw_negatives", lambda *_, row=row: drawn[row : row + 1])
        one = slice(row, row + 1)
        alone = alone + model(ids[one], torch.ones_like(ids[one]), labels=labels[one], num_items_in_batch=1).loss
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("sampling", ["uniform", "log_uniform"])
@pytest.mark.parametrize(("shared_by", "num_groups"), [("batch", 1), ("sequence", 3)])
@pytest.mark.parametrize("num_negatives", [1, 9])
def test_negatives_are_drawn_as_the_configuration_says(sampling, shared_by, num_groups, num_negatives, monkeypatch):
    from seqrec.modeling import modeling_next_item

    asked = []

    def draw(*args):
        asked.append(args[:3])
        return draw_negatives(*args)

    monkeypatch.setattr(modeling_next_item, "draw_negatives", draw)
    config = SasRecConfig(
        vocab_size=43,
        hidden_size=16,
        loss="sampled_softmax",
        num_negatives=num_negatives,
        negative_sampling=sampling,
        negatives_shared_by=shared_by,
    )
    ids = torch.randint(3, 43, (3, 6))
    SasRecForNextItem(config)(ids, torch.ones_like(ids), labels=ids)
    assert asked == [(sampling, 40, (num_groups, num_negatives))]


def test_cosine_logits_are_cosines_times_their_scale(tiny_config):
    tiny_config.logit_scale = 7.0
    torch.manual_seed(0)
    model = AutoModelForNextItem.from_config(tiny_config).eval()
    history = torch.tensor([[5, 9, 7]])
    users_BD, items_VD = model.encode_users(history), model.encode_items()
    torch.testing.assert_close(users_BD.norm(dim=1), torch.tensor([7.0]))
    torch.testing.assert_close(items_VD[3:].norm(dim=1), torch.ones(len(items_VD) - 3))
    torch.testing.assert_close(model.encode_items(history), items_VD[history])
    asked = history if model.objective.is_causal else torch.nn.functional.pad(history, (0, 1), value=1)
    torch.testing.assert_close(model(asked).logits[:, -1, 3:], (users_BD @ items_VD.T)[:, 3:])
    assert model(asked).logits[..., 3:].abs().max() <= 7.0001


COUNTS = torch.tensor([0, 0, 0, 2, 9, 2, 5])  # items 4, 6, 3, 5 by count, ties by token id


def test_log_uniform_negatives_follow_the_counts():
    torch.manual_seed(0)
    model = SasRecForNextItem(SasRecConfig(vocab_size=7, hidden_size=16, loss="sampled_softmax"))
    model.set_item_counts(COUNTS.numpy())
    order, ranks = model.items_by_count_I, model.ranks_by_count_I
    assert (order + 3).tolist() == [4, 6, 3, 5]
    drawn = draw_negatives("log_uniform", 4, (100, 5000), CPU, order)
    share = torch.bincount(drawn.flatten(), minlength=7).double() / drawn.numel()
    expected = log_uniform_probability(torch.arange(3, 7), 4, ranks)
    torch.testing.assert_close(share[3:].float(), expected, atol=2e-3, rtol=0)
    by_rank = log_uniform_probability(torch.arange(3, 7), 4)
    assert expected.tolist() == by_rank[[2, 0, 3, 1]].tolist()
    assert not {"items_by_count_I", "ranks_by_count_I"} & model.state_dict().keys()


@pytest.mark.parametrize("counts", [[0, 0, 0, 9, 5, 2, 2], [0, 0, 0, 4, 4, 4, 4]])
def test_counts_in_the_order_of_token_ids_change_nothing(counts):
    model = SasRecForNextItem(SasRecConfig(vocab_size=7, hidden_size=16))
    model.set_item_counts(COUNTS)
    model.set_item_counts(torch.tensor(counts))
    assert model.items_by_count_I is model.ranks_by_count_I is None


def test_the_loss_corrects_for_how_counts_draw():
    """As a model whose items are numbered by their counts has it."""
    config = SasRecConfig(
        vocab_size=7, hidden_size=16, loss="sampled_softmax", negative_sampling="log_uniform", initializer_range=0.5
    )
    torch.manual_seed(0)
    by_counts, by_order = (SasRecForNextItem(config).eval() for _ in range(2))
    by_order.load_state_dict(by_counts.state_dict())
    new_id = torch.tensor([0, 1, 2, 5, 3, 6, 4])  # of each token id, where the most popular comes first
    weight = by_order.model.item_embedding.weight.data
    weight[new_id] = weight.clone()
    by_counts.set_item_counts(COUNTS)
    ids = torch.tensor([[3, 4, 5, 6]])
    losses = []
    for model, inputs in ((by_counts, ids), (by_order, new_id[ids])):
        torch.manual_seed(1)
        losses.append(model(inputs, torch.ones_like(ids), labels=inputs.roll(-1, 1)).loss)
    torch.testing.assert_close(*losses)
    by_counts.set_item_counts(torch.arange(7, 0, -1))
    torch.manual_seed(1)
    assert not torch.isclose(by_counts(ids, torch.ones_like(ids), labels=ids.roll(-1, 1)).loss, losses[0])


def test_counts_must_be_those_of_the_vocabulary_and_are_forgotten_with_it():
    model = SasRecForNextItem(SasRecConfig(vocab_size=7, hidden_size=16))
    with pytest.raises(ValueError, match=r"Counts have the shape \(4,\), but the model has 7 token ids"):
        model.set_item_counts(COUNTS[3:])
    model.set_item_counts(COUNTS)
    model.resize_token_embeddings(9, mean_resizing=False)
    assert model.items_by_count_I is None
