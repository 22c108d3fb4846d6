"""SISVSE (Yoon et al. 2022), robotic gastrectomy: images/real/PATIENT_*.png and COCO files.

Read are instance_jsons/real_train_1.json and real_val_1.json, the first of three divisions for cross-validation: they
hold all 40 operations. The codes of the set's PNG masks were not verified, so labels are taken by name. A file begins
with the number of its patient. Instruments lie on top of tissue.
"""

from __future__ import annotations

from functools import partial

from surgseg.console import read_all
from surgseg.data.coco import read_coco
from surgseg.data.pairs import Found, Problem, Reader
from surgseg.data.readers.pixels import decode_made, polygon_mask
from surgseg.data.readers.trees import Spot, find, last_number, pair_tree, single
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile

_PARTS = {
    "HarmonicAce": ("Head", "Body"),
    "MarylandBipolarForceps": ("Head", "Wrist", "Body"),
    "CadiereForceps": ("Head", "Wrist", "Body"),
    "CurvedAtraumaticGrasper": ("Head", "Body"),
    "Stapler": ("Head", "Body"),
    "Medium-LargeClipApplier": ("Head", "Wrist", "Body"),
    "SmallClipApplier": ("Head", "Wrist", "Body"),
}
_OTHER = ("Needle", "Endotip", "Specimenbag", "DrainTube", "Gauze")
_TISSUE = ("Liver", "Stomach", "Pancreas", "Spleen", "Gallbladder", "TheOther_Tissues")
LABELS = SetLabels(
    instrument=dict.fromkeys(
        [f"{tool}_{part}" for tool, parts in _PARTS.items() for part in parts]
        + ["Suction-Irrigation", "TheOther_Instruments"]
    ),
    other=dict.fromkeys(("background", *_TISSUE, *_OTHER)),
)
_MASKS = r"instance_jsons/real_(train|val)_1\.json"


def read_sisvse(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of both parts. An image that a COCO file names and that is missing is a problem."""
    frames = find(files, r"images/(real/[^/]+)\.(?:png|jpe?g)", root_name)
    masks, parts, problems = {}, {}, []
    tables = single(find(files, _MASKS, root_name))
    annotated = read_all(partial(read_coco, [file]) for file in tables.values())
    for ((part,), file), items in zip(tables.items(), annotated):
        for item in items:
            key = (item.name,)
            if item.read is None:
                problems.append(Problem("image without annotation", file.name, item.file))
                continue
            mask = polygon_mask(f"{file.name} ({item.file})", file.stamp, item.read, LABELS)
            masks.setdefault(key, []).append(mask)
            parts[key] = part.lower()
    layout = "images/real/PATIENT_*.png and instance_jsons/real_train_1.json, real_val_1.json"

    def spot(key) -> Spot:
        patient, _, rest = key[0].rpartition("/")[2].partition("_")
        return Spot(f"sisvse-{patient}" if rest else "", last_number(key[0]), parts.get(key, ""))

    found = pair_tree(layout, frames, masks, spot, decode_made)
    return Found(found.pairs, found.problems + problems)


READER = Reader(
    "SISVSE",
    read_sisvse,
    licence="BSD 3-Clause (second-hand)",
    labels=LABELS,
    masks=_MASKS,
    edges=("out", "?", "out", "?"),
    split="train, val",
)
