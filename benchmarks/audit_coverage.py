"""How often the intervals of audit_video.py hold the true score: audits drawn again and again where all is known.

  python benchmarks/audit_coverage.py                                       # synthetic videos
  python benchmarks/audit_coverage.py --data-root data/endovis2015 \\
      --runs outputs/endovis2015/score/lite/seed_0/without_{} outputs/endovis2015/score/base/seed_0/without_{}
  python benchmarks/audit_coverage.py --quick                               # 2 videos, 100 draws

Populations: synthetic videos of 500 frames, 2 s apart, in both domains, predicted by two small models that are trained
here on other synthetic videos (or by --weights); or with --data-root each operation of EndoVis 2015, predicted by the
weights in the folders --runs, where {} stands for the operation: benchmarks/endovis2015.py trains them on the other
ones. The first model is audited, the second one serves for the paired difference. Each audit is drawn by the code of
select_frames.py and estimated by that of audit_video.py. Printed are the share of audits whose nominal 95 % interval
holds the score of the whole population, and the mean width of the intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import add_device_option, resolve_device, run_metadata
from surgseg.files import write_json

VIDEOS, FRAMES, SPACING, SIZE, SEED = 2, 500, 50, (240, 428), 1001  # of the synthetic populations
SYNTHETIC, ENDOVIS = (10, 20, 30, 50), (10, 20)  # frames of an audit
STREAM = {"videos": 10, "clips": 4, "frames": 3, "size": SIZE, "seed": 3}  # that trains the small models
EPOCHS = (12, 4)  # of the two models
TRAINING = "--arch unet --base-channels 8 --image-size 112 200 --lr 0.002 --batch-size 4 --seed 1"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs=2, help="models of the synthetic videos (default: train two)")
    parser.add_argument("--data-root", type=Path, help="prepared folder of EndoVis 2015 (default: none)")
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], metavar="DIR", help="folders of its models: one, or two"
    )
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs/audit_coverage"), help="working folder (default: %(default)s)"
    )
    parser.add_argument("--draws", type=int, default=1000, help="audits of each size (default: 1000)")
    parser.add_argument("--quick", action="store_true", help="one video a domain and 100 draws")
    parser.add_argument("--json", type=Path, help="write the results here too")
    add_device_option(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    device = resolve_device(args.device)
    draws = 100 if args.quick else args.draws
    results = []
    for name, sizes, models in populations(args, device):
        for count in sizes:
            results.append({"population": name, "frames": count, **simulate(models, count, draws)})
            print(line(results[-1]), flush=True)
    print(table(results))
    if args.json:
        write_json(args.json, {"results": results, "draws": draws, "run": run_metadata(vars(args), device)})
    return 0


def populations(args: argparse.Namespace, device) -> Iterable[tuple[str, tuple[int, ...], list[dict]]]:
    """Yield the name, the sizes of its audits, and the columns of `measure_all` of each model, of each population."""
    folder = args.output_dir / "populations"
    if args.data_root is None:
        weights = args.weights or train_models(args.output_dir)
        for domain in ("aligned", "shifted"):
            for video in range(1, 2 if args.quick else VIDEOS + 1):
                files = [folder / f"{domain}{video}_{number}.npz" for number in range(len(weights))]
                yield (
                    f"synthetic {domain} {video}",
                    SYNTHETIC,
                    cached(files, weights, device, lambda domain=domain, video=video: draw_video(domain, video)),
                )
    else:
        from surgseg.data.dataset import load_prepared, read_sample

        prepared = load_prepared(args.data_root)
        for video in prepared.videos:
            samples = sorted((s for s in prepared.samples if s.video == video), key=lambda sample: sample.number)
            runs = [Path(str(run).format(video)) for run in args.runs]
            weights = [run / "instrument_segmentation_model.pth" for run in runs]
            files = [folder / f"{'_'.join(run.parts[-3:])}.npz" for run in runs]
            yield video, ENDOVIS, cached(files, weights, device, lambda s=samples: (read_sample(x, 2) for x in s))


def train_models(folder: Path) -> list[Path]:
    """Train the two small models on synthetic videos, unless they are there; return their weights files."""
    import instrument_segmentation
    from surgseg.data.convert import Target
    from surgseg.data.prepare import prepare
    from surgseg.data.readers.cholecseg8k import read_cholecseg8k
    from surgseg.data.sources import open_source
    from surgseg.labels import SCHEMES
    from surgseg.synthetic.release import write_release

    weights = [folder / f"epochs_{epochs}" / "instrument_segmentation_model.pth" for epochs in EPOCHS]
    if not all(path.is_file() for path in weights):
        write_release(folder / "stream", **STREAM)
        with open_source(folder / "stream") as (files, data):
            prepare(read_cholecseg8k(files, "stream"), Target(folder / "dataset"), SCHEMES["binary"], data)
        for epochs, path in zip(EPOCHS, weights):
            if path.is_file():
                continue
            argv = [*TRAINING.split(), "--epochs", epochs, "--data-root", folder / "dataset"]
            argv += ["--cache-dir", folder / "cache", "--output-dir", path.parent]
            if instrument_segmentation.main([str(word) for word in argv]):
                raise SystemExit(f"the training of {path} failed")
    return weights


def draw_video(domain: str, video: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame (H, W, 3) uint8 of a synthetic video and its mask (H, W) uint8."""
    from surgseg.labels import SCHEMES
    from surgseg.synthetic.scenes import draw_frame

    lookup = SCHEMES["binary"].lookup().astype(np.uint8)
    for number in range(FRAMES):
        frame, codes = draw_frame(SEED, video, SPACING * number, SIZE, domain)
        yield frame, lookup[codes]


def cached(files: list[Path], weights: list[Path], device, frames) -> list[dict]:
    """Return the columns of each model, from its file where it is there."""
    if not all(path.is_file() for path in files):
        for path, columns in zip(files, measure_all(weights, device, frames())):
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **columns)
    return [dict(np.load(path)) for path in files]


def measure_all(weights: list[Path], device, frames: Iterable) -> list[dict]:
    """Return of each model the columns of `review.audit.Measured`, of all frames, and the predicted coverage."""
    from surgseg.checkpoint import load_checkpoint
    from surgseg.masks import is_present
    from surgseg.predict import Predictor
    from surgseg.review.audit import audit_counts, expected_counts

    predictors = [Predictor(load_checkpoint(path), device, keep_probability=True) for path in weights]
    rows = [[] for _ in predictors]
    for frame, truth in frames:
        for found, predictor in zip(rows, predictors):
            prediction = predictor.predict(frame[None])
            mask = prediction.ids[0] == 1
            expected = expected_counts(mask, prediction.probability[0])
            found.append((*expected, *audit_counts(mask, truth, [1]), mask.mean()))
    names = ("expected_above", "expected_below", "above", "below", "true", "predicted", "known", "coverage")
    models = [dict(zip(names, np.array(found, np.float64).T)) for found in rows]
    for columns in models:
        columns.update({name: is_present(columns[name]) for name in ("true", "predicted")}, known=columns["known"] > 0)
    return models


def simulate(models: list[dict], count: int, draws: int) -> dict:
    """Draw audits of `count` frames. Return the true scores of the first model, and for each estimate the share of
    intervals that hold the truth, the shares below and above it, and their mean width."""
    from surgseg.generate.folder import FrameRow
    from surgseg.review.estimate import Design, estimate_difference
    from surgseg.review.report import estimate_scores
    from surgseg.review.sample import draw_audit, stratify

    size = len(models[0]["above"])
    rows = [FrameRow(str(i), i, float(i), models[0]["coverage"][i], 1.0, 0.0, 0, False) for i in range(size)]
    whole = scores_of(models[0])
    truth = {**whole, "sample_dice": whole["dice"], "simple": whole["dice"], "simple_difference": whole["dice"]}
    if len(models) > 1:
        truth["paired"] = truth["sample_paired"] = scores_of(models[1])["dice"] - whole["dice"]
    found = {name: [] for name in truth}
    for seed in range(draws):
        audit = draw_audit(rows, count, seed)
        strata = stratify(rows, len(audit.population) // 2)
        place = {name: number for number, names in enumerate(strata.values()) for name in names}
        chosen = np.array([int(name) for name in audit.names])
        design = Design(np.array([place[name] for name in audit.names]), np.array(list(audit.population.values())))
        scores = [estimate_scores(design, measured(columns, chosen), chosen) for columns in models]
        simple = np.random.default_rng(seed).choice(size, count, replace=False)
        one = estimate_scores(Design(np.zeros(count, int), np.array([size])), measured(models[0], simple), simple)
        estimates = {**scores[0], "simple": one["sample_dice"], "simple_difference": one["dice"]}
        if len(models) > 1:
            for name in ("dice", "sample_dice"):
                pair = estimate_difference(design, scores[0][name], scores[1][name])
                estimates[name.replace("dice", "paired")] = pair
        for name, values in found.items():
            values.append((estimates[name].low, estimates[name].high))
    report = {}
    for name, values in found.items():
        low, high = np.array(values)[~np.isnan(np.array(values)).any(1)].T
        report[name] = {
            "truth": truth[name],
            "covered": float(((low <= truth[name] + 1e-12) & (truth[name] - 1e-12 <= high)).mean())
            if len(low)
            else None,
            "below": float((high < truth[name]).mean()) if len(low) else None,
            "width": float((high - low).mean()) if len(low) else None,
            "draws": len(low),
        }
    return report


def measured(columns: dict, chosen: np.ndarray):
    """Return the `Measured` of an audit of the chosen frames."""
    from surgseg.review.audit import Measured

    sampled = (columns[name][chosen] for name in ("above", "below", "true", "predicted", "known"))
    return Measured(columns["expected_above"], columns["expected_below"], *sampled, [])


def scores_of(columns: dict) -> dict[str, float]:
    """Return the scores of a model over the whole population."""
    dice = columns["above"].sum() / columns["below"].sum()
    true, found = columns["true"].astype(bool), columns["predicted"].astype(bool)
    shares = [hits[among].mean() if among.any() else np.nan for hits, among in ((found, true), (~found, ~true))]
    return {"dice": dice, "sensitivity": shares[0], "specificity": shares[1]}


COLUMNS = {  # of the table
    "simple": "ratio, simple random",
    "simple_difference": "difference, simple random",
    "sample_dice": "ratio",
    "dice": "difference",
    "sample_paired": "two models, ratio",
    "paired": "two models, difference",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


def line(result: dict) -> str:
    return f"{result['population']}, {result['frames']} frames: " + "; ".join(
        f"{words} {cell(result[name])}" for name, words in COLUMNS.items() if name in result
    )


def cell(entry: dict) -> str:
    return "n/a" if entry["covered"] is None else f"{100 * entry['covered']:.1f} ({entry['width']:.3f})"


def table(results: list[dict]) -> str:
    """Return a markdown table: covered in percent, mean width in brackets."""
    names = [name for name in COLUMNS if all(name in result for result in results)]
    lines = [
        f"| population | Dice | frames | {' | '.join(COLUMNS[name] for name in names)} |",
        "|---" * (len(names) + 3) + "|",
    ]
    for result in results:
        cells = [cell(result[name]) for name in names]
        lines.append(
            f"| {result['population']} | {result['dice']['truth']:.3f} | {result['frames']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
