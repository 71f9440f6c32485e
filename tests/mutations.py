"""Mutations of training, planning and networks: each must make a quick test fail.

By hand, as `python tests/mutations.py`, or with some words of the mutations to run. Each one is
applied to a copy of the project, and the tests named with it run there. Exit code 1 if more than
two survive.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest
import scipy.stats  # noqa: F401
import torch  # noqa: F401
import zarr  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = Path("scripts", "overtile")
ALLOWED = 2
PYTEST = ("-x", "-q", "-n0", "-p", "no:cacheprovider", "--hypothesis-profile=thorough")


@dataclass(frozen=True)
class Mutation:
    """A wrong line. tests: names of files in tests/unit, without "test_"; one must fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _in(file: str, *tests: str) -> Callable[[str, str, str], Mutation]:
    return lambda what, old, new: Mutation(what, file, old, new, tests)


samples = _in("training/samples.py", "samples")
slides = _in("training/samples.py", "slides")
augment = _in("training/augment.py", "augment")
loop = _in("training/loop.py", "loop")
losses = _in("training/losses.py", "losses")
results = _in("training/results.py", "finished")
finished = _in("training/finished.py", "finished")
checkpoint = _in("training/checkpoint.py", "checkpoint")
stopped = _in("training/checkpoint.py", "finished")
network = _in("networks/unet/layers.py", "unet")
blocks = _in("networks/blocks.py", "unet")
unet = _in("networks/unet/family.py", "unet")
families = _in("networks/family.py", "unet", "family")
channels = _in("networks/channels.py", "family")
counted = _in("networks/measured.py", "measured")
unet_sizes = _in("networks/unet/sizes.py", "unet")
limits = _in("networks/limits.py", "network_files")
network_files = _in("networks/weights.py", "network_files")
pixels = _in("networks/normalise.py", "normalise", "samples")
decided = _in("networks/unet/family.py", "decisions")
decisions = _in("planning/decisions.py", "decisions")
reading = _in("planning/reading.py", "plans")
planned = _in("planning/decisions.py", "training_set")
training_set = _in("planning/training_set.py", "training_set")
twins = _in("planning/twins.py", "twins")
dice = _in("geometry/dice.py", "dice", "loop")

MUTATIONS = (
    # The seven that once passed all tests together.
    samples(
        "labels shifted by 3 px",
        "labels = resample(box, start, inner, 0)",
        "labels = resample(box, start, inner + 3, 0)",
    ),
    loop("no decay of the learning rate", "** DECAY", "** 0"),
    loop("no clipping", "LARGEST_GRADIENT = 10.0", "LARGEST_GRADIENT = 1e30"),
    loop("momentum 0", "MOMENTUM = 0.99", "MOMENTUM = 0.0"),
    augment("no noise", "noise = augmentation.noise *", "noise = 0 *"),
    augment("no flips", "return matrix * signs if augmentation.flips else matrix", "return matrix"),
    samples("pixels beyond the slide counted", "(beyond,)] = 0", "(beyond,)] = 1"),
    # What is cut, and from where.
    samples(
        "weights shifted by 1 px",
        "weights = resample(box, start, inner, 1)",
        "weights = resample(box, start, inner + 1, 1)",
    ),
    samples(
        "image shifted by 1 px",
        "resample(channel, start, places, 1)",
        "resample(channel, start, places + 1, 1)",
    ),
    samples(
        "images taken from the nearest pixel",
        "resample(channel, start, places, 1)",
        "resample(channel, start, places, 0)",
    ),
    samples(
        "labels of the first plane",
        "read_mirrored(slide.classes.array, start, stop, leading)",
        "read_mirrored(slide.classes.array, start, stop, leading and (0,))",
    ),
    samples(
        "weights of the first plane",
        "read_mirrored(slide.weights.array, start, stop, leading)",
        "read_mirrored(slide.weights.array, start, stop, leading and (0,))",
    ),
    samples(
        "tiles turned as if pixels were square",
        "self._spacing = plan.spacing",
        "self._spacing = (1.0,) * len(plan.spacing)",
    ),
    samples(
        "ignored pixels count", "np.where(ignored, 0, weights)", "np.where(ignored, 1, weights)"
    ),
    samples(
        "labels off centre by a pixel",
        "slice((n - m) // 2, (n - m) // 2 + m)",
        "slice((n - m) // 2 + 1, (n - m) // 2 + 1 + m)",
    ),
    samples(
        "slides drawn alike whatever their size",
        "self._chances = sizes / sizes.sum()",
        "self._chances = np.full(len(sizes), 1 / len(sizes))",
    ),
    samples("always the first plane", "(int(rng.integers(shape[0])),)", "(0,)"),
    samples(
        "tiles from the first half only",
        "rng.uniform(0, np.array(shape[-ndim:]) - 1)",
        "rng.uniform(0, (np.array(shape[-ndim:]) - 1) / 2)",
    ),
    samples("every step the same tile", "[*self._seed, step, item]", "[*self._seed, item]"),
    samples("every tile of a batch the same", "[*self._seed, step, item]", "[*self._seed, step]"),
    samples("a resumed sampler starts at step 0", "range(first_step, last", "range(0, last"),
    samples(
        "validation tiles begin a pixel late",
        "np.arange(n) - (n - m) // 2 + c",
        "np.arange(n) - (n - m) // 2 + c + 1",
    ),
    samples(
        "validation looks at the first tiles only",
        "np.linspace(0, len(every) - 1, count)",
        "np.arange(count)",
    ),
    samples("intensities are not changed", "image = change_intensity(", "change_intensity("),
    # Slides and their weight maps.
    slides(
        "weights of other labels are accepted",
        'if weights.attributes["labels"] != labels.digest:',
        "if False:",
    ),
    slides(
        "only pictures are looked through for lost shards",
        "in (slide.image, slide.classes, slide.weights):",
        "in (slide.image,):",
    ),
    slides(
        "channels that the plan has not",
        "if channels != plan.architecture.in_channels:",
        "if False:",
    ),
    slides(
        "classes in another order than the plan's",
        "if tuple(found) != plan.classes:",
        "if len(found) != len(plan.classes):",
    ),
    slides("two slides of one name", "if image.name in slides:", "if False:"),
    # Random changes.
    augment("turns one way only", "rng.uniform(-1, 1) *", "rng.uniform(0, 1) *"),
    augment("a turn that is a shear", "[np.sin(angle), np.cos(angle)]]", "[0, np.cos(angle)]]"),
    augment(
        "displacements half as long",
        "field *= np.reshape(sigma_px,",
        "field *= 0.5 * np.reshape(sigma_px,",
    ),
    augment("splines of another kind", 'bc_type="natural"', 'bc_type="not-a-knot"'),
    augment("anisotropic pixels forgotten", "axes=1) / edges", "axes=1)"),
    augment("displacements too long along coarse axes", "min(spacing) / s for", "1 for"),
    augment(
        "one contrast for all channels",
        "contrast * rng.uniform(-1, 1, channels)",
        "contrast * rng.uniform(-1, 1)",
    ),
    augment("no contrast", "contrast = 1 + augmentation.contrast", "contrast = 1 + 0"),
    augment(
        "brightness up only",
        "augmentation.brightness * rng.uniform(-1, 1",
        "augmentation.brightness * rng.uniform(0, 1",
    ),
    # Steps, epochs, validation.
    loop("another exponent of the decay", "DECAY = 0.9", "DECAY = 1.0"),
    loop("dropout the same in every step", "fold * 10_000_019 + step", "fold * 10_000_019"),
    loop("gradients add up", "optimiser.zero_grad(set_to_none=True)", "pass"),
    loop("validation with dropout", "network.eval()", "network.train()"),
    loop(
        "the worst epoch is kept", "max(history, key=rank) is row", "min(history, key=rank) is row"
    ),
    loop("the best network follows the last", ".cpu().clone() for", ".cpu() for"),
    loop(
        "pixels that weigh 0 are validated",
        "counts = tile.weights > 0",
        "counts = tile.weights >= 0",
    ),
    loop(
        "confusion begins at 1",
        "(len(plan.classes),) * 2, dtype=np.int64)",
        "(len(plan.classes),) * 2, dtype=np.int64) + 1",
    ),
    loop("order of slides matters", "for name in sorted(names)]", "for name in names]"),
    loop(
        "folds begin alike", "torch.manual_seed(plan.seed + fold)", "torch.manual_seed(plan.seed)"
    ),
    loop("an endless loss goes on", "not np.isfinite(losses[-1])", "np.isnan(losses[-1])"),
    loop("seconds of the last epoch alone", "round(before + seconds, 1)", "round(seconds, 1)"),
    loop("losses in bf16", "logits = network(image).float()", "logits = network(image)"),
    loop(
        "later folds learn as the first",
        "plan.folds[fold].train, plan.folds[fold].validation",
        "plan.folds[0].train, plan.folds[0].validation",
    ),
    loop("later folds see the tiles of the first", "(train, plan, fold)", "(train, plan, 0)"),
    loop(
        "later folds are called the first",
        "save_checkpoint(folder, State(origin, fold,",
        "save_checkpoint(folder, State(origin, 0,",
    ),
    loop(
        "seconds before an interruption are lost",
        "state is None, origin.code)",
        "True, origin.code)",
    ),
    loop("the checkpoint before stays", "        forget_checkpoint(folder)", "        pass"),
    losses("cross-entropy without weights", "weights * cross_entropy(", "cross_entropy("),
    losses("mean over all pixels", "(weights > 0).sum().clamp(min=1)", "weights.numel()"),
    losses("no background in soft Dice", "(total + 1)).mean()", "(total + 1))[1:].mean()"),
    losses(
        "ignored pixels in soft Dice", "logits.softmax(dim=1) * counts", "logits.softmax(dim=1)"
    ),
    losses(
        "never a Dice term",
        " + soft_dice(logits, labels, weights)",
        "",
    ),
    dice("the background in Dice", "in values[1:] if", "in values if"),
    # Networks.
    blocks("skip connections cropped at the corner", "narrow(axis, lost // 2,", "narrow(axis, 0,"),
    blocks("half of He's variance", "std=(2 / incoming) ** 0.5", "std=(1 / incoming) ** 0.5"),
    blocks(
        "taps of up-convolutions counted",
        "incoming = module.in_channels  #",
        "incoming = module.weight[0].numel()  #",
    ),
    network(
        "dropout everywhere",
        "drops = [0.0] * (len(a.pools) - 1) +",
        "drops = [a.dropout] * (len(a.pools) - 1) +",
    ),
    blocks("the mean over boxes", ".amax(axis + 1)", ".mean(axis + 1)"),
    network(
        "skip and map in the other order",
        "torch.cat([crop(skips.pop(), x.shape[2:]), x], dim=1)",
        "torch.cat([x, crop(skips.pop(), x.shape[2:])], dim=1)",
    ),
    unet("channels do not double", "self.width * 2**level", "self.width * 1**level"),
    unet("coarse axes pooled too early", "s < 2 * finest", "s < 3 * finest"),
    unet("sizes of one convolution per level", "2 * (k[axis] - 1))", "1 * (k[axis] - 1))"),
    unet(
        "networks of two axes look at z",
        "edges = list(spacing[-ndim:])",
        "edges = list(spacing[:ndim])",
    ),
    unet("a stride of one level", "tuple(prod(factors) for", "tuple(max(factors) for"),
    unet(
        "instance normalisation counts as exact",
        'is_exact=self.norm != "instance"',
        "is_exact=True",
    ),
    unet("batch normalisation counts as not exact", 'norm != "instance"', 'norm == "none"'),
    families("context at one side only", "tuple(n + 2 * m for", "tuple(n + m for"),
    families("outputs of one stride", "least + max(0, -(-(n - least) // step)) * step", "least"),
    channels("distances below 0", ".clamp(min=0)", ""),
    channels("distances among the classes", 'channel.kind == "probability"', "True"),
    counted("maps live for ever", "self._alive -= nbytes", "pass"),
    counted("views are maps of their own", "if storage._cdata in self._known:", "if False:"),
    unet_sizes(
        "maps without their skip connection",
        "sizes.append(2 * a.widths[level]",
        "sizes.append(a.widths[level]",
    ),
    limits("parameters without Adam's moments", "MEMORY_BYTES // 16", "MEMORY_BYTES // 8"),
    limits("one map per layer", "MEMORY_BYTES // 8\n", "MEMORY_BYTES // 4\n"),
    network_files(
        "tensors too many are not named", "for name in (*wanted, *found):", "for name in wanted:"
    ),
    network_files("layouts stay in files", ".cpu().contiguous()", ".cpu()"),
    network_files("lost weights are a traceback", "except FileNotFoundError:", "except EOFError:"),
    pixels(
        "means of the tile, not of the slide",
        "np.subtract(values, centre,",
        "np.subtract(values, np.mean(values),",
    ),
    pixels("float32 before the mean is taken off", "dtype=np.float64)", "dtype=np.float32)"),
    # Planning.
    decisions("the mean of pixel sizes", "np.median(sizes, axis=0)", "np.mean(sizes, axis=0)"),
    decisions(
        "folds validate what they learn from", "if fold_of[s] != fold)", "if fold_of[s] == fold)"
    ),
    decisions(
        "folds in the order of the sheet", "Fold(tuple(sorted(train)),", "Fold(tuple(train),"
    ),
    decisions("tiles as long as the shortest slide", "np.max([s.shape_px", "np.min([s.shape_px"),
    decided("another dropout", "dropout=wanted.dropout", "dropout=0.5"),
    reading("pixels of classes that a plan has not", '        "class_counts": classes,\n', ""),
    decisions("never a sigma in micrometres", "sigma_um=settings.sigma_um", "sigma_um=None"),
    training_set(
        "nobody knows how far cells are apart", 'labels.attributes.get("separate_px", 0)', "0"
    ),
    planned("slides that do not agree", "    refuse_mixed(every)", "    pass"),
    planned("slides to validate that do not agree", "refuse_mixed(every)", "refuse_mixed(learnt)"),
    planned("spacing of z and y for a plane", "[-settings.ndim :]", "[: settings.ndim]"),
    planned(
        "groups stay where slides are sorted", "[slide.group for slide in learnt]", "list(groups)"
    ),
    planned(
        "class weights of slides to validate too",
        "count_classes(slides[:count], classes)",
        "count_classes(slides, classes)",
    ),
    planned("one name to learn and to validate", "(*train, *validation)]", "train]"),
    planned(
        "slides to validate need no separation",
        "refuse_unseparated(every,",
        "refuse_unseparated(learnt,",
    ),
    planned(
        "plans with twins",
        "refuse_twins([slide.image for slide in every], folds)",
        "pass",
    ),
    planned("plans that nobody checks", 'check_plan(plan, "settings")', "pass"),
    training_set(
        "slides in the order given",
        "return sorted(slides, key=lambda slide: slide.name)",
        "return slides",
    ),
    training_set(
        "the background in the size of objects",
        "sum(counts[1:]) / objects",
        "sum(counts) / objects",
    ),
    training_set(
        "classes are only counted",
        "[s.class_names for s in slides]",
        "[len(s.class_names) for s in slides]",
    ),
    training_set(
        "the picture's digest for its labels",
        '"labels_digest": labels.digest',
        '"labels_digest": store.digest',
    ),
    training_set(
        "only two slides must agree", "if value != values[0])", "if i == 1 and value != values[0])"
    ),
    training_set("ignored pixels are not counted", 'classes.attributes["ignored"]', "0"),
    twins(
        "twins among the first alike",
        "alike.get(_statistics(other), ())",
        "alike.get(_statistics(other), ())[:1]",
    ),
    twins("twins of the first fold", "for fold in folds:", "for fold in folds[:1]:"),
    twins(
        "twins of the first slide to validate", "for other in others:", "for other in others[:1]:"
    ),
    twins("twins by their first piece", "for box in boxes)", "for box in boxes[:1])"),
    # Finished models.
    finished("any checkpoint is that of the fold", "state.origin.key in {o.key for", "{o.key for"),
    finished("folds by any name", 'name == f"fold{fold}" or not', "True or not"),
    results(
        "a fold is finished before its files are written",
        "    for name, content in contents.items():\n"
        "        _write(folder / name, content)\n"
        "    _write(folder / DONE, next(_done(state.fold, contents)))\n",
        "    _write(folder / DONE, next(_done(state.fold, contents)))\n"
        "    for name, content in contents.items():\n"
        "        _write(folder / name, content)\n",
    ),
    finished("keys of the first fold's slides", "in folds[fold].slides]", "in folds[0].slides]"),
    finished("keys without the fold", "identity(), fold, digests))", "identity(), 0, digests))"),
    finished("epochs not asked", "len(state.history) == epochs", "True"),
    stopped("a stopped training is whole", "return self.optimiser is None and", "return"),
    finished("any finished fold is that of these inputs", "and origin.key in keys", "and True"),
    finished(
        "code retrains though nobody asked", "code in (None, origin.code)", "code == origin.code"
    ),
    results("a fold's last file is believed", "_sha256(done) in known", "known"),
    results("damaged weights stay", "if _read(folder / name) != content:", "if False:"),
    results("a worse epoch is the best", "return dice, -loss,", "return -dice, -loss,"),
    checkpoint("a checkpoint is believed", "digest_file(folder / name) != digest", "False"),
)


def file_of(name: str) -> Path:
    """The file of quick tests with this name."""
    (found,) = (ROOT / "tests" / "unit").rglob(f"test_{name}.py")
    return found


def is_killed(mutation: Mutation, copy: Path) -> bool:
    """Whether a test fails in a copy of the project with the mutation, which is undone again."""
    path = copy / LIBRARY / mutation.file
    right = path.read_text(encoding="utf-8")
    path.write_text(right.replace(mutation.old, mutation.new), encoding="utf-8")
    fail = do_fail(mutation.tests, copy)
    path.write_text(right, encoding="utf-8")
    return fail


def do_fail(tests: Iterable[str], copy: Path) -> bool:
    """Whether a test fails in a copy of the project; tests: as in `Mutation`."""
    files = [str(path.relative_to(ROOT)) for path in map(file_of, tests)]
    # A fork of this process has torch already, which takes longer to import than most tests take.
    process = get_context("fork").Process(target=_run_tests, args=(copy, files))
    process.start()
    process.join()
    if process.exitcode not in (0, 1):
        raise SystemExit(f"{', '.join(files)}: ended with {process.exitcode}")
    return process.exitcode == 1


def _run_tests(copy: Path, tests: list[str]) -> None:
    """Run tests of a copy of the project, without a word; end with pytest's exit code."""
    os.chdir(copy)
    sys.dont_write_bytecode = True  # a changed file of the same size and second would not be seen
    sys.path.insert(0, str(copy))
    with open(os.devnull, "w") as nothing:
        for stream in (1, 2):
            os.dup2(nothing.fileno(), stream)
    sys.exit(int(pytest.main([*PYTEST, *tests])))


def copy_project(folder: Path) -> Path:
    """What the quick tests need of the project."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("scripts", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main(words: list[str]) -> int:
    """Run the mutations whose description holds one of the words, or all."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.what for word in words)]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        if do_fail(sorted({name for m in chosen for name in m.tests}), copy):
            raise SystemExit("a test fails without any mutation; correct that first")
        for mutation in chosen:
            killed = is_killed(mutation, copy)
            print("killed  " if killed else "SURVIVED", mutation.what, flush=True)
            if not killed:
                survivors.append(mutation)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed")
    return int(len(survivors) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
