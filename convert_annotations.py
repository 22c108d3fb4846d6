"""Exchange masks with an annotation tool: CVAT, a COCO file, or LabelMe.

--to writes the masks of a prepared or generated folder as a file that the tool imports. --from
reads the tool's export into a new prepared folder, ready to train on:

  python convert_annotations.py --to cvat --data-root data/operation --output operation.zip
  python convert_annotations.py --from cvat --data-root data/operation --annotations corrected.zip \\
      --output data/corrected

Into a review (review_masks.py), where frames of the audit stay the audit's:

  python convert_annotations.py --from cvat --data-root data/operation --annotations corrected.zip \\
      --into-review

CVAT and COCO are exact; LabelMe gets polygons with an IoU of .99 or more: docs/annotations.md.
"""

from __future__ import annotations

from pathlib import Path

from surgseg.annotations.corrected import Corrected, report_corrected, write_corrected
from surgseg.annotations.formats import FORMATS, open_annotations
from surgseg.annotations.into_review import write_into_review
from surgseg.annotations.task import read_task
from surgseg.console import add_prefer_option, add_reviewed_option, make_parser, report_errors
from surgseg.data.shapes import label_table
from surgseg.files import UserError, list_some
from surgseg.labels import SCHEMES
from surgseg.reviews import MASKS, count_reviewed, has_reviews, lock_reviews, reviewed_words


def build_parser():
    parser = make_parser(__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--from", dest="source", choices=FORMATS, help="read a tool's annotations (default: off)")
    way.add_argument("--to", choices=FORMATS, help="write annotations for a tool (default: off)")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--data-root",
        type=Path,
        required=True,
        help="prepared or generated folder; with --from also a folder of frames (required)",
    )
    target = files.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--output",
        type=Path,
        help="what to write: a .zip (CVAT), .json (COCO) or folder (LabelMe, --from); must not exist (this or the next "
        "is required)",
    )
    target.add_argument(
        "--into-review",
        action="store_true",
        help="with --from: write the masks as reviewed masks into the generated folder --data-root (default: no)",
    )
    files.add_argument(
        "--annotations",
        type=Path,
        help="with --from: the tool's file, or the folder or zip of its files (default: none)",
    )
    labels = parser.add_argument_group("labels")
    labels.add_argument(
        "--class-scheme",
        metavar="NAME",
        help=f"classes of the masks: {', '.join(SCHEMES)} or a JSON file (default: the folder's own, else binary)",
    )
    labels.add_argument(
        "--label",
        nargs="+",
        default=[],
        metavar="OTHER=CLASS",
        help="with --from: labels of the tool that mean a class, background or void (default: equal names only)",
    )
    labels.add_argument(
        "--ignore-labels", nargs="+", default=[], metavar="LABEL", help="with --from: leave these out (default: none)"
    )
    frames = parser.add_argument_group("frames, with --from")
    frames.add_argument(
        "--allow-missing", action="store_true", help="leave out frames without annotation (default: an error)"
    )
    frames.add_argument(
        "--empty-frames",
        action="store_true",
        help="frames that the tool's file names without annotation are background (default: not annotated)",
    )
    frames.add_argument(
        "--video-pattern",
        metavar="REGEX",
        help="regular expression whose one group is the video in a frame's path (default: from the manifest or names)",
    )
    add_reviewed_option(frames)
    add_prefer_option(parser.add_argument_group("masks, with --to"))
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> None:
    if args.output and args.output.exists():
        raise UserError(f"{args.output} exists, and is not written over: choose another --output")
    if args.into_review if args.to else args.prefer_reviewed:
        raise UserError("--into-review is for --from, --prefer-reviewed for --to")
    if args.source and args.output and has_reviews(args.data_root):
        raise UserError(
            f"{args.data_root} holds a review, and frames of its audit must never train: use --into-review in place of "
            "--output"
        )
    task = read_task(args.data_root, args.class_scheme, prefer_reviewed=args.prefer_reviewed)
    if args.output and {task.frame_dir.resolve(), (task.root / "masks").resolve()} & set(args.output.resolve().parents):
        raise UserError(f"{args.output} lies in a folder of frames or masks: choose another --output")
    if args.to:
        write(args, task)
    else:
        report_corrected(read(args, task), args.output or args.data_root / MASKS, args.output or args.data_root)


def write(args, task) -> None:
    chosen = FORMATS[args.to]
    if args.annotations or args.label or args.ignore_labels:
        raise UserError("--annotations, --label and --ignore-labels are for --from")
    if args.output.suffix.lower() != chosen.suffix and chosen.suffix:
        raise UserError(f"--output {args.output}: the file for {args.to} ends in {chosen.suffix}")
    label_table(task.scheme, {}, ())
    chosen.write(task, args.output)
    print(f"{len(task.frames)} frames with the labels {list_some([*task.scheme.names[1:], 'void'], 20)}")
    if args.prefer_reviewed:
        print(reviewed_words(count_reviewed(task.reviews, task.frames)))
    print(f"  {args.output}")


def read(args, task) -> Corrected:
    chosen = FORMATS[args.source]
    if args.annotations is None:
        raise UserError("--from needs --annotations: the tool's file or folder")
    if wrong := [text for text in args.label if not all(text.partition("="))]:
        raise UserError(f"--label {list_some(wrong)}: write OTHER=CLASS, such as forceps=grasper")
    table = label_table(task.scheme, dict(text.split("=", 1) for text in args.label), args.ignore_labels)
    options = {key: getattr(args, key) for key in ("allow_missing", "empty_frames")}
    options.update(reviewed=args.masks_reviewed, as_written=chosen.as_written)
    with open_annotations(args.annotations, chosen.read_suffixes) as files:
        if args.into_review:
            with lock_reviews(task.root):  # a review page may be open
                return write_into_review(chosen.read(files), task, table, **options)
        return write_corrected(
            chosen.read(files), task, args.output, table, video_pattern=args.video_pattern, **options
        )


if __name__ == "__main__":
    raise SystemExit(main())
