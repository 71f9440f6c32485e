"""Damaged files that the report reads: one line, or the same numbers. Never a traceback."""

import json
import random
from dataclasses import replace

import pytest

from overtile.errors import InputError
from overtile.reporting.models import read_model
from overtile.reporting.score_files import read_score
from tests.unit.reporting.test_reporting import score_values
from tests.unit.reporting.test_trained import RUN, model, package  # noqa: F401  (model is a fixture)

UNSEALED = {"information_f1", "splits_bits", "merges_bits"}
"""Columns of which nothing else in a score file tells."""


def damaged(content, number, seed):
    """Bytes flipped, replaced by what JSON is made of, taken out, or cut off: so many of each."""
    rng = random.Random(seed)
    for _ in range(number):
        at = rng.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        yield content[:at] + bytes([rng.choice(b'0123456789-.e"{}[],: \n')]) + content[at + 1 :]
        yield content[:at] + content[at + 1 :]
        yield content[:at]
    yield from (b"", b"[]", b"null", b"3", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000)


def test_a_damaged_score_file_is_refused_or_has_the_same_numbers(tmp_path):
    path = tmp_path / "a.json"
    values = score_values("a") | {"rand": {"f1": 0.75, "split": 0.75, "merge": 0.75}}
    path.write_text(json.dumps(values, indent=1))
    content, before = path.read_bytes(), read_score(path)
    refused = same = 0
    for text in damaged(content, 1500, 0):
        path.write_bytes(text)
        try:
            after = read_score(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
            continue
        same += 1
        # What is named otherwise does not count: no such slide, no such labels.
        is_named_alike = (after.slide, after.model) == ("a", "unet")
        if is_named_alike and after.classes == before.classes:
            for name in before.values.keys() - UNSEALED:
                assert after.values[name] == pytest.approx(before.values[name], rel=1e-8), name
            assert (after.found, after.reference) == (before.found, before.reference)
    assert refused > 3000 and same > 100


@pytest.mark.parametrize(
    "name",
    [
        *("plan.yaml", "package/plan.yaml"),
        *("fold0/fold.json", "fold0/history.tsv", "fold0/effort.json"),
    ],
)
def test_a_damaged_file_of_a_model_is_refused_or_read(model, name):  # noqa: F811
    package(
        model,
        *(json.loads((model / f"fold{n}/fold.json").read_text())["best_sha256"] for n in (0, 1)),
    )
    path = model / name
    content, before = path.read_bytes(), read_model(model, lambda *_: RUN["code"])
    read = 0
    for text in damaged(content, 60, 1):
        path.write_bytes(text)
        try:
            after = read_model(model, lambda *_: RUN["code"])
        except InputError as error:
            assert str(model) in str(error) and "\n" not in str(error)
            continue
        read += 1
        if name == "fold0/effort.json":
            assert replace(after, facts=(), folds=()) == replace(before, facts=(), folds=())
        if name == "fold0/fold.json":
            assert [fold.best_epoch for fold in after.folds] == [2, 2]
    assert read or name == "package/plan.yaml"
    path.unlink()
    if name == "plan.yaml":
        with pytest.raises(InputError, match=r"plan\.yaml: no such file"):
            read_model(model, lambda *_: RUN["code"])
