# make demo   no data, no GPU: draw, prepare, train, evaluate, apply to a video, measure
# make test   lint and the test suite
# make figures   every figure of docs/figures.md from the synthetic stream, a quarter of an hour or more on two cores;
#                ARGS="--data-root data/full_dataset --video-paths video01.mp4 video80.mp4" makes the set from real data
# All make their own virtual environment in .venv and are safe to repeat.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo figures test setup clean-demo

$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

setup: $(VENV)/.installed

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

demo: setup
	$(BIN)/python -m surgseg.synthetic --preset demo --output-root data/demo/stream
	$(BIN)/python prepare_full_dataset.py --source-root data/demo/stream --output-root data/demo/dataset
	$(BIN)/python instrument_segmentation.py --preset demo
	$(BIN)/python analyze_model.py --mode dataset --mask-dir data/demo/dataset/masks --pred-dir data/demo/preds \
		--num-classes 2 --class-names "background,instrument" --output-dir outputs/demo
	$(BIN)/python generate_masks_from_model.py --video-path data/demo/stream/videos/video01.mp4 \
		--model-path outputs/demo/instrument_segmentation_model.pth --output-dir data/demo/generated \
		--frame-step 1 --overwrite
	$(BIN)/python analyze_mask_statistics.py --generated-dir data/demo/generated --output-dir outputs/demo

figures: setup
	$(BIN)/python make_figures.py $(ARGS)

clean-demo:
	rm -rf data/demo outputs/demo
