"""Apply a trained model to surgery videos: write frames, instrument masks and a table of the frames.

  python generate_masks_from_model.py --video-path operation.mp4 --output-dir data/operation
  python generate_masks_from_model.py --video-path operation.mp4 --frame-step 1 --save masks video
  python generate_masks_from_model.py --video-path "videos/*.mp4" --output-dir data/all
  python generate_masks_from_model.py --video-path part_1.mp4 part_2.mp4 --join

The generated folder holds frames/, masks/, classes.json, frames.csv (time, coverage, confidence of
each frame) and run.json. The same command continues a run that was stopped or killed; it leaves a
finished folder unchanged. Several videos get a folder each below --output-dir. Several processes
that run the same command (torchrun, srun, a Slurm array, xargs) share the videos. Damaged parts of
a video are skipped, counted and marked. Exit status: 0 done, 2 nothing could be done, 3 partial.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time

from surgseg.console import (
    PARTIAL,
    let_waiting_threads_sleep,
    make_parser,
    report_errors,
    resolve_device,
    run_metadata,
)
from surgseg.files import check_folder
from surgseg.generate import options
from surgseg.launch import launched
from surgseg.places import find_weights
from surgseg.video.sampling import choose_sampling
from surgseg.view import parse_view


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    options.add_input_options(parser)
    options.add_weights_options(parser)
    options.add_sampling_options(parser)
    options.add_prediction_options(parser)
    options.add_output_options(parser)
    return parser


def work(args: argparse.Namespace) -> int:
    sampling = choose_sampling(args.sample, args.frame_step, args.max_frames, args.burst, args.start, args.end)
    options.check_options(args)
    let_waiting_threads_sleep()
    from surgseg.generate.earlier import check_target
    from surgseg.generate.shares import parse_share, share_out
    from surgseg.video.inputs import find_sources, join_sources
    from surgseg.video.views import check_sizes

    number, count = parse_share(args.share) if args.share else (0, 1)
    sources = find_sources(args.video_path)
    if args.join and len(sources) > 1:
        print(f"One video of {len(sources)} parts: {', '.join(source.path.name for source in sources)}")
        sources = [join_sources(sources)]
    jobs = options.targets(args, sources)
    for _, folder, _ in jobs:
        check_folder(folder)
    if len(jobs) == 1:  # errors of the video are raised before the model is loaded
        check_target(args.output_dir)
        with jobs[0][0].open(image_rate=args.image_rate):
            pass
        if launched().rank > 0 or number > 0:
            print("The first process does the only video; this process has nothing to do")
            return 0
    else:
        owners = share_out([source.size for source, _, _ in jobs], count)
        mine = [job for job, owner in zip(jobs, owners) if owner == number]
        if count > 1:
            print(f"Share {number + 1} of {count}: {len(mine)} of {len(jobs)} videos")
    check_sizes([source for source, _, _ in jobs], parse_view(args.view))
    predictor, request = prepare(args, sampling, [source for source, _, _ in jobs])
    if len(jobs) == 1:
        return generate_one(*jobs[0], request, predictor)
    from surgseg.generate.many import generate_all

    return generate_all(jobs, mine, request, predictor)


def prepare(args: argparse.Namespace, sampling, sources: list) -> tuple:
    """Load the model once for all videos. Return (`Predictor`, `VideoRequest`)."""
    from surgseg.checkpoint import load_checkpoint
    from surgseg.data.seen import trained_splits, trained_videos
    from surgseg.generate.run import VideoRequest
    from surgseg.onnx import choose_network
    from surgseg.predict import Predictor
    from surgseg.video.inputs import first_frames

    device = resolve_device(args.device)
    args.model_path = find_weights(args.model_path)
    checkpoint = load_checkpoint(args.model_path, args.arch)
    args.batch_size = args.batch_size or (32 if device.type == "cuda" else 4)
    network = choose_network(
        checkpoint,
        args.model_path,
        device,
        backend=args.backend,
        precision=args.precision,
        frames=lambda: first_frames(sources),
    )
    predictor = Predictor(
        checkpoint,
        device,
        args.threshold,
        args.batch_size,
        network=network,
        keep_probability="probabilities" in args.save,
    )
    private = () if args.keep_source_name else ("video_path", "output_dir")
    public = {key: value for key, value in vars(args).items() if key not in private}
    facts = {
        "weights_data": checkpoint.training.get("data", "unknown"),
        "weights_sha256": checkpoint.sha256,
        "model": {"arch": checkpoint.arch, "image_size": checkpoint.image_size, "classes": checkpoint.scheme.name},
        "export": network.metadata.get("parity") if hasattr(network, "metadata") else None,
        "run": run_metadata(public, device),
    }
    request = VideoRequest(
        sampling=sampling,
        parts=options.parts_of(args),
        overlay_video="video" in args.save,
        batch_size=args.batch_size,
        overwrite_before=time.time() if args.overwrite else 0.0,
        keep_source_name=args.keep_source_name,
        rate=args.image_rate,
        facts=facts,
        view=parse_view(args.view, checkpoint.view),
        trained_videos=frozenset(trained_videos(trained_splits(checkpoint.training))),
        trained_frames=checkpoint.trained_frames,
    )
    return predictor, request


def generate_one(source, folder, name: str, request, predictor) -> int:
    """Apply the model to a single video. Return the exit status."""
    from surgseg.generate.run import generate, incomplete, report_video

    result = generate(source, folder, name, request, predictor)
    report_video(result)
    if result.state == "stopped":
        print(f"Partial: stopped by {result.message}; the same command continues from here", file=sys.stderr)
    elif not result.whole:
        print(f"Partial: {incomplete(result.run)}", file=sys.stderr)
    print(f"Next: python analyze_mask_statistics.py --generated-dir {shlex.quote(str(folder))}")
    return 0 if result.whole else PARTIAL


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
