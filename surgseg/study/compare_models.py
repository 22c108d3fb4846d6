"""Compare architectures: train them one after the other with the same split, seed and schedule, and score them.

Finished runs are not trained or scored again. Rows of other models in an earlier `comparison.json` stay if its data,
split, seeds, folds and settings are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models import parameter_count
from surgseg.console import PARTIAL, seed_everything
from surgseg.data.cache import open_cache
from surgseg.data.dataset import Prepared
from surgseg.files import UserError, check_folder
from surgseg.pretraining import default_weights
from surgseg.scores.report import heading
from surgseg.study.comparison import compared_models
from surgseg.study.report import comparison_block, run_name
from surgseg.study.results import Job, Results, content_hash, make_header
from surgseg.study.scoring import score_run
from surgseg.study.sentences import pretraining_sentence, unfinished
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.fit import TrainedRun, check_run, finish, fit
from surgseg.training.history import write_history
from surgseg.training.loop import CTRL_C
from surgseg.training.machine import Machine
from surgseg.training.split import SplitConfig, choose_folds, describe_split
from surgseg.training.start import resolve_init_from, start_model


@dataclass(frozen=True)
class ComparisonConfig:
    """The comparison of `models` (names of `compared_models`) with all `seeds` on every fold of `split`.

    All models share `model` and `train`. `void` is the treatment of void pixels in the scores.
    """

    models: list[str]
    seeds: list[int]
    split: SplitConfig
    model: ModelConfig
    train: TrainConfig
    void: str
    output_dir: Path


def run_comparison(config: ComparisonConfig, prepared: Prepared, machine: Machine, record: dict[str, Any]) -> int:
    """Train and score every model, write and print the comparison. `record` is the run's metadata.

    Returns the exit status: 3 if a run is missing, else 0. Raises `UserError` for wrong options before any training.
    """
    check_folder(config.output_dir)
    jobs = make_jobs(config, prepared.samples)
    models = model_configs(config, prepared.data)
    for model in models.values():
        check_run(resolve_init_from(model), replace(config.train, seed=min(config.seeds)), machine)
    print(f"Data: {prepared.root} ({prepared.data}), {len(prepared.samples)} frames, {len(prepared.videos)} videos")
    for split in {job.fold: job.split for job in jobs}.values():
        print(describe_split(split, prepared.samples))
    for _ in machine.processes.in_turn():  # missing weights raise here, before hours of training
        facts = {name: start_facts(name, model, prepared) for name, model in models.items()}
        first = resolve_init_from(models[jobs[0].model])
        cache = open_cache(prepared.samples, first.image_size, prepared.scheme, machine.cache_dir, first.view)
    if sentence := pretraining_sentence(facts):
        print(sentence)
    header = make_header(prepared, jobs, config.train, config.void, first.image_size, content_hash(cache))
    results = Results(config.output_dir / "comparison.json", header, facts, jobs, record)
    if machine.processes.first:
        results.take_earlier()
    stopped = run_jobs(config, jobs, models, prepared, machine, results)
    if not machine.processes.first:
        return 0
    comparison = results.write()
    print(comparison_block(comparison))
    print(f"\nWritten:\n  {results.path}\n  {config.output_dir}: weights, histories and metrics of each model")
    if stopped:
        print(f"Stopped ({stopped}). {results.path.name} is {unfinished(comparison) or 'complete.'}")
    return PARTIAL if stopped or not comparison["complete"] else 0


def run_jobs(
    config: ComparisonConfig, jobs: list[Job], models: dict, prepared: Prepared, machine: Machine, results: Results
) -> str:
    """Train and score all jobs that are not finished. Return the reason of an early stop, or ""."""
    reason = ""
    try:
        for job in jobs:
            run = train_job(config, job, models[job.model], prepared, machine, results.record)
            stopped = machine.processes.from_first(lambda run=run: run.stopped)
            if stopped == CTRL_C:
                return CTRL_C
            if stopped:  # a loss that is not finite: continue with the other models
                print(f"{compared_models()[job.model].label} stopped early: {stopped}")
                reason = stopped
            elif machine.processes.first:
                sizes = {"void": config.void, "batch_size": run.batch_size}
                results.add(job, score_run(job, run, prepared, machine, results.record, **sizes))
                finish(run)
            del run  # otherwise the peak memory of the next model includes this one
    except KeyboardInterrupt:
        return CTRL_C
    return reason


def train_job(
    config: ComparisonConfig, job: Job, model: ModelConfig, prepared: Prepared, machine: Machine, record
) -> TrainedRun:
    """Train, resume, or reuse the finished run. Write its history unless it stopped."""
    label = compared_models()[job.model].label
    print(heading(f"{label.upper()}: {run_name(job.facts)}, {len(job.split.parts['train'])} training frames"))
    seed_everything(job.seed)
    folder = config.output_dir / job.folder
    run = fit(
        prepared,
        job.split,
        model,
        replace(config.train, seed=job.seed),
        machine,
        weights_path=folder / f"{job.model}_model.pth",
        history_path=folder / f"{job.model}_history.json",
        record=record,
        resume="may",
        facts=job.facts,
    )
    if machine.processes.first and not run.stopped:  # also for a reused run: another run may have replaced its history
        facts = {"arch": model.arch, "data": prepared.data, "pretraining": run.checkpoint.training["start"]}
        write_history(run.history_path, run.history, {**job.facts, **facts, "chosen_epoch": run.chosen_epoch})
    return run


def make_jobs(config: ComparisonConfig, samples: list) -> list[Job]:
    """Return every training of the comparison, ordered by seed, fold and model.

    All seeds train on the same splits. Raises `UserError` for a split without a test or validation part.
    """
    splits = choose_folds(config.split, samples)
    for split in splits.values():
        if split.scored_part is None:
            raise UserError(f"split {split.name!r} has neither a test nor a validation part: nothing to compare on")
    jobs = []
    for seed in config.seeds:
        for fold, split in splits.items():
            levels = [f"seed_{seed}"] * (len(config.seeds) > 1) + [f"fold_{fold}"] * (len(splits) > 1)
            jobs += [Job(name, seed, fold, split, "/".join(levels)) for name in config.models]
    return jobs


def model_configs(config: ComparisonConfig, data: str) -> dict[str, ModelConfig]:
    """Return the `ModelConfig` of each model on "real" or "synthetic" `data`, with its `weights` always set.

    So a run with the default given as `--weights` is the same as one without the option. Raises `UserError` for weights
    that no model uses, and for two models that are the same.
    """
    if config.model.init_from is not None:
        raise UserError("--init-from fits one architecture only; use --weights for the start of the backbones")
    known, given = compared_models(), config.model.weights
    models = {}
    for name in config.models:
        arch, scratch = known[name].arch, known[name].scratch
        pretrained = replace(config.model, arch=arch).architecture.pretraining and not scratch
        weights = given or default_weights(arch, data) if pretrained else "none"
        models[name] = replace(config.model, arch=arch, weights=weights)
    if given not in (None, "none") and all(model.weights == "none" for model in models.values()):
        raise UserError(f"--weights {given}: none of --models {', '.join(models)} starts from it")
    for name, model in models.items():
        if known[name].scratch and models.get(model.arch) == model:
            raise UserError(
                f"{model.arch} starts from random weights here (--weights none, or synthetic data), so {name} is the "
                "same run: leave one out of --models"
            )
    return models


def start_facts(name: str, model: ModelConfig, prepared: Prepared) -> dict[str, Any]:
    """Return the entries of a model's row that do not depend on its runs: architecture, label, start, size."""
    started = start_model(model, prepared)
    return {
        "arch": model.arch,
        "label": compared_models()[name].label,
        "pretraining": started.origin,
        "pretrained": started.pretrained,
        "parameters": parameter_count(started.network),
        "plan": {"weights": model.weights, "model_args": model.model_args},
    }
