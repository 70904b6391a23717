"""User-item interactions in the open: encode a sequence, encode the items, multiply.

The first part starts from a plain tensor and an untrained model. The second trains a model on MovieLens 100K (or loads
one with `--model DIR`), and draws the scores of some users for some items as a heat map:

    python examples/user_item_interactions.py [--model runs/ml-100k] [--output heat_map.png]
"""

import argparse
import textwrap
from pathlib import Path

import torch

from seqrec import Recommender, SasRecConfig, SasRecForNextItem, load_interactions, train
from seqrec.evaluation.picture_style import new_figure, save_picture
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS  # 3: padding, mask and unknown; then the items


@torch.no_grad()
def from_a_plain_tensor():
    """Score 100 items, numbered from 0, for a user who took items 1 to 5."""
    torch.manual_seed(0)
    sequence = torch.tensor([[1, 2, 3, 4, 5]])  # one user, oldest item first: shape (users, items)
    model = SasRecForNextItem(SasRecConfig(vocab_size=100 + NUM_SPECIAL_TOKENS, hidden_size=64)).eval()

    users = model.encode_users(sequence + NUM_SPECIAL_TOKENS)  # (1, 64)
    items = model.encode_items()[NUM_SPECIAL_TOKENS:]  # (100, 64), row i belongs to item i
    scores = users @ items.T  # (1, 100)

    print(f"sequence {sequence.tolist()}: users {tuple(users.shape)} @ items {tuple(items.T.shape)}")
    print(f"items with the highest scores, untrained: {scores.topk(3).indices.tolist()[0]}")
    return scores


@torch.no_grad()
def encode(recommender, histories):
    """Encode histories of raw ids, and all items; return both as rows of matrices."""
    model, tokenizer = recommender.model, recommender.tokenizer
    if set(model.config.event_columns) != {"input_ids"}:
        columns = ", ".join(model.config.event_columns)
        raise SystemExit(f"This example gives a model items alone, but it reads {columns}: pass them to encode_users.")
    sequences = [tokenizer.encode_item_ids(history[-model.config.max_history_length :]) for history in histories]
    users = torch.cat([model.encode_users(torch.tensor(sequence[None])) for sequence in sequences])
    items = model.encode_items()[NUM_SPECIAL_TOKENS:]
    return users, items


def long_histories(interactions, number=100, length=20):
    """Return the items of some users with long histories, by user id."""
    histories = interactions.group_by("user_id", maintain_order=True).agg("item_id")
    long = histories.filter(histories["item_id"].list.len() >= length)
    return dict(long.gather_every(max(1, len(long) // number)).head(number).iter_rows())


def least_alike(users, number):
    """Choose rows of user vectors one by one, each the least similar to those already chosen."""
    directions = torch.nn.functional.normalize(users, dim=-1)
    chosen = [0]
    while len(chosen) < min(number, len(users)):
        similarity = (directions @ directions[chosen].T).amax(dim=1)
        similarity[chosen] = torch.inf
        chosen.append(similarity.argmin().item())
    return chosen


def best_unseen(recommender, histories, scores, number):
    """Return rows of the catalogue: for each user in turn the best items that are neither seen nor yet chosen."""
    rows = {item_id: row for row, item_id in enumerate(recommender.item_ids)}
    chosen = []
    for history, scores_of_user in zip(histories, scores, strict=True):
        excluded = {rows[item_id] for item_id in history} | set(chosen)
        best = scores_of_user.argsort(descending=True, stable=True).tolist()
        chosen += [row for row in best if row not in excluded][:number]
    return chosen


def label(name, width=24):
    """Shorten a title to one line, and hide "$" from matplotlib, which would read formulas."""
    return textwrap.shorten(str(name), width, placeholder=" …").replace("$", r"\$")


def heat_map(scores, users, items):
    """Draw scores (users, items) with a name for each row and column."""
    height, width = 2.6 + 0.45 * len(users), 3.2 + 0.5 * len(items)
    figure = new_figure(width, height)
    axis = figure.subplots()
    limit = scores.abs().max().item()
    image = axis.imshow(scores.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_xticks(range(len(items)), items, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(users)), users)
    axis.tick_params(length=0)
    for row, values in enumerate(scores.tolist()):
        for column, value in enumerate(values):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            axis.text(column, row, f"{round(value, 1) + 0.0:.1f}", ha="center", va="center", fontsize=9, color=colour)
    axis.set_title("Scores: users @ items.T (compare within a row)")
    figure.colorbar(image)
    return figure


def trained_model():
    """Train briefly on MovieLens 100K."""
    return train("ml-100k", num_train_epochs=5, device="cpu")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a trained model (default: train one on MovieLens 100K)")
    parser.add_argument("--dataset", default="ml-100k", help="the users' interactions (default: ml-100k)")
    parser.add_argument("--output", type=Path, default=Path("runs/user_item_interactions.png"))
    flags = parser.parse_args(arguments)
    from_a_plain_tensor()

    recommender = trained_model() if flags.model is None else Recommender.from_pretrained(flags.model, device="cpu")
    histories = long_histories(load_interactions(flags.dataset).interactions)
    users, items = encode(recommender, histories.values())
    rows = least_alike(users, 6)
    scores = (users[rows] @ items.T).detach()
    shown = {user: histories[user] for user in (list(histories)[row] for row in rows)}
    columns = best_unseen(recommender, shown.values(), scores, 2)
    latest = [f"user {user}, after {label(recommender.name_item(history[-1]))}" for user, history in shown.items()]
    names = [label(recommender.name_item(recommender.item_ids[column])) for column in columns]
    figure = heat_map(scores[:, columns], latest, names)
    flags.output.parent.mkdir(parents=True, exist_ok=True)
    save_picture(figure, flags.output, title="Scores of users for items")
    print(f"Wrote the scores of {len(rows)} users for {len(columns)} items to {flags.output}.")


if __name__ == "__main__":
    main()
