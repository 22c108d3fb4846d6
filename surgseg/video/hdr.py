"""Map high dynamic range (PQ and HLG, ITU-R BT.2100) to sRGB, with FFmpeg's lut3d filter.

swscale has a tone mapping from FFmpeg 8 on; it takes about ten seconds before its first frame.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TRANSFERS = ("pq", "hlg")
_NODES = 49  # of the table, for each channel
_WHITE = 203.0  # cd/m2 of diffuse white (ITU-R BT.2408); brighter parts become white
_PEAK = 1000.0  # cd/m2 of the display that HLG is shown on
_TO_BT709 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]  # ITU-R BT.2087


def to_srgb(coded: np.ndarray, transfer: str) -> np.ndarray:
    """Return sRGB values, 0-1, for BT.2020 values (..., 3), 0-1, coded as `transfer`, one of `TRANSFERS`."""
    light = _pq(coded) if transfer == "pq" else _hlg(coded)
    linear = np.clip(light / _WHITE @ np.transpose(_TO_BT709), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _pq(coded: np.ndarray) -> np.ndarray:
    """cd/m2 by the EOTF of SMPTE ST 2084."""
    root = coded ** (32 / 2523)
    return 10000 * (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)


def _hlg(coded: np.ndarray) -> np.ndarray:
    """cd/m2 by the inverse OETF and the OOTF of HLG."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    return _PEAK * (scene @ [0.2627, 0.6780, 0.0593])[..., None] ** 0.2 * scene


class ToneMap:
    """Map (H, W, 3) uint16 pictures of one size to sRGB, (H, W, 3) uint8."""

    def __init__(self, width: int, height: int, transfer: str):
        axis = np.linspace(0, 1, _NODES)
        blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # the table's first channel changes fastest
        table = to_srgb(np.stack([red, green, blue], axis=-1), transfer).reshape(-1, 3)
        self._graph = av.filter.Graph()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hdr.cube"
            np.savetxt(path, table, "%.6f", header=f"LUT_3D_SIZE {_NODES}", comments="")
            steps = [
                self._graph.add_buffer(width=width, height=height, format="gbrp16le", time_base=Fraction(1, 1000)),
                self._graph.add("lut3d", file=str(path)),
                self._graph.add("format", "rgb24"),
                self._graph.add("buffersink"),
            ]
            for before, after in zip(steps, steps[1:]):
                before.link_to(after)
            self._graph.configure()

    def __call__(self, coded: np.ndarray) -> np.ndarray:
        # a new picture has no metadata: by those of the file, some versions of FFmpeg convert it a second time
        self._graph.push(av.VideoFrame.from_ndarray(coded, format="gbrp16le"))
        return self._graph.pull().to_ndarray()
