"""Draw a film with known cuts and ground truth, and see which cuts are found in it at several sampling rates.

  python benchmarks/cuts.py --output-dir data/cut_film    # film.mp4, truth/, cuts.csv, phases.txt; the table of cuts
  python generate_masks_from_model.py --video-path data/cut_film/film.mp4 --frame-step 1 \\
      --output-dir data/cut_film/masks --model-path outputs/demo/instrument_segmentation_model.pth
  python analyze_mask_statistics.py --generated-dir data/cut_film/masks --mask-dir data/cut_film/truth \\
      --phase-file data/cut_film/phases.txt --rates 25 12.5 5 1

Shots of 2 to 4 s of two synthetic videos: most cuts leave out time of one scene, each fourth shows the other scene. A
quarter of the shots holds a flash of three frames (five times the light), which is no cut. With --dissolve N each shot
begins with N frames that are mixed with the end of the one before it; cuts.csv lists each of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import make_parser, report_errors
from surgseg.files import UserError, write_bytes, write_csv, write_text

RATE = 25


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="new folder for the film")
    parser.add_argument("--shots", type=int, default=16, help="shots of the film (default: 16)")
    parser.add_argument("--dissolve", type=int, default=0, metavar="N", help="mixed frames at each cut (default: 0)")
    parser.add_argument("--size", type=int, nargs=2, default=(240, 428), help="height and width (default: 240 428)")
    parser.add_argument("--seed", type=int, default=3, help="seed of the scenes (default: 3)")
    parser.add_argument("--domain", default="aligned", choices=["aligned", "shifted"], help="(default: aligned)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    from surgseg.frames import encode_frame
    from surgseg.generate.cuts import find_cuts
    from surgseg.labels import SCHEMES
    from surgseg.masks import write_mask
    from surgseg.synthetic.release import VIDEO_COMMENT
    from surgseg.synthetic.scenes import draw_frame
    from surgseg.video.writer import VideoWriter

    out, rng = args.output_dir, np.random.default_rng(args.seed)
    if out.exists():
        raise UserError(f"{out} exists: give a new folder")
    lookup = np.zeros(256, np.uint8)
    lookup[[31, 32]], lookup[255] = 1, 255
    cuts, phases, paths = [], [], []
    before = None  # video and next frame of the shot before
    with VideoWriter(out / "film.mp4", RATE, metadata={"comment": VIDEO_COMMENT}) as film:
        for shot in range(args.shots):
            video, start, length = 1 + (shot % 4 == 3), 400 * shot, int(rng.integers(2 * RATE, 4 * RATE))
            cuts.append(len(paths))
            for index in range(length):
                frame, codes = draw_frame(args.seed, video, start + index, tuple(args.size), args.domain)
                if before and index < args.dissolve:
                    share, (last, after) = (index + 1) / (args.dissolve + 1), before
                    old, old_codes = draw_frame(args.seed, last, after + index, tuple(args.size), args.domain)
                    frame = np.round(share * frame + (1 - share) * old).astype(np.uint8)
                    codes = codes if share >= 0.5 else old_codes
                if shot % 4 == 1 and 30 <= index < 33:
                    frame = np.clip(5.0 * frame, 0, 255).astype(np.uint8)
                film.write(frame)
                name = f"film_{len(paths):06d}"
                paths.append(out / "drawn" / f"{name}.jpg")
                write_bytes(paths[-1], encode_frame(frame))
                write_mask(out / "truth" / f"{name}.png", lookup[codes], SCHEMES["binary"])
                phases.append("First" if 2 * shot < args.shots else "Second")
            before = video, start + length
    spans = [range(cut, cut + args.dissolve + 1) for cut in cuts[1:]]
    write_csv(out / "cuts.csv", ["frame"], [{"frame": frame} for span in spans for frame in span])
    write_text(
        out / "phases.txt", "\n".join(["Frame\tPhase", *(f"{i}\t{name}" for i, name in enumerate(phases))]) + "\n"
    )
    print(f"{len(paths)} frames, {len(cuts) - 1} cuts, {len(range(1, args.shots, 4))} flashes")
    for step in (1, 2, 5):
        places = range(0, len(paths), step)
        found = {places[index] for index in find_cuts([paths[i] for i in places], [i / RATE for i in places])}
        near = [range(span.start - args.dissolve // 4, span.stop + args.dissolve // 4 + step - 1) for span in spans]
        hits = sum(not found.isdisjoint(span) for span in near)
        print(f"{RATE / step:g} frames/s: {hits} of {len(near)} found, {len(found.difference(*near))} false frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
