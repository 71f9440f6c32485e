"""Score files: read as they were written, and refused where their numbers contradict each other."""

import json

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.metrics.counts import Agreement
from overtile.metrics.metric import Comparison
from overtile.metrics.score_files import find_score_files, measure_all, read_score_file
from tests.damage import damaged
from tests.scores import score_values

UNSEALED = {"information_f1", "splits_bits", "merges_bits"}
"""Columns of which nothing else in a score file tells."""


def test_a_score_file_becomes_the_columns_of_the_table(score_folder):
    score = read_score_file(score_folder / "unet" / "a.json")
    assert (score.slide, score.model, score.found, score.reference) == ("a", "unet", 10, 10)
    assert score.scores["dice"] == score.scores["dice_cell"] == 0.7
    assert score.scores["dice_background"] == 0.9
    assert score.scores["rand_f1"] is None
    assert score.scores["information_f1"] == 0.5


def test_files_of_evaluation_contradict_themselves_nowhere(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        agreement = Agreement(3)
        shape = (1, 9, 11)
        ids = [
            rng.integers(0, 5, shape) * (rng.random(shape) < rng.choice([0, 0.5, 1])) for _ in "ab"
        ]
        classes = [np.where(i, rng.integers(1, 3, 6)[i], 0).astype(np.uint8) for i in ids]
        agreement.add(ids[0], classes[0], ids[1], classes[1])
        path = tmp_path / f"{number}.json"
        names = ["background", "cell", "other"]
        path.write_text(json.dumps(measure_all(Comparison(agreement, names, 0.5))))
        assert read_score_file(path).class_names == tuple(names)


@pytest.mark.parametrize(
    "change",
    [
        {"objects": None},
        {"classes": [1]},
        {"pixel_error": "low"},
        {"pixel_error": 0.25},
        {"pixels": 81},
        {"rand": {}},
        {"rand": {"f1": 0.5, "split": 0.9, "merge": 0.9}},
        {"rand": {"f1": 10**400, "split": 0.9, "merge": 0.9}},
        {"information": {"f1": 1.5, "splits_bits": 0.1, "merges_bits": 0.2}},
        {"slide": 3},
        {"confusion": [[54, 6]]},
        {"confusion": [[55, 6], [6, 14]]},
        {"confusion": [[54, 6], [6, True]]},
    ],
)
def test_a_file_that_is_no_score_or_contradicts_itself_is_refused_by_name(tmp_path, change):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(score_values("a") | change))
    with pytest.raises(InputError, match=r"odd\.json.*evaluate\.py"):
        read_score_file(path)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        *(("objects", key, 9) for key in ("reference", "segmented", "matched")),
        *(("objects", key, 0.7) for key in ("f1", "precision", "recall")),
        *(("objects", "iou_threshold", value) for value in (0, None, 1.5, True)),
        *(("classes", "cell", {"dice": value, "iou": 14 / 26}) for value in (0.6, None, 7)),
        ("classes", "cell", {"dice": 0.7, "iou": 0.5}),
    ],
)
def test_a_score_that_its_counts_do_not_give_is_refused(tmp_path, part, key, value):
    path, values = tmp_path / "odd.json", score_values("a")
    path.write_text(json.dumps(values | {part: values[part] | {key: value}}))
    with pytest.raises(InputError, match=r"odd\.json.*damaged"):
        read_score_file(path)


@pytest.mark.parametrize("text", ["[]", "3", "{}", "not json", '{"pixel_error": NaN}'])
def test_other_json_is_refused(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.json"):
        read_score_file(path)


def test_a_damaged_score_file_is_refused_or_has_the_same_numbers(tmp_path):
    path = tmp_path / "a.json"
    values = score_values("a") | {"rand": {"f1": 0.75, "split": 0.75, "merge": 0.75}}
    path.write_text(json.dumps(values, indent=1))
    content, before = path.read_bytes(), read_score_file(path)
    refused = same = 0
    for text in damaged(content, 1500, 0):
        path.write_bytes(text)
        try:
            after = read_score_file(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
            continue
        same += 1
        # What is named otherwise does not count: no such slide, no such labels.
        is_named_alike = (after.slide, after.model) == ("a", "unet")
        if is_named_alike and after.class_names == before.class_names:
            for name in before.scores.keys() - UNSEALED:
                assert after.scores[name] == pytest.approx(before.scores[name], rel=1e-8), name
            assert (after.found, after.reference) == (before.found, before.reference)
    assert refused > 3000 and same > 100


def test_a_file_named_twice_counts_once(score_folder):
    file = score_folder / "unet" / "a.json"
    assert len(find_score_files([file, score_folder, file])) == 3
