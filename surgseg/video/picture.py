"""Turn decoded pictures into RGB as their metadata say: colour matrix and range, HDR transfer, display matrix."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from surgseg.video.hdr import TRANSFERS, ToneMap

# Codes of ITU-T H.273 -> swscale's. A matrix that is not stated is BT.601 at every size, as in FFmpeg and OpenCV: data
# sets whose frames were extracted with them have these colours.
_BT709, _BT601 = 1, 5
_SWSCALE = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_TRANSFERS = {1: "bt709", 6: "bt601", 13: "srgb", 14: "bt2020", 15: "bt2020", 16: "pq", 18: "hlg"}


class ToRgb:
    """Call with a picture: (H, W, 3) uint8 RGB, turned by the display matrix, of the size of the first picture.

    HDR (PQ, HLG) is mapped to sRGB. `codec` is the stream's codec context. Call `begin` with each picture; the first
    one sets `size` (H, W), as delivered.
    """

    def __init__(self, codec: av.VideoCodecContext):
        self._codec = codec
        self.transfer = None if codec.color_trc in (0, 2) else _TRANSFERS.get(codec.color_trc, str(codec.color_trc))
        self.hdr = self.transfer in TRANSFERS
        self.size: tuple[int, int] | None = None
        self.rotation, self.mirrored = 0, False
        self._reformatter = VideoReformatter()
        self._tone_map: ToneMap | None = None

    def begin(self, picture: av.VideoFrame) -> None:
        if self.size is None:
            self.rotation, self.mirrored = _orientation(picture)
            turned = self.rotation % 180 == 90
            self.size = (picture.width, picture.height) if turned else (picture.height, picture.width)

    def rescales(self, picture: av.VideoFrame) -> bool:
        return (picture.height, picture.width) != self._coded_size

    @property
    def _coded_size(self) -> tuple[int, int]:
        """(H, W) before rotation."""
        return self.size if self.rotation % 180 == 0 else self.size[::-1]

    def describe(self) -> dict:
        """Size, orientation and colours for `run.json`."""
        height, width = self.size or (self._codec.height, self._codec.width)
        return {
            "width": width,
            "height": height,
            "rotation": self.rotation,
            "mirrored": self.mirrored,
            "matrix": _MATRICES.get(self._codec.colorspace),
            "transfer": self.transfer,
            "tone_mapped": self.hdr,
        }

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        height, width = self._coded_size
        options = {} if picture.format.is_rgb or len(picture.format.components) < 3 else _colours(picture)
        form = "gbrp16le" if self.hdr else "rgb24"
        image = self._reformatter.reformat(picture, width, height, form, **options).to_ndarray()
        if self.hdr:
            self._tone_map = self._tone_map or ToneMap(width, height, self.transfer)
            image = self._tone_map(image)
        image = image[:, ::-1] if self.mirrored else image
        return np.ascontiguousarray(np.rot90(image, self.rotation // 90))


def _colours(picture: av.VideoFrame) -> dict:
    """Arguments of `reformat` that state matrix and range; without them PyAV before 17 takes BT.601, limited."""
    matrix = _SWSCALE.get(picture.colorspace, _BT601)
    full = picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")
    return {
        "src_colorspace": matrix,
        "dst_colorspace": _BT601 if matrix == _BT709 else _BT709,  # RGB has none; old PyAV only acts on a difference
        "src_color_range": ColorRange.JPEG if full else ColorRange.MPEG,
        "dst_color_range": ColorRange.JPEG,
    }


def _orientation(picture: av.VideoFrame) -> tuple[int, bool]:
    """Return how a picture is shown: mirrored left to right or not, and then turned by degrees counterclockwise.

    The display matrix moves a pixel (x, y) to (a x + c y, b x + d y); the angle is rounded to a right one.
    """
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored = a * d < b * c
    return (round(picture.rotation / 90) * 90 + 180 * mirrored) % 360, mirrored
