"""Values of item features and the vectors made of them."""

import numpy as np
import pytest
import torch
from torch import nn

from seqrec import AutoModelForNextItem, SasRecConfig
from seqrec.errors import InputError
from seqrec.modeling.bounded_sum import BLOCK_NUMBERS, EPS, BoundedSum
from seqrec.modeling.item_encoder import BLOCK
from seqrec.modeling.mean_of_values import ItemsByValue, MeanOfValues
from seqrec.modeling.modeling_sasrec import SasRecForNextItem

NUM_ITEMS = 6
ENTRIES = {
    "genre": {"kind": "category", "size": 5, "per_item": 2},
    "year": {"kind": "number"},
    "title": {"kind": "vector", "size": 3},
}


def values_of(num_items=NUM_ITEMS, size=3):
    random = np.random.default_rng(0)
    return {
        "genre": random.integers(1, 5, (num_items, 2)),
        "year": random.normal(size=num_items),
        "title": random.normal(size=(num_items, size)),
    }


def model_of(num_items=NUM_ITEMS, features=ENTRIES, **fields):
    torch.manual_seed(0)
    config = SasRecConfig(vocab_size=num_items + 3, hidden_size=16, item_features=features, **fields)
    return SasRecForNextItem(config).eval()


@pytest.mark.parametrize("num_codes", [4, 50])
def test_the_mean_of_values_has_the_gradient_of_its_formula(num_codes):
    codes_VP = torch.randint(0, num_codes, (70, 3), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    codes_VP[:3], codes_VP[5], codes_VP[6] = 0, 0, torch.tensor([2, 0, 2])
    weight_CD, grad_VD = torch.randn(num_codes, 8, requires_grad=True), torch.randn(70, 8)
    found_VD = MeanOfValues.apply(weight_CD, ItemsByValue.of(codes_VP, num_codes))
    found_VD.backward(grad_VD)
    found, weight_CD.grad = weight_CD.grad, None
    rows = []
    for codes in codes_VP.tolist():
        known = [code for code in codes if code not in (0, 2)]
        rows.append(sum((weight_CD[code] for code in known), torch.zeros(8)) / max(1, len(known)))
    expected_VD = torch.stack(rows)
    expected_VD.backward(grad_VD)
    torch.testing.assert_close(found_VD, expected_VD)
    torch.testing.assert_close(found, weight_CD.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bounded_sum_has_the_gradient_of_its_formula(dtype):
    generator = torch.Generator().manual_seed(0)
    num_rows, bound = 2 * BLOCK_NUMBERS // 2**14 + 7, 0.3
    own_ND, content_ND, grad_ND = torch.randn(3, num_rows, 2**14, generator=generator).unbind()
    own_ND = own_ND * torch.linspace(0, 0.01, num_rows)[:, None]  # some are shorter than the bound, one is 0
    content_ND[0], content_ND[1] = 0, 1e-8
    inputs = own_ND.requires_grad_(), content_ND.to(dtype).requires_grad_()
    found_ND = BoundedSum.apply(*inputs, bound)
    found = torch.autograd.grad(found_ND, inputs, grad_ND)
    own_N1 = own_ND.norm(dim=1, keepdim=True)
    assert (own_N1 < bound).sum() > 1
    assert (own_N1 > bound).sum() > 1
    bounded_ND = own_ND * (bound / own_N1.clamp(min=bound))
    expected_ND = bounded_ND + nn.functional.normalize(inputs[1].float(), eps=EPS)
    expected = torch.autograd.grad(expected_ND, inputs, grad_ND)
    atol = {torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found_ND, expected_ND, atol=atol, rtol=atol)
    for found_one, expected_one in zip(found, expected, strict=True):
        assert found_one.dtype == expected_one.dtype
        torch.testing.assert_close(found_one[2:], expected_one[2:], atol=atol, rtol=atol)
        torch.testing.assert_close(found_one[:2] * EPS, expected_one[:2] * EPS, atol=atol, rtol=atol)


def test_the_order_of_values_follows_new_values():
    model = model_of(item_id_embedding="none").train()
    for shift in (0, 1):
        values = values_of()
        values["genre"] = (values["genre"] + shift) % 4 + 1
        model.set_feature_values(values)
        model.zero_grad()
        model.encode_items().sum().backward()
        genre = next(part for part in model.model.item_encoder.features if part.name == "genre")
        expected_C = torch.zeros(5)
        for codes in values["genre"].tolist():
            known = [code for code in codes if code != 2]
            for code in known:
                expected_C[code] += 1 / len(known)
        torch.testing.assert_close(genre.embedding.weight.grad[:, 0], expected_C)


def test_without_values_all_are_missing():
    model = model_of(item_id_embedding="none")
    vectors_VD = model.encode_items()
    assert torch.equal(vectors_VD[3:], vectors_VD[3].expand(NUM_ITEMS, 16))
    before = vectors_VD.detach()
    missing = {"genre": np.array([[1, 0]]), "year": np.array([np.nan]), "title": np.full((1, 3), np.nan)}
    model.set_feature_values({name: array.repeat(NUM_ITEMS, axis=0) for name, array in missing.items()})
    assert torch.equal(model.encode_items(), before)
    model.set_feature_values(values_of())
    assert not torch.allclose(model.encode_items()[3:], before[3:])
    assert torch.equal(model.encode_items()[:3], before[:3])  # special tokens have no features


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_unknown_values_add_nothing_and_learn_nothing(mode):
    model = model_of(features={"genre": ENTRIES["genre"]}, item_id_embedding="none").train(mode == "train")
    model.set_feature_values({"genre": np.array([[2, 0], [3, 2], [3, 0], *[[4, 0]] * 3])})
    ids = torch.arange(3, 6)
    for unknown, mixed, known in (model.encode_items()[3:6], model.encode_items(ids)):
        assert not unknown.any()
        assert known.any()
        assert torch.equal(mixed, known)
    (genre,) = model.model.item_encoder.features
    (model.encode_items().sum() + model.encode_items(ids).sum()).backward()
    assert not genre.embedding.weight.grad[2].any()
    assert genre.embedding.weight.grad[3].any()


def test_a_vector_without_a_direction_is_missing():
    features = {"title": ENTRIES["title"]}
    model = model_of(features=features, item_id_embedding="none")
    model.set_feature_values({"title": np.array([[0, 0, 0], [np.nan] * 3, [2, 0, 0], [5, 0, 0], *[[1, 1, 0]] * 2])})
    vectors_VD = model.encode_items()
    assert torch.equal(vectors_VD[3], vectors_VD[4])
    torch.testing.assert_close(vectors_VD[5], vectors_VD[6])
    assert (vectors_VD[3] - vectors_VD[7]).norm() > 0.01


def test_vectors_that_are_all_the_same_stay_the_same():
    model = model_of(features={"title": ENTRIES["title"]}, item_id_embedding="none")
    model.set_feature_values({"title": np.ones((6, 3))})
    vectors_VD = model.encode_items()
    torch.testing.assert_close(vectors_VD[3:], vectors_VD[3].expand(6, 16))


def test_later_items_are_whitened_as_the_first_ones():
    features, titles = {"title": ENTRIES["title"]}, values_of(9)["title"] * [9, 3, 1] + 5
    model = model_of(9, features)
    model.set_feature_values({"title": titles})
    part = model.model.item_encoder.features.parts[0]
    centred = part.values_VF[3:, :-1].mean(dim=0)
    assert centred.norm() < 0.3 < np.linalg.norm(titles.mean(axis=0)) / np.linalg.norm(titles, axis=1).mean()
    matrix, before = part.whitening.matrix_FF.clone(), part.values_VF.clone()
    for first_row in (6, 0):
        model.set_feature_values({"title": titles[first_row:]}, first_row=first_row)
        assert torch.equal(part.whitening.matrix_FF, matrix)
        torch.testing.assert_close(part.values_VF, before)


def test_the_order_of_the_features_changes_nothing():
    reversed_entries = dict(reversed(ENTRIES.items()))
    first, second = model_of(), model_of(features=reversed_entries)
    first.set_feature_values(values_of())
    second.set_feature_values(dict(reversed(values_of().items())))
    assert torch.equal(first.encode_items(), second.encode_items())


@pytest.mark.parametrize("name", ["type", "keys", "forward", "a.b", "weight", "0", "two words"])
def test_columns_of_any_name_are_features(name, tmp_path):
    model = model_of(features={name: ENTRIES["year"]})
    model.set_feature_values({name: values_of()["year"]})
    model.save_pretrained(tmp_path)
    loaded = AutoModelForNextItem.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded.encode_items(), model.encode_items())


@torch.no_grad()
def test_in_a_large_catalogue_new_items_change_no_bit():
    features = {**ENTRIES, "title": {"kind": "vector", "size": 384}}
    values = values_of(BLOCK * 2 + 70, 384)
    model = model_of(BLOCK + 50, features, item_id_embedding="bounded", initializer_range=0.5)
    model.model.item_encoder.weight.normal_()
    model.set_feature_values({name: array[: BLOCK + 50] for name, array in values.items()})
    before_VD = model.encode_items()
    model.resize_token_embeddings(BLOCK * 2 + 73, mean_resizing=False)
    model.set_feature_values({name: array[BLOCK + 50 :] for name, array in values.items()}, first_row=BLOCK + 50)
    assert torch.equal(model.encode_items()[: BLOCK + 53], before_VD)
    ids = torch.randint(0, BLOCK * 2 + 73, (5, 7))
    assert torch.equal(model.encode_items(ids), model.encode_items()[ids])
    with torch.enable_grad():
        torch.testing.assert_close(model.encode_items(), model.encode_items().detach())


@pytest.mark.parametrize("mean_resizing", [True, False])
@pytest.mark.parametrize("id_embedding", ["free", "bounded", "none"])
def test_a_vocabulary_grows_and_shrinks(id_embedding, mean_resizing):
    model = model_of(item_id_embedding=id_embedding)
    model.set_feature_values(values_of())
    before_VD = model.encode_items().detach()
    model.resize_token_embeddings(12, mean_resizing=mean_resizing)
    torch.testing.assert_close(model.encode_items()[:9], before_VD)
    assert torch.equal(model.encode_items()[9], model.encode_items()[11])
    assert not model.model.item_encoder.weight[9:].any()
    model.resize_token_embeddings(7, mean_resizing=mean_resizing)
    torch.testing.assert_close(model.encode_items(), before_VD[:7])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_items_start_as_their_features_next_to_bounded_embeddings():
    model = model_of(item_id_embedding="bounded")
    model.set_feature_values({name: array[[0] * NUM_ITEMS] for name, array in values_of().items()})
    vectors_VD = model.encode_items()
    torch.testing.assert_close(vectors_VD[3:], vectors_VD[3].expand(NUM_ITEMS, 16))
    vectors_VD.square().sum().backward()
    assert model.model.item_encoder.weight.grad[3:].any(dim=1).all()


def test_a_bounded_embedding_stays_within_its_bound():
    model = model_of(item_id_embedding="bounded", item_id_bound=0.25)
    model.set_feature_values(values_of())
    with torch.no_grad():
        model.model.item_encoder.weight.normal_(std=100)
    others = model_of(item_id_embedding="bounded", item_id_bound=0.25)
    others.load_state_dict(model.state_dict())
    nn.init.zeros_(others.model.item_encoder.weight)
    deltas_ID = model.encode_items()[3:] - others.encode_items()[3:]
    torch.testing.assert_close(deltas_ID.norm(dim=1), torch.full((NUM_ITEMS,), 0.25))
    torch.testing.assert_close(others.encode_items()[3:].norm(dim=1), torch.ones(NUM_ITEMS))
    others.train().encode_items().sum().backward()  # from embeddings of length 0
    assert all(p.grad.isfinite().all() for p in others.parameters() if p.grad is not None)


def test_an_id_embedding_that_is_not_free_needs_features():
    with pytest.raises(InputError, match="item_id_embedding='none' needs item_features, which are empty"):
        model_of(features={}, item_id_embedding="none")
    with pytest.raises(InputError, match="The model reads no item features"):
        model_of(features={}).set_feature_values(values_of())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"genre": None}, "Values of the item features year, title were given, but the model reads genre, title, year"),
        ({"price": np.ones(NUM_ITEMS)}, "features genre, year, title, price were given, but the model reads genre"),
        ({"year": np.ones(4)}, r"Values of 6 \(genre\), 4 \(year\), 6 \(title\) items were given, but the model has 6"),
        ({"year": np.float64(3)}, r"1 \(year\)"),
        ({"genre": np.ones((6, 3), dtype=int)}, r"'genre' have the shape \(6, 3\). Give \(I, 2\) of them"),
        ({"genre": np.ones(6, dtype=int)}, r"'genre' have the shape \(6,\). Give \(I, 2\) of them"),
        ({"genre": np.full((6, 2), 5)}, "'genre' must be integers from 0 to 4, as the model has 5 codes"),
        ({"genre": np.full((6, 2), -1)}, "'genre' must be integers from 0 to 4"),
        ({"genre": np.ones((6, 2))}, "'genre' must be integers from 0 to 4"),
        ({"genre": np.zeros((6, 2), dtype=int)}, "'genre' are all 0 for one item. Give the code 1 to an item without"),
        ({"year": np.full(6, np.inf)}, "'year' must be finite, or NaN if missing"),
        ({"year": np.ones((6, 1))}, r"'year' have the shape \(6, 1\). Give \(I\) of them"),
        ({"title": np.ones((6, 4))}, r"'title' have the shape \(6, 4\). Give \(I, 3\) of them"),
        ({"title": np.array([[1, np.nan, 3]] * 6)}, "'title' must be finite, or all NaN for an item whose vector"),
        ({"title": np.array([[1, np.inf, 3]] * 6)}, "'title' must be finite, or all NaN"),
    ],
)
def test_wrong_values_are_refused_and_none_are_set(changed, message):
    model = model_of()
    values = {name: array for name, array in {**values_of(), **changed}.items() if array is not None}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError, match=message) as refusal:
        model.set_feature_values(values)
    assert "\n" not in str(refusal.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_values_of_too_few_new_items_are_refused():
    model = model_of()
    with pytest.raises(InputError, match="Values of 6 items were given, but the model has 2 items from row 4 on"):
        model.set_feature_values(values_of(), first_row=4)


def test_counts_end_the_negatives_at_the_last_item_that_occurs():
    model = model_of()
    model.set_item_counts(np.array([0, 0, 0, 4, 0, 2, 0, 0, 0]))
    labels = torch.tensor([[-100, 4]])
    assert model.stop_of_negatives(labels) == 9  # in evaluation
    assert model.train().stop_of_negatives(labels) == 6
    assert model.stop_of_negatives(torch.tensor([[7, 4]])) == 8
    model.set_item_counts(np.zeros(9, dtype=int))
    assert model.stop_of_negatives(labels) == 9
    without = model_of(features={}).train()
    without.set_item_counts(np.array([0, 0, 0, 4, 0, 2, 0, 0, 0]))
    assert without.stop_of_negatives(labels) == 9
