"""ROBUST-MIS (EndoVis 2019): Training/PROCEDURE/OPERATION/FRAME/raw.png with instrument_instances.png beside it.

A value above 0 is an instrument; the values are its instances. Some are trocars: a later release of the same frames
(ROBUST-MIPS) is said to have removed them.
"""

from __future__ import annotations

from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.pixels import decode_positive
from surgseg.data.readers.trees import Spot, find, last_number, pair_tree, refuse_folders
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile

LABELS = SetLabels(instrument={"instrument": None}, other={"background": None})
_FOLDER = r"(Proctocolectomy|Rectal[ _]resection)/([^/]+)/([^/]+)"
_MASKS = _FOLDER + r"/instrument_instances\.png"


def read_robust_mis(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of the training part. Raises `UserError` for the test part."""
    why = "which operations the stages of the test part show was not verified: give the folder Training"
    refuse_folders(files, root_name, "Testing", why)
    layout = "Proctocolectomy|Rectal resection/OPERATION/FRAME/raw.png and instrument_instances.png"
    frames, masks = find(files, _FOLDER + r"/raw\.png", root_name), find(files, _MASKS, root_name)

    def spot(key) -> Spot:
        procedure, operation, frame = key
        return Spot(f"{procedure.lower().replace(' ', '_')}-{operation}", last_number(frame))

    return pair_tree(layout, frames, masks, spot, decode_positive)


READER = Reader(
    "ROBUST-MIS",
    read_robust_mis,
    licence="terms of the set",
    labels=LABELS,
    masks=_MASKS,
    edges=("in", "?", "?", "?"),
)
