"""Frame files: what the container says beside the pixels is applied, or the file is refused by name."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from surgseg.files import UserError
from surgseg.frames import frame_size, read_frame, read_upright
from surgseg.video.images import ImageReader

# How a file stores an upright picture under each EXIF orientation (TIFF 6.0, tag 274).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def picture(size=(12, 20)) -> np.ndarray:
    """(H, W, 3) uint8: four quarters of different colours, so that each turn is seen."""
    frame = np.zeros((*size, 3), np.uint8)
    half = (size[0] // 2, size[1] // 2)
    frame[: half[0], : half[1]] = (200, 30, 40)
    frame[: half[0], half[1] :] = (10, 20, 250)
    frame[half[0] :, half[1] :] = (10, 220, 30)
    return frame


def encoded(pixels, kind="PNG", orientation=None, **options) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    if orientation is not None:
        options["exif"] = exif(orientation)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[274] = orientation
    return found


def with_late_exif(png: bytes, orientation: int) -> bytes:
    """A PNG whose eXIf chunk follows its pixels, as the format allows."""
    body = b"eXIf" + exif(orientation).tobytes()[6:]
    return png[:-12] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + png[-12:]


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [("PNG", {}, 0), ("TIFF", {}, 0), ("WEBP", {"lossless": True}, 0), ("JPEG", {"quality": 95, "subsampling": 0}, 24)],
)
def test_the_exif_orientation_is_applied(kind, options, tolerance, orientation):
    data = encoded(STORED[orientation](picture()), kind, orientation, **options)
    frame, found = read_upright(data, "a")
    assert found == orientation and frame.shape == (12, 20, 3)
    assert np.abs(frame.astype(int) - picture()).max() <= tolerance
    assert frame_size(data, "a") == (20, 12, orientation)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_and_16_bits_go_together(kind):
    gray = np.arange(240, dtype=np.uint16).reshape(12, 20) * 257
    frame = read_frame(encoded(STORED[6](gray), kind, 6), "a")
    assert np.array_equal(frame, np.dstack([gray // 257] * 3))


def test_exif_behind_the_pixels_of_a_png_is_found():
    data = with_late_exif(encoded(STORED[8](picture())), 8)
    assert np.array_equal(read_frame(data, "a"), picture())
    assert frame_size(data, "a") == (20, 12, 8)


@pytest.mark.parametrize("data", [b"garbage", b"Exif\0\0garbage", b""])
def test_broken_exif_changes_nothing(data):
    assert read_upright(encoded(picture(), exif=data), "a")[1] == 1


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation):
    frame, found = read_upright(encoded(picture(), orientation=orientation), "a")
    assert found == 1 and np.array_equal(frame, picture())


def transparent() -> Image.Image:
    image = Image.fromarray(picture()).convert("RGBA")
    image.putpixel((0, 0), (1, 2, 3, 0))
    return image


def sixteen_bits(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels.astype(np.uint16)[..., ::-1])[1].tobytes()


@pytest.mark.parametrize(
    ("data", "right"),
    [
        (encoded(Image.fromarray(picture()).quantize(8)), picture()),
        (encoded(picture()[..., 0] > 100), np.dstack([np.uint8(255) * (picture()[..., 0] > 100)] * 3)),
        (encoded(Image.fromarray(picture()).convert("RGBA")), picture()),
        (encoded(picture(), transparency=(1, 2, 3)), picture()),
        (sixteen_bits(picture().astype(int) * 257), picture()),
        (encoded(picture()[..., 0].astype(np.uint16) * 257), np.dstack([picture()[..., 0]] * 3)),
        (encoded(np.zeros((12, 20), np.uint16)), np.zeros((12, 20, 3), np.uint8)),
    ],
    ids=["palette", "1-bit", "opaque alpha", "unused transparency", "16-bit RGB", "16-bit gray", "16-bit black"],
)
def test_kinds_of_pixels_with_one_right_picture(data, right):
    assert np.array_equal(read_frame(data, "a"), right)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(Image.fromarray(picture()).convert("CMYK"), "JPEG"), "CMYK colours"),
        (encoded(transparent()), "transparent"),
        (encoded(transparent().convert("LA")), "transparent"),
        (encoded(Image.fromarray(picture()).quantize(8), transparency=0), "transparent"),
        (encoded(picture(), transparency=(200, 30, 40)), "transparent"),
        (encoded(picture()[..., 0].astype(np.float32), "TIFF"), "floating-point"),
        (encoded(picture()[..., 0].astype(np.int32) * 100_000, "TIFF"), "32-bit"),
        (encoded(picture()[..., 0].astype(np.uint16) * 16), "12 bits"),
        (sixteen_bits(picture().astype(int) * 16), "12 bits"),
        (encoded(picture(), "TIFF", save_all=True, append_images=[Image.fromarray(picture())]), "2 pictures"),
    ],
)
def test_a_file_without_one_right_picture_is_refused_by_name(data, reason):
    for read in (read_frame, frame_size):
        with pytest.raises(UserError, match=rf"^op_1\.x: .*{reason}"):
            read(data, "op_1.x")


def test_a_folder_of_images_is_read_as_its_frames_are(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("a", "b", "c")]
    gray = np.uint16(26800 + 10 * np.arange(240).reshape(12, 20))  # about 104 of 255
    for path, data in zip(paths, (encoded(gray), encoded(STORED[3](picture()), orientation=3), encoded(transparent()))):
        path.write_bytes(data)
    with ImageReader(tmp_path) as reader:
        frames = [frame.image for frame in reader]
    assert reader.size == (12, 20) and reader.counts()["frames_lost"] == 1
    assert all(np.array_equal(frame, read_frame(path)) for frame, path in zip(frames, paths))
    assert frames[0].mean() == pytest.approx(28000 / 257, abs=1)


def test_the_first_image_gives_the_upright_size_of_the_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(STORED[6](picture()), "JPEG", 6))
    with ImageReader(tmp_path) as reader:
        assert reader.size == (12, 20)
