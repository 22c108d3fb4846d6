"""What the metadata of a video say of its pixels: colour matrix, range, HDR transfer and display matrix."""

import struct
from types import SimpleNamespace

import av
import numpy as np
import pytest

from surgseg.video import hdr
from surgseg.video.picture import ToRgb
from surgseg.video.reader import VideoReader
from tests.films import write_film

PATCHES = np.array([(200, 40, 40), (230, 140, 120), (40, 160, 60), (40, 60, 200), (128,) * 3, (20,) * 3, (235,) * 3])
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
UNSTATED, FULL, LIMITED = 2, 2, 1


def codes(rgb: np.ndarray, weights: tuple[float, float], full: bool, bits: int) -> np.ndarray:
    """Y, Cb, Cr (N, 3) of R'G'B' values 0-1, by ITU-R BT.601, 709 and 2020; `weights` of red and blue."""
    red, blue = weights
    luma = rgb @ [red, 1 - red - blue, blue]
    chroma = [(rgb[:, 2] - luma) / (2 * (1 - blue)), (rgb[:, 0] - luma) / (2 * (1 - red))]
    if full:
        values = [luma * (2**bits - 1), *(part * (2**bits - 1) + 2 ** (bits - 1) for part in chroma)]
    else:
        values = [(16 + 219 * luma) * 2 ** (bits - 8), *((128 + 224 * part) * 2 ** (bits - 8) for part in chroma)]
    return np.rint(np.stack(values, axis=1)).astype(int)


def picture_of(yuv: np.ndarray, bits: int, form: str = "yuv420p") -> av.VideoFrame:
    """Patches of 16 x 16 pixels side by side."""
    kind = np.uint16 if bits > 8 else np.uint8
    picture = av.VideoFrame(16 * len(yuv), 16, form + ("10le" if bits > 8 else ""))
    for plane, values in zip(picture.planes, yuv.T):
        rows = np.zeros((plane.height, plane.line_size // kind().nbytes), kind)
        rows[:, : plane.width] = np.repeat(values, plane.width // len(yuv))
        plane.update(rows.tobytes())
    return picture


def shown(picture: av.VideoFrame, transfer: int = 1) -> np.ndarray:
    """The colour in the middle of each patch."""
    to_rgb = ToRgb(SimpleNamespace(color_trc=transfer, colorspace=2, width=picture.width, height=picture.height))
    to_rgb.begin(picture)
    return to_rgb(picture)[8, 8::16].astype(int)


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("span", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_colours_follow_the_matrix_and_the_range_that_are_stated(matrix, span, bits):
    picture = picture_of(codes(PATCHES / 255, WEIGHTS[matrix], span == FULL, bits), bits)
    picture.colorspace, picture.color_range = matrix, span
    assert np.abs(shown(picture) - PATCHES).max() <= 3


def test_a_matrix_that_is_not_stated_is_bt601_at_every_size():
    yuv = codes(PATCHES / 255, WEIGHTS[5], False, 8)
    large = picture_of(yuv.repeat(20, axis=0), 8)  # wider than 1280
    assert large.colorspace == UNSTATED and np.abs(shown(large)[10::20] - PATCHES).max() <= 3


def test_a_jpeg_format_is_full_range_though_none_is_stated():
    picture = picture_of(codes(PATCHES / 255, WEIGHTS[5], True, 8), 8, "yuvj420p")
    assert np.abs(shown(picture) - PATCHES).max() <= 3


@pytest.mark.parametrize("form", ["gray", "rgb24", "gbrp"])
def test_gray_and_rgb_pictures_have_no_matrix(form):
    image = np.arange(16, 240, dtype=np.uint8).reshape(14, 16)
    image = image if form == "gray" else np.repeat(image[..., None], 3, axis=2)
    picture = av.VideoFrame.from_ndarray(image, format=form)
    picture.color_range = LIMITED
    to_rgb = ToRgb(SimpleNamespace(color_trc=2, colorspace=2))
    to_rgb.begin(picture)
    assert (to_rgb(picture).T == image.T).all()


@pytest.mark.parametrize("options", [{}, {"x264-params": "tff=1"}], ids=["progressive", "interlaced"])
def test_a_films_own_colours_are_read_from_its_file(tmp_path, options):
    yuv = codes(PATCHES / 255, WEIGHTS[1], False, 8)
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", **options})
        stream.width, stream.height, stream.pix_fmt = 16 * len(yuv), 16, "yuv420p"
        stream.codec_context.colorspace = stream.codec_context.color_trc = stream.codec_context.color_primaries = 1
        for _ in range(3):
            container.mux(stream.encode(picture_of(yuv, 8)))
        container.mux(stream.encode(None))
    with VideoReader(tmp_path / "film.mp4") as reader:
        frames = list(reader)
        facts = reader.describe()
    assert (facts["matrix"], facts["transfer"], facts["tone_mapped"]) == ("bt709", "bt709", False)
    assert bool(facts["deinterlaced"]) == bool(options)
    assert np.abs(frames[1].image[8, 8::16].astype(int) - PATCHES).max() <= 4


def pq(light: np.ndarray) -> np.ndarray:
    """The inverse of SMPTE ST 2084's EOTF, of cd/m2."""
    power = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light: np.ndarray) -> np.ndarray:
    """HLG values of the light, in cd/m2, of a display of 1000 cd/m2 (ITU-R BT.2100)."""
    luminance = (light @ [0.2627, 0.6780, 0.0593])[:, None] / 1000
    scene = light / 1000 * luminance ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


@pytest.mark.parametrize(("transfer", "coded"), [(16, pq), (18, hlg)], ids=["pq", "hlg"])
def test_hdr_is_mapped_to_the_colours_of_sdr(transfer, coded):
    srgb = PATCHES / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    values = coded(203 * linear @ to_bt2020.T)
    picture = picture_of(codes(values, WEIGHTS[9], False, 10), 10)
    picture.colorspace, picture.color_range = 9, LIMITED
    assert np.abs(shown(picture, transfer) - PATCHES).max() <= 5
    assert np.abs(shown(picture, 1) - PATCHES).max() > 50  # without the transfer


def test_hdr_white_and_what_is_brighter_are_white():
    assert hdr.to_srgb(np.full(3, 0.5807), "pq") == pytest.approx(1, abs=0.002)  # 203 cd/m2
    assert hdr.to_srgb(np.full(3, 0.75), "hlg") == pytest.approx(1, abs=0.003)
    assert hdr.to_srgb(np.ones(3), "pq") == pytest.approx(1) and hdr.to_srgb(np.zeros(3), "hlg") == pytest.approx(0)


def with_matrix(path, a, b, c, d):
    """Set the display matrix in an mp4's track header."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    struct.pack_into(">9i", data, place, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


TURNS = {  # the display matrix a, b, c, d moves (x, y) to (a x + c y, b x + d y)
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "left to right": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda image: image.swapaxes(0, 1)[:, ::-1]),
    "counterclockwise": ((0, -1, 1, 0), lambda image: image.swapaxes(0, 1)[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transversed": ((0, -1, -1, 0), lambda image: image.swapaxes(0, 1)[::-1, ::-1]),
}


@pytest.mark.parametrize("name", TURNS)
def test_the_display_matrix_is_applied_turned_or_mirrored(tmp_path, name):
    matrix, turn = TURNS[name]
    film = write_film(tmp_path / "film.mp4", 1)
    with VideoReader(film) as reader:
        stored = next(iter(reader)).image
    with VideoReader(with_matrix(film, *matrix)) as reader:
        frame = next(iter(reader))
        facts = reader.describe()
    assert (frame.image == turn(stored)).all()
    assert (facts["height"], facts["width"]) == frame.image.shape[:2]
    assert facts["mirrored"] == (name in ("left to right", "upside down", "transposed", "transversed"))
