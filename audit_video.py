"""Say how good models are on a video, and how sure that is, from reviewed frames of its audit.

  python select_frames.py --generated-dir data/gastrectomy --audit 30     # draws the frames
  python review_masks.py --generated-dir data/gastrectomy                 # a person reviews them
  python audit_video.py --generated-dir data/gastrectomy \\
      --models outputs/instrument_segmentation_model.pth \\
      outputs/gastrectomy/instrument_segmentation_model.pth

Prints pooled Dice and IoU, sensitivity and specificity of presence for each model with 95 %
intervals that follow from the drawing, how much better each model is than the first one, and how
many more frames make the interval half as wide. Each model predicts all frames that could be drawn.
Exit status: 0 done, 3 some frames of the audit are not reviewed yet.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from surgseg.console import PARTIAL, add_device_option, make_parser, report_errors, resolve_device, run_metadata
from surgseg.files import UserError, check_folder, write_json


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--generated-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="generated folder whose audit frames are reviewed (required)",
    )
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="one or more weights files; each is compared with the first (required)",
    )
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON too (default: no)")
    return parser


def work(args: argparse.Namespace) -> int:
    if args.json:
        check_folder(args.json.parent)
    if len({path.resolve() for path in args.models}) < len(args.models):
        raise UserError("--models names one file twice")
    from surgseg.checkpoint import load_checkpoint
    from surgseg.review.audit import read_audit
    from surgseg.review.report import audit_block, audit_models

    audit = read_audit(args.generated_dir)
    device = resolve_device(args.device)
    models = [(path, load_checkpoint(path)) for path in args.models]
    result = audit_models(audit, models, device)
    if args.json:
        write_json(args.json, {**result, "run": run_metadata(vars(args), device)})
    print(audit_block(result))
    if audit.left:
        print(f"Partial: frames of the audit that are not reviewed yet: {audit.left}", file=sys.stderr)
    return PARTIAL if audit.left else 0


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
