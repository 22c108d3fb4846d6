"""CholecInstanceSeg (Alabi et al. 2025): LabelMe polygons of seven tools, in frames of Cholec80 and CholecT50.

train|val|test/VIDnn_*/ann_dir/NAME.json, with the frame in a folder VIDnn_*/img_dir, wherever that lies. A file without
a tool holds no size. The videos are named as those of CholecSeg8k, video03, since they are the same operations; the
parts of one video (VID01_seg8k, VID01_t50_full) are joined.
"""

from __future__ import annotations

from surgseg.data.labelme import read_drawing
from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.pixels import decode_made, polygon_mask
from surgseg.data.readers.trees import Spot, find, last_number, pair_tree
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile
from surgseg.frames import frame_size

LABELS = SetLabels(
    instrument=dict.fromkeys(("grasper", "hook", "irrigator", "clipper", "bipolar", "scissors", "snare")),
    other={"background": None},
)
_MASKS = r"(train|val|test)/VID(\d+)_([^/]+)/ann_dir/([^/]+)\.json"


def read_cholecinstanceseg(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all parts; a frame belongs to the file of its name in the same folder VIDnn_*."""
    annotations = find(files, _MASKS, root_name)
    place_of = {(key[1], key[2], key[3]): key for key in annotations}
    frames = {}
    for key, found in find(files, r"VID(\d+)_([^/]+)/img_dir/([^/]+)\.(?:png|jpe?g)", root_name).items():
        frames[place_of.get(key, ("", *key))] = found
    masks = {
        key: [_polygons(file, frames[key][0]) for file in found] if key in frames else found
        for key, found in annotations.items()
    }
    layout = "train|val|test/VIDnn_*/ann_dir/*.json and VIDnn_*/img_dir/*.png"

    def spot(key) -> Spot:
        part, number, source, stem = key
        return Spot(f"video{int(number):02d}", last_number(stem), part.lower(), source)

    return pair_tree(layout, frames, masks, spot, decode_made)


def _polygons(file: SourceFile, frame: SourceFile) -> SourceFile:
    def read():
        return read_drawing(file, lambda: frame_size(frame.read(), frame.name)[:2])

    return polygon_mask(file.name, file.stamp, read, LABELS)


READER = Reader(
    "CholecInstanceSeg",
    read_cholecinstanceseg,
    licence="CC BY 4.0 (second-hand)",
    labels=LABELS,
    masks=_MASKS,
    edges=("out", "out", "out", "out"),
    split="train, val, test",
)
