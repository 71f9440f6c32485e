"""Bad input: one line that says what, where and what to do, and nothing half-written."""

import pytest

CONFIG = {"labels": {"kind": "binary"}, "models": {"unet": {}}}


@pytest.fixture(scope="module")
def project(make_project, data):
    return make_project(CONFIG, [good_row(data)])


def good_row(data, **changes):
    source = data / "em_isbi2012"
    row = {
        "slide": "s0",
        "image": source / "image" / "00.png",
        "labels": source / "label" / "00.png",
        "split": "train",
        "group": "",
    }
    return tuple((row | changes).values())


def printed(result) -> str:
    """Everything that a user sees: dry runs write to standard output, true ones to error."""
    return result.stdout + result.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slide": "slide one"}, ["line 2", "'slide one'", "letters, digits"]),
        ({"slide": "it's"}, ["line 2", "it's"]),
        ({"slide": "../up"}, ["line 2", "'../up'"]),
        ({"slide": "$(touch x)"}, ["line 2", "touch x"]),
        ({"image": "no/such.tif"}, ["line 2", "no/such.tif", "correct the path"]),
        ({"split": "training"}, ["line 2", "'training'", "train, val, test"]),
        ({"labels": ""}, ["line 2", "no labels"]),
        ({"split": ""}, ["no slide has split 'train'"]),
    ],
)
def test_a_bad_row_is_one_line(project, data, changes, words):
    rows = ["slide\timage\tlabels\tsplit\tgroup"]
    rows.append("\t".join(map(str, good_row(data, **changes))))
    (project.archive / "slides.tsv").write_text("\n".join(rows) + "\n")
    result = project.snakemake("--dry-run")
    assert result.returncode == 1
    assert "Traceback" not in printed(result)
    (line,) = [line for line in printed(result).splitlines() if "slides.tsv" in line]
    assert all(word in line for word in words), line
    assert not (project.archive / "results").exists()


def test_a_sheet_that_is_missing_is_not_replaced_by_the_demonstrations(project):
    assert (project.root / "config" / "slides.tsv").exists()
    project.write_config(slides="config/slides.tsv")
    for shipped in ([], ["--configfile", str(project.root / "config" / "config.yaml")]):
        result = project.snakemake("--dry-run", *shipped)
        assert result.returncode == 1
        assert "config/slides.tsv: no such file; set the key 'slides'" in printed(result)
    project.write_config()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluatoin": {}}, ["unknown key 'evaluatoin'", "did you mean 'evaluation'?"]),
        (
            {"models": {"unet": {"epoch": 5}}},
            ["unknown key 'epoch'", "models.unet", "did you mean 'epochs'?"],
        ),
        ({"models": {"unet": {"epochs": 0}}}, ["models.unet.epochs is 0", "minimum"]),
        ({"models": {"a b": {}}}, ["'a b'", "letters, digits"]),
        ({"models": {"reference": {}}}, ["'reference'"]),
        ({"labels": {"kind": "masks"}}, ["labels.kind is 'masks'", "instances"]),
    ],
)
def test_a_bad_key_is_one_line_that_names_the_nearest(project, data, changes, words):
    sheet = "\t".join(map(str, good_row(data)))
    (project.archive / "slides.tsv").write_text(f"slide\timage\tlabels\tsplit\tgroup\n{sheet}\n")
    project.write_config(**changes)
    result = project.snakemake("--dry-run")
    assert result.returncode == 1
    assert "Traceback" not in printed(result)
    lines = [line for line in printed(result).splitlines() if line.startswith("configuration: ")]
    assert len(lines) == 1, printed(result)
    assert all(word in lines[0] for word in words), lines[0]


def test_a_damaged_picture_stops_its_own_jobs_and_says_which_file(project, data):
    broken = project.archive / "broken.tif"
    whole = next((data / "em_vnc_stack2_unlabelled").glob("*.tif"))
    broken.write_bytes(whole.read_bytes()[:9000])
    rows = [good_row(data), good_row(data, slide="s1", image=broken, labels="", split="")]
    text = "\n".join("\t".join(map(str, row)) for row in rows)
    (project.archive / "slides.tsv").write_text(f"slide\timage\tlabels\tsplit\tgroup\n{text}\n")
    project.write_config()
    store = "results/slides/s1.ome.zarr/zarr.json"
    result = project.snakemake(store)
    assert result.returncode == 1
    lines = [line for line in printed(result).splitlines() if line.startswith("ingest.py: ")]
    assert len(lines) == 1 and "broken.tif" in lines[0] and "cut short" in lines[0]
    assert not (project.archive / store).exists()
