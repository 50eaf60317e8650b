#!/usr/bin/env bash
# From a clone to a trained, tested and pictured depth model, without data and without a GPU (it uses one if there is one).
# Everything it makes goes to work_dirs/quickstart/; results of an earlier run there are replaced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CONFIG=configs/synthetic/depthformer_tiny_rooms.py
WORK_DIR=work_dirs/quickstart

echo "== 1/5 Environment"
source tools/environment.sh
python -m pip install --quiet -e .

STARTED=$(date +%s)
rm -rf "$WORK_DIR"

echo "== 2/5 Training $CONFIG on synthetic rooms"
python tools/train.py "$CONFIG" --work-dir "$WORK_DIR"
TRAINED=$(date +%s)
CHECKPOINT=$(ls -t "$WORK_DIR"/best_abs_rel_iter_*.pth | head -n 1)

echo "== 3/5 Testing $CHECKPOINT"
python tools/test.py "$CONFIG" "$CHECKPOINT" --work-dir "$WORK_DIR/test"

echo "== 4/5 Inference on a few images"
python tools/dataset_converters/render_synthetic.py --world rooms --split test --num-scenes 4 --out "$WORK_DIR/scenes"
python tools/infer.py "$WORK_DIR/scenes/images" --checkpoint "$CHECKPOINT" --out-dir "$WORK_DIR/inference"

echo "== 5/5 Summary"
python tools/misc/quickstart_summary.py "$CONFIG" "$WORK_DIR" --started "$STARTED" --trained "$TRAINED"
