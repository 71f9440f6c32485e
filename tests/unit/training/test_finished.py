"""Finished models are inputs: recognised whatever code trained them, and never another model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from overtile.errors import InputError
from overtile.networks.device import Device
from overtile.planning.plan import Fold
from overtile.stores.digest import digest_file, digest_of
from overtile.stores.files import replace_when_done
from overtile.training import loop, results
from overtile.training.checkpoint import POINTER, Origin, read_checkpoint, save_checkpoint
from overtile.training.finished import complete, find_finished, keys_of, refuse_other_plan
from overtile.training.loop import train_fold
from overtile.training.results import BEST, DONE, HISTORY, LAST, rank, write_results
from tests.unit.tiny import Held, discs, one_thread, plan_of  # noqa: F401

PLAN = plan_of(epochs=3)
FILES = (BEST, LAST, HISTORY, DONE)
MADE_BY = ("oldcode", "cpu", "fp32")


def with_digests(slide, name):
    """A slide whose stores have digests."""
    parts = ("image", "classes", "weights")
    return replace(slide, **{p: replace(getattr(slide, p), digest=f"{name} {p}") for p in parts})


SLIDES = {name: with_digests(discs(n, name), name) for n, name in enumerate("abc")}


def trained(folder: Path, plan=PLAN, origin: Origin | None = None, state=None) -> None:
    """Train a fold, and note it as a run of a step does."""
    origin = origin or Origin(keys_of(plan, 0, SLIDES)(*MADE_BY)[0], *MADE_BY)
    device = Device(torch.device("cpu"), "fp32", 1)
    train_fold(plan, 0, SLIDES, folder, origin, state, device)
    note(folder, origin)


def note(folder: Path, origin: Origin) -> None:
    run = {**vars(origin), "ended": "now", "content": digest_file(folder / DONE), "plan": "p"}
    (folder / "effort.json").write_text(json.dumps({"runs": [run]}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A finished fold."""
    folder = tmp_path_factory.mktemp("whole") / "fold0"
    trained(folder)
    return folder


@pytest.fixture(scope="module")
def earlier(whole, tmp_path_factory) -> Path:
    """The same fold as the version before left it: no copy of the best network, no digest."""
    folder = tmp_path_factory.mktemp("earlier") / "fold0"
    shutil.copytree(whole, folder)
    state = read_checkpoint(folder)
    for path in folder.glob("checkpoint*"):
        path.unlink()
    known = {"key": state.origin.key, "network": state.network, "history": state.history}
    torch.save({**known, "optimiser": {}}, folder / "checkpoint.pt")
    done = json.loads((folder / DONE).read_text())
    del done["history_sha256"]
    (folder / DONE).write_text(json.dumps(done, indent=1) + "\n")
    note(folder, state.origin)
    return folder


@pytest.fixture
def fold(whole, tmp_path) -> Path:
    """A copy of the finished fold."""
    return Path(shutil.copytree(whole, tmp_path / "fold0"))


def found(folder, plan=PLAN, slides=SLIDES, code=None, fold=0):
    """What is recognised in a folder, after Snakemake removed what says that it is finished."""
    (folder / DONE).unlink(missing_ok=True)
    state = read_checkpoint(folder)
    return find_finished(folder, fold, plan.epochs, state, keys_of(plan, fold, slides), code)


def damages(path: Path):
    """Removed, cut short, or one byte changed, at many places."""
    content = path.read_bytes()
    yield None
    for n in range(0, len(content), max(1, len(content) // 6)):
        yield content[:n]
        yield content[:n] + bytes([content[n] ^ 1 << n % 7]) + content[n + 1 :]


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


def test_a_finished_fold_is_recognised_and_only_its_last_file_is_written_again(fold, whole):
    assert found(fold).code == "oldcode"
    for name in FILES:
        assert (fold / name).read_bytes() == (whole / name).read_bytes()


def test_other_data_labels_weights_settings_or_folds_are_another_model(fold):
    assert found(fold, replace(PLAN, learning_rate=0.02)) is None
    assert found(fold, replace(PLAN, seed=1)) is None
    assert found(fold, fold=0) is not None
    for part in ("image", "classes", "weights"):
        other = replace(SLIDES["b"], **{part: Held("b", getattr(SLIDES["b"], part).array, "new")})
        assert found(fold, slides={**SLIDES, "b": other}) is None
    assert not (fold / DONE).exists()


def test_keys_of_a_fold_are_of_its_number_and_of_its_own_slides():
    alike = replace(PLAN, folds=PLAN.folds * 2)
    plan = replace(PLAN, folds=(Fold(("a",), ("b",)), Fold(("c",), ("b",))))

    def keys(plan, fold, new=None):
        slides = {n: with_digests(s, f"new {n}") if n == new else s for n, s in SLIDES.items()}
        return set(keys_of(plan, fold, slides)(*MADE_BY))

    assert not keys(alike, 0) & keys(alike, 1)
    for fold, own, others in ((0, "ab", "c"), (1, "cb", "a")):
        assert not any(keys(plan, fold, name) & keys(plan, fold) for name in own)
        assert keys(plan, fold, others) == keys(plan, fold)


def test_code_counts_only_where_it_is_asked_for(fold):
    assert found(fold, code="newcode") is None
    assert found(fold, code="oldcode") is not None


def test_the_order_of_slides_has_no_meaning(fold):
    backwards = dict(reversed(SLIDES.items()))
    turned = replace(PLAN, folds=(Fold(("b", "a"), ("c",)),))
    assert found(fold, turned, backwards) is not None


def test_a_fold_is_recognised_whose_plan_had_the_order_of_the_sheet(whole, tmp_path):
    sheet = replace(PLAN, folds=(Fold(("b", "a"), ("c",)),))
    digests = [[f"{s} image", f"{s} classes", f"{s} weights"] for s in "bac"]
    key = digest_of(sheet.identity(), 0, digests, "cpu", "fp32", "oldcode")
    trained(tmp_path / "fold0", origin=Origin(key, *MADE_BY))
    in_order_of_the_sheet = {name: SLIDES[name] for name in "cba"}
    assert found(tmp_path / "fold0", slides=in_order_of_the_sheet) is not None


def test_a_training_that_did_not_end_is_not_finished(tmp_path):
    trained(tmp_path, replace(PLAN, epochs=2))
    (tmp_path / "effort.json").unlink()
    assert found(tmp_path, replace(PLAN, epochs=4)) is None


def test_the_checkpoint_of_another_training_changes_no_file_of_a_finished_fold(
    fold, whole, tmp_path
):
    other = replace(PLAN, seed=1)
    trained(tmp_path / "other", other, Origin(keys_of(other, 0, SLIDES)(*MADE_BY)[0], *MADE_BY))
    for path in fold.glob("checkpoint*"):
        path.unlink()
    for path in (tmp_path / "other").glob("checkpoint*"):
        shutil.copy(path, fold)
    assert found(fold) is not None
    for name in FILES:
        assert (fold / name).read_bytes() == (whole / name).read_bytes()


def test_what_says_that_a_fold_is_finished_is_written_last(fold, whole, monkeypatch, tmp_path):
    order = []

    def noted(path):
        order.append(path.name)
        return replace_when_done(path)

    monkeypatch.setattr(results, "replace_when_done", noted)
    write_results(tmp_path, read_checkpoint(whole))
    assert set(order) == set(FILES) and order[-1] == DONE
    order.clear()
    for name in (BEST, LAST, HISTORY):
        (fold / name).unlink()
    assert found(fold) is not None
    assert set(order) == set(FILES) and order[-1] == DONE


def test_a_fold_under_the_name_of_another_fold_is_not_packaged(whole, tmp_path):
    for name in ("fold1", "mine"):
        shutil.copytree(whole, tmp_path / name, ignore=shutil.ignore_patterns("checkpoint*"))
    complete(tmp_path / "mine")
    with pytest.raises(InputError, match="fold1/fold.json: damaged; delete it and run"):
        complete(tmp_path / "fold1")


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_that_was_stopped_is_neither_found_nor_packaged_and_nothing_is_said(
    epochs, monkeypatch, tmp_path, capsys
):
    def stop(folder, state):
        save_checkpoint(folder, state)
        if len(state.history) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    state = read_checkpoint(tmp_path)
    assert len(state.history) == epochs and state.best is not None
    capsys.readouterr()
    assert found(tmp_path) is None
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match="fold.json: no such file"):
        complete(tmp_path)
    assert not (tmp_path / DONE).exists()


@pytest.mark.parametrize("name", [*FILES, "effort.json", POINTER, "state"])
def test_whatever_single_file_is_damaged_the_finished_fold_comes_back(name, fold, whole, capsys):
    names = {path.name for path in whole.iterdir()}
    if name == "state":
        (name,) = (n for n in names if n.startswith("checkpoint-"))
    for content in damages(whole / name):
        put(fold / name, content)
        assert found(fold) is not None
        for each in FILES:
            assert (fold / each).read_bytes() == (whole / each).read_bytes()
        if name in (BEST, LAST, HISTORY):
            assert f"{name}: was lost or damaged; written again" in capsys.readouterr().err
        put(fold / name, (whole / name).read_bytes())


@pytest.mark.parametrize("name", [LAST, HISTORY, "checkpoint.pt", DONE])
def test_a_fold_of_the_version_before_comes_back_unless_its_best_network_is_damaged(
    name, earlier, tmp_path
):
    fold = Path(shutil.copytree(earlier, tmp_path / "fold0"))
    for content in damages(earlier / name):
        put(fold / name, content)
        assert found(fold) is not None
        for each in FILES:
            assert (fold / each).read_bytes() == (earlier / each).read_bytes()
        put(fold / name, (earlier / name).read_bytes())


def test_the_only_copy_of_a_best_network_is_trained_again_where_it_is_damaged(
    earlier, tmp_path, capsys
):
    fold = Path(shutil.copytree(earlier, tmp_path / "fold0"))
    for content in damages(earlier / BEST):
        put(fold / BEST, content)
        assert found(fold) is None
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "lost or damaged" in said and "trained again" in said
    with pytest.raises(InputError, match="fold.json: no such file"):
        complete(fold)


@pytest.mark.parametrize("name", [*FILES, "effort.json", POINTER, "state"])
def test_a_fold_is_complete_again_before_it_is_packaged(name, fold, whole):
    if name == "state":
        (name,) = (p.name for p in whole.iterdir() if p.name.startswith("checkpoint-"))
    for content in damages(whole / name):
        put(fold / name, content)
        complete(fold)
        for each in FILES:
            assert (fold / each).read_bytes() == (whole / each).read_bytes()
        put(fold / name, (whole / name).read_bytes())


@pytest.mark.parametrize("name", FILES)
def test_without_a_checkpoint_a_damaged_fold_is_not_packaged_and_what_is_said_helps(
    name, fold, whole, capsys
):
    for path in fold.glob("checkpoint*"):
        path.unlink()
    complete(fold)
    for content in damages(whole / name):
        put(fold / name, content)
        with pytest.raises(InputError, match="train") as refused:
            complete(fold)
        assert "\n" not in str(refused.value)
        if found(fold) is None:
            assert "trained again" in capsys.readouterr().err
            trained(fold)
            for path in fold.glob("checkpoint*"):
                path.unlink()
        for each in FILES:
            assert (fold / each).read_bytes() == (whole / each).read_bytes()


def test_a_fold_is_not_packaged_with_another_plan(fold):
    refuse_other_plan(fold, Path("plan.yaml"), "p")
    with pytest.raises(InputError, match="plan.yaml: is not the plan that .*fold0 was trained"):
        refuse_other_plan(fold, Path("plan.yaml"), "q")
    (fold / "effort.json").unlink()
    refuse_other_plan(fold, Path("plan.yaml"), "q")


def test_epochs_are_ranked_by_dice_then_by_loss_where_nothing_was_found_then_the_later():
    def row(epoch, dice, loss):
        return {"epoch": epoch, "validation_dice": dice, "validation_loss": loss}

    order = [row(3, None, 0.9), row(1, 0.0, 0.5), row(2, None, 0.4), row(4, 0.1, 9.0)]
    assert sorted(order, key=rank) == order
    assert rank(row(1, 0.5, 0.1)) < rank(row(2, 0.5, 0.9))
    assert rank({"epoch": 1}) < rank({"epoch": 2})
