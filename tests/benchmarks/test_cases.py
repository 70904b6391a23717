import polars as pl
import pytest

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.search.diversity_options import DiversityOptions


@pytest.mark.parametrize("name", ["floor", "gpt2", "seqrec", "seqrec_quality"])
def test_every_worker_of_our_environment_can_be_loaded(load, name):
    assert load(f"{name}_worker").train


def test_every_kind_of_list_that_is_measured_has_options_that_are_accepted(load):
    assert load("seqrec_lists_worker").answer_tables
    for options in load("cases").LISTS.values():
        assert DiversityOptions(**options)


def test_ratios_compare_contenders_of_their_case(load):
    cases = load("cases").CASES
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        names = {contender.name for contender in case.contenders}
        assert len(names) == len(case.contenders)
        assert all({ratio.ours, *ratio.theirs} <= names for ratio in case.ratios)


def test_both_hstus_have_equal_widths(load):
    for case in load("cases").CASES:
        for contender in case.contenders:
            if contender.worker.startswith("seqrec") and contender.settings.get("model_type") == "hstu":
                config = contender.settings["config"]
                assert config["hidden_size"] == config["intermediate_size"] == 64  # RecTools: n_factors = 64 for all
                assert (config["num_hidden_layers"], config["num_attention_heads"]) == (2, 2)


def test_the_beginning_of_a_name_selects_all_cases_with_it(load):
    run, cases = load("run"), load("cases").CASES
    assert [case.name for case in run.choose("hstu-quality", cases)] == [
        "hstu-quality-ml-100k",
        "hstu-quality-movietweetings-100k",
    ]
    assert [case.name for case in run.choose("train-ml-1m,request", cases)] == ["train-ml-1m", "request"]
    assert not any(case.report == "quality" for case in run.choose(None, cases))
    with pytest.raises(ValueError, match="no case 'hstu-'"):
        run.choose("hstu-", cases)


def test_a_temporal_split_is_written_with_its_times(written, tmp_path):
    arguments = {"split_method": "temporal", "min_item_interactions": 5}
    data = prepare(DataArguments(str(tmp_path / "small" / "interactions.csv"), **arguments))
    table = pl.read_parquet(written)
    assert table.equals(table.sort("user_id", "timestamp", maintain_order=True))
    assert table.filter(pl.col("part") == 0).height == data.sequences["train"].lengths_R.sum()
    for part, name in enumerate(("validation", "test"), start=1):
        rows = table.filter((pl.col("part") == part) & (pl.int_range(pl.len()).over("user_id") > 0))
        assert rows["timestamp"].to_list() == data.sequences[name].rows["target_timestamp"].tolist()


def test_without_times_the_order_of_the_table_stays(load, tmp_path, monkeypatch):
    (tmp_path / "tied").mkdir()
    tied = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [5, 4, 9, 7], "timestamp": [3, 3, 3, 1]})
    tied.write_csv(tmp_path / "tied" / "interactions.csv")
    monkeypatch.setenv("SEQREC_DATA_DIR", str(tmp_path))
    table = pl.read_parquet(load("data").write_interactions("tied", tmp_path))
    assert table["item_id"].cast(pl.Int64).to_list() == [5, 4, 9, 7]
    assert table["part"].to_list() == [0, 1, 2, 0]
    assert table["timestamp"].diff().drop_nulls().to_list() == [1, 1, 1]


def test_the_quality_report_gives_means_and_their_ratios(load):
    report, specs = load("report"), load("specs")
    case = specs.Case(
        name="quality",
        title="Quality",
        unit="epochs",
        report="quality",
        contenders=(
            specs.Contender("seqrec", "seqrec_quality", "best_epoch", {}),
            specs.rectools("RecTools", length=9),
        ),
        ratios=(specs.Ratio("test NDCG@10", "seqrec", ("RecTools",), "test_ndcg@10"),),
        shown=("test_ndcg@10",),
    )
    turns = {
        "seqrec": [{"test_ndcg@10": value} for value in (0.2, 0.1, 0.3)],
        "RecTools": [{"test_ndcg@10": value} for value in (0.1, 0.1, 0.2)],
    }
    result = report.as_result(case, turns, {}, threads=2)
    assert result["contenders"]["seqrec"]["summary"]["test_ndcg@10"] == {"mean": 0.2, "min": 0.1, "max": 0.3}
    (ratio,) = result["ratios"]
    assert (ratio["mean"], ratio["min"], ratio["max"]) == (1.5, 1.0, 2.0)
    text = report.as_markdown({"packages": {}, "cases": {case.name: result}}, "quality")
    assert "| test NDCG@10 | **1.5** | 1–2 | RecTools |" in text
    assert "| seqrec | 2 | 0.2 |" in text
