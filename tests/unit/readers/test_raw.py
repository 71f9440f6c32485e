"""Every reader gives the pixels that went into the file, box by box, and their physical size."""

import gzip
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from overtile.errors import InputError
from overtile.readers import raw as raw_module
from overtile.readers.opening import open_raw

PLANE = np.arange(40 * 56, dtype=np.uint16).reshape(40, 56)
STACK = np.arange(3 * 20 * 24, dtype=np.uint16).reshape(3, 20, 24)
COLOURS = np.arange(20 * 24 * 4).reshape(20, 24, 4).astype(np.uint8)


def read_all(raw) -> np.ndarray:
    """The whole picture, (c, z, y, x)."""
    return raw.read(tuple(slice(0, n) for n in raw.shape[1:]))


def assert_reads(path: Path, expected: np.ndarray) -> None:
    """The file reads as expected (c, z, y, x), as a whole and in odd pieces."""
    raw = open_raw(path)
    pixels = read_all(raw)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == raw.dtype == expected.dtype
    assert pixels.dtype.isnative
    assert raw.shape == expected.shape
    box = tuple(slice(n // 3, n // 3 + max(1, n // 2)) for n in raw.shape[1:])
    np.testing.assert_array_equal(raw.read(box), expected[(slice(None), *box)])


TIFF_FORMS = {
    "one strip": {},
    "strips of 7 rows": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "BigTIFF": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "deflate": {"compression": "zlib", "rowsperstrip": 7},
    "LZW tiles with predictor": {"compression": "lzw", "predictor": True, "tile": (16, 16)},
    "zstd": {"compression": "zstd"},
}


@pytest.mark.parametrize("form", TIFF_FORMS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_every_form_of_tiff_reads_as_what_was_written(tmp_path, form, dtype):
    pixels = (PLANE % 251).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **TIFF_FORMS[form])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)
    assert_reads(tmp_path / "a.tif", pixels[None, None])


def test_one_bit_pixels_read_as_0_and_1(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE % 3 == 0)
    assert_reads(tmp_path / "a.tif", (PLANE % 3 == 0).astype(np.uint8)[None, None])


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_an_imagej_stack_has_depth_and_spacing(tmp_path, unit):
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZYX", "spacing": 3.5, "unit": unit},
    )
    assert_reads(tmp_path / "a.tif", STACK[None])
    assert open_raw(tmp_path / "a.tif").pixel_size_um == pytest.approx((3.5, 0.5, 0.25))


def test_where_no_spacing_is_known_voxels_are_as_deep_as_high(tmp_path):
    options = {"resolution": (4, 2), "metadata": {"axes": "ZYX", "unit": "um"}}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, **options)
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK, metadata=metadata)
    for name in ("a.tif", "b.ome.tif"):
        assert open_raw(tmp_path / name).pixel_size_um == pytest.approx((0.5, 0.5, 0.25))


def test_an_imagej_stack_in_pixels_has_no_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    assert open_raw(tmp_path / "a.tif").pixel_size_um is None


def test_an_imagej_hyperstack_has_channels_first(tmp_path):
    pixels = np.stack([STACK, STACK + 5], axis=1)
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "ZCYX"})
    assert_reads(tmp_path / "a.tif", pixels.swapaxes(0, 1))


@pytest.mark.parametrize("axes", ["CZYX", "ZCYX"])
def test_ome_tiff_brings_axes_sizes_and_channel_names(tmp_path, axes):
    pixels = np.stack([STACK, STACK + 5], axis=axes.index("C"))
    metadata = {
        "axes": axes,
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=metadata)
    assert_reads(tmp_path / "a.ome.tif", pixels if axes[0] == "C" else pixels.swapaxes(0, 1))
    raw = open_raw(tmp_path / "a.ome.tif")
    assert raw.pixel_size_um == pytest.approx((2.0, 0.5, 0.25))
    assert raw.channels == ["DAPI", "GFP"]


def test_ome_tiff_reads_its_full_size_not_a_level_of_its_pyramid(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(PLANE, subifds=1, tile=(16, 16))
        tif.write(PLANE[::2, ::2], subfiletype=1, tile=(16, 16))
    assert_reads(tmp_path / "a.ome.tif", PLANE[None, None])


def test_a_name_for_all_colours_together_is_no_channel_name(tmp_path):
    metadata = {"axes": "YXS", "Channel": {"Name": ["brightfield"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", COLOURS[..., :3], photometric="rgb", metadata=metadata)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert 'SamplesPerPixel="3" Name="brightfield"' in tif.ome_metadata
    raw = open_raw(tmp_path / "a.ome.tif")
    assert (raw.shape[0], raw.channels) == (3, None)


def write_ome(path: Path, plane: np.ndarray, pixels: str, inside: str, uuid: str = "") -> None:
    """An OME-TIFF of one plane whose metadata say what they like."""
    height, width = plane.shape
    tifffile.imwrite(
        path,
        plane,
        metadata=None,
        description='<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{plane.dtype}" '
        f'SizeX="{width}" SizeY="{height}" SizeT="1" {pixels}>{inside}</Pixels></Image></OME>',
    )


def test_channels_of_which_one_has_a_name_have_no_names(tmp_path):
    channels = '<Channel ID="Channel:0" Name="DAPI"/><Channel ID="Channel:1"/>'
    pixels = np.stack([PLANE, PLANE])
    xml = '<TiffData IFD="0" PlaneCount="2"/>'
    write_ome(tmp_path / "a.ome.tif", PLANE, 'SizeC="2" SizeZ="1"', channels + xml)
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANE, append="force", metadata=None)
    raw = open_raw(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(read_all(raw)[:, 0], pixels)
    assert raw.channels is None


@pytest.mark.parametrize(
    ("is_there", "message"),
    [
        (True, "pixels are in several files; save it as one"),
        (False, "some of its planes are missing; save it as one"),
    ],
)
def test_an_ome_tiff_with_planes_in_other_files_is_refused(tmp_path, is_there, message):
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{n}" for n in range(2)]
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{z}.ome.tif">{uuid}</UUID></TiffData>'
        for z, uuid in enumerate(uuids)
    )
    for z in range(2 if is_there else 1):
        name = tmp_path / f"{z}.ome.tif"
        write_ome(name, PLANE, 'SizeC="1" SizeZ="2"', f'<Channel ID="C"/>{data}', uuids[z])
    with pytest.raises(InputError, match=f"0.ome.tif: .*{message}"):
        open_raw(tmp_path / "0.ome.tif")


def test_ome_tiff_without_sizes_has_no_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "ZYX"})
    assert open_raw(tmp_path / "a.ome.tif").pixel_size_um is None


def test_a_resolution_per_centimetre_is_a_pixel_size_and_one_per_inch_is_not(tmp_path):
    for unit, size in (("CENTIMETER", (0.5, 0.5, 0.25)), ("INCH", None), ("NONE", None)):
        options = {"resolution": (40_000, 20_000), "resolutionunit": unit}
        tifffile.imwrite(tmp_path / "a.tif", PLANE, metadata=None, **options)
        found = open_raw(tmp_path / "a.tif").pixel_size_um
        assert found == (size and pytest.approx(size))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    ("samples", "photometric", "extra", "kept"),
    [
        (3, "rgb", (), 3),
        (4, "rgb", ("unassalpha",), 3),
        (4, "rgb", ("assocalpha",), 3),
        (4, "rgb", ("unspecified",), 3),
        (2, "minisblack", ("unassalpha",), 1),
        (4, "minisblack", ("unspecified",) * 3, 4),
        (4, "separated", (), 4),
    ],
)
def test_colours_stay_and_transparency_goes(tmp_path, planar, samples, photometric, extra, kept):
    pixels = COLOURS[:, :, :samples]
    first = np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        first if planar else pixels,
        photometric=photometric,
        planarconfig="separate" if planar else "contig",
        extrasamples=extra,
        metadata=None,
    )
    assert_reads(tmp_path / "a.tif", first[:kept, None])


def test_a_palette_is_noticed(tmp_path):
    palette = np.zeros((3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", COLOURS[..., 0], photometric="palette", colormap=palette)
    raw = open_raw(tmp_path / "a.tif")
    assert raw.has_palette
    np.testing.assert_array_equal(read_all(raw)[0, 0], COLOURS[..., 0])


def test_a_time_series_is_refused_with_its_axis(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match="a.tif: has axis T of length 3 .*allowed: C or S, Z"):
        open_raw(tmp_path / "a.tif")


@pytest.mark.parametrize("form", TIFF_FORMS)
def test_a_tiff_that_was_cut_short_is_refused(tmp_path, form):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, **TIFF_FORMS[form], metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-300])
    with pytest.raises(InputError, match="a.tif: "):
        read_all(open_raw(tmp_path / "a.tif"))


def test_a_tiff_with_fewer_strips_than_rows_need_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, rowsperstrip=4, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        tags = tif.pages[0].tags
        tags["StripOffsets"].overwrite(tags["StripOffsets"].value[:6])
        tags["StripByteCounts"].overwrite(tags["StripByteCounts"].value[:6])
    with pytest.raises(InputError, match="a.tif: "):
        read_all(open_raw(tmp_path / "a.tif"))


def test_a_strip_larger_than_memory_allows_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_module, "MAX_WHOLE_BYTES", PLANE.nbytes - 1)
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    with pytest.raises(InputError, match="a.tif: one of its segments holds .* tiled TIFF"):
        open_raw(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", PLANE, tile=(16, 16))
    assert_reads(tmp_path / "a.tif", PLANE[None, None])


def write_png(path: Path, pixels: np.ndarray, colour: int, bits: int) -> None:
    """A PNG by the letter of its specification: one filter byte 0 before each row.

    colour 3: a palette of random colours.
    """
    height, width = pixels.shape[:2]
    if bits < 8:
        each = np.unpackbits(pixels.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
        rows = np.packbits(each.reshape(height, -1), axis=1)
    else:
        rows = pixels.astype(f">u{bits // 8}").reshape(height, -1)
    lines = b"".join(b"\x00" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    palette = np.random.default_rng(0).bytes(3 * 2**bits) if colour == 3 else b""
    chunks = {b"IHDR": header, b"PLTE": palette, b"IDAT": zlib.compress(lines), b"IEND": b""}
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, body in chunks.items():
            if kind == b"PLTE" and not body:
                continue
            check = struct.pack(">I", zlib.crc32(kind + body))
            file.write(struct.pack(">I", len(body)) + kind + body + check)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("samples", "colour", "kept"), [(1, 0, 1), (2, 4, 1), (3, 2, 3), (4, 6, 3)]
)
def test_a_png_of_any_colour_type_reads_without_its_transparency(
    tmp_path, bits, samples, colour, kept
):
    pixels = COLOURS[:, :, :samples].astype(f"u{bits // 8}") * (257 if bits == 16 else 1)
    write_png(tmp_path / "a.png", pixels, colour, bits)
    assert_reads(tmp_path / "a.png", np.moveaxis(pixels[:, :, :kept], -1, 0)[:, None])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colour", [0, 3])
def test_a_png_of_few_bits_or_with_a_palette_reads_as_the_numbers_stored(tmp_path, bits, colour):
    numbers = (PLANE % 2**bits).astype(np.uint8)[:, :-1]
    write_png(tmp_path / "a.PNG", numbers, colour, bits)
    assert_reads(tmp_path / "a.PNG", numbers[None, None])
    assert open_raw(tmp_path / "a.PNG").has_palette == (colour == 3)


def test_a_png_with_a_palette_that_was_cut_short_is_refused(tmp_path):
    write_png(tmp_path / "a.png", PLANE % 251, 3, 8)
    content = (tmp_path / "a.png").read_bytes()
    for end in (40, 33 + 12 + 3 * 256, len(content) - 100):
        (tmp_path / "a.png").write_bytes(content[:end])
        with pytest.raises(InputError, match="a.png: cannot be read"):
            open_raw(tmp_path / "a.png")


def test_a_png_that_claims_too_much_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", COLOURS[..., :3], 2, 8)
    monkeypatch.setattr(raw_module, "MAX_WHOLE_BYTES", 20 * 24 * 3 - 1)
    with pytest.raises(InputError, match="a.png: the picture holds .* tiled TIFF"):
        open_raw(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"II+\x00"])
def test_a_file_that_is_something_else_is_refused_in_one_line_with_its_name(
    tmp_path, name, content
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: ") as error:
        read_all(open_raw(tmp_path / name))
    assert "\n" not in str(error.value)


VOLUME = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)  # x y z, as NIfTI stores it


def write_nifti(path: Path, voxels, zooms, unit, kind=nibabel.Nifti1Image) -> None:
    image = kind(voxels, np.diag([*zooms, 1.0, 1.0][:3] + [1.0]))
    image.header.set_zooms(zooms[: voxels.ndim])
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_nifti_volume_turns_from_x_y_z_to_z_y_x(tmp_path, name, dtype, kind):
    voxels = VOLUME.astype(dtype)
    write_nifti(tmp_path / name, voxels, (0.25, 0.5, 2.0), "mm", kind)
    assert_reads(tmp_path / name, voxels.transpose()[None])
    assert open_raw(tmp_path / name).pixel_size_um == pytest.approx((2000, 500, 250))


def test_a_big_endian_nifti_reads_in_the_byte_order_of_this_machine(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4), header), tmp_path / "a.nii")
    assert nibabel.load(tmp_path / "a.nii").header.endianness == ">"
    assert_reads(tmp_path / "a.nii", VOLUME.transpose()[None])


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1), ("meter", 1e6), ("unknown", 1e3)])
def test_nifti_units_become_micrometres(tmp_path, unit, factor):
    write_nifti(tmp_path / "a.nii", VOLUME, (1.0, 2.0, 4.0), unit)
    expected = (4 * factor, 2 * factor, factor)
    assert open_raw(tmp_path / "a.nii").pixel_size_um == pytest.approx(expected)


def test_a_nifti_of_two_axes_is_one_plane(tmp_path):
    write_nifti(tmp_path / "a.nii", VOLUME[:, :, 0], (0.25, 0.5), "mm")
    assert_reads(tmp_path / "a.nii", VOLUME[:, :, 0].transpose()[None, None])
    assert open_raw(tmp_path / "a.nii").pixel_size_um[1:] == pytest.approx((500, 250))


def test_a_nifti_with_one_moment_in_time_is_a_volume_and_with_two_is_refused(tmp_path):
    write_nifti(tmp_path / "a.nii", VOLUME[..., None], (1, 1, 1, 1), "mm")
    assert_reads(tmp_path / "a.nii", VOLUME.transpose()[None])
    write_nifti(tmp_path / "b.nii", np.stack([VOLUME] * 2, axis=-1), (1, 1, 1, 1), "mm")
    with pytest.raises(InputError, match=r"b.nii: has shape \(5, 6, 7, 2\)"):
        open_raw(tmp_path / "b.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_scaled_nifti_reads_as_its_scaled_values(tmp_path, name):
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / name)
    scaled = nibabel.load(tmp_path / name)
    assert scaled.dataobj.slope == 0.5
    pixels = read_all(open_raw(tmp_path / name))
    np.testing.assert_allclose(pixels, scaled.get_fdata().transpose()[None])
    assert pixels.dtype.kind == "f"


def test_scaled_integers_that_do_not_fit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_module, "MAX_WHOLE_BYTES", VOLUME.size * 8 - 1)
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    nibabel.save(image, tmp_path / "plain.nii")
    assert_reads(tmp_path / "plain.nii", VOLUME.transpose()[None])
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="a.nii: the volume of scaled integers holds .* float32"):
        open_raw(tmp_path / "a.nii")


@pytest.mark.parametrize("edge", [np.nan, np.inf])
def test_a_nifti_whose_voxel_sizes_are_no_numbers_has_no_size(tmp_path, edge):
    write_nifti(tmp_path / "a.nii", VOLUME, (1.0, 1.0, 1.0), "mm")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[80:92] = np.full(3, edge, dtype="<f4").tobytes()  # pixdim[1:4]
    (tmp_path / "a.nii").write_bytes(content)
    assert open_raw(tmp_path / "a.nii").pixel_size_um is None


def test_a_compressed_nifti_that_was_cut_short_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    write_nifti(tmp_path / "a.nii", rng.integers(0, 999, (9, 9, 9), dtype=np.int16), (1,) * 3, "mm")
    packed = gzip.compress((tmp_path / "a.nii").read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(packed[:-200])
    (tmp_path / "c.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:-200])
    for name in ("b.nii.gz", "c.nii"):
        with pytest.raises(InputError, match=f"{name}: cannot be read"):
            read_all(open_raw(tmp_path / name))


def test_an_unknown_ending_and_a_missing_file_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="a.jpg: unknown kind of file; allowed: .tif"):
        open_raw(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="b.tif: no such file"):
        open_raw(tmp_path / "b.tif")
    with pytest.raises(InputError, match="no such file"):
        open_raw(tmp_path)


def test_a_real_slide_reads_by_tiles_and_knows_its_pixel_size(data):
    path = data / "wsi" / "CMU-1-Small-Region.svs"
    raw = open_raw(path)
    whole = tifffile.imread(path, series=0)
    box = (slice(0, 1), slice(1000, 1100), slice(2000, 2150))
    np.testing.assert_array_equal(
        raw.read(box)[:, 0], whole[1000:1100, 2000:2150].transpose(2, 0, 1)
    )
    assert raw.shape == (3, 1, 2967, 2220)
    assert raw.pixel_size_um == pytest.approx((0.499,) * 3)


@pytest.mark.parametrize(
    ("name", "order"),
    [("multi-channel", "CYX"), ("z-series", "ZYX"), ("multi-channel-z-series", "CZYX")],
)
def test_real_ome_tiffs_read_as_tifffile_reads_them(data, name, order):
    path = data / "ometiff" / f"{name}.ome.tif"
    pixels = tifffile.imread(path)
    assert pixels.ndim == len(order)
    missing = [axis for axis, letter in enumerate("CZYX") if letter not in order]
    assert_reads(path, np.expand_dims(pixels, missing))


def test_a_real_nifti_volume_reads_as_nibabel_reads_it(data):
    path = sorted((data / "mri_hippocampus" / "images").iterdir())[0]
    expected = np.asarray(nibabel.load(path).dataobj).transpose()[None]
    np.testing.assert_array_equal(read_all(open_raw(path)), expected)
