#!/usr/bin/env bash
# The README's results on RAVDESS: 4 and 8 classes, acoustic functionals and wavlm_nano, every classifier, speaker and
# random folds; then the maps and the table. Its files go to results/ravdess and data/processed/ravdess{4,8}; the README's
# table is made from docs/ravdess.csv, a copy of what step 4 writes.
#
#   bash benchmarks/ravdess.sh [folder with RAVDESS's Actor_NN, default ../shared/data/ravdess]
set -eu
corpus=$(realpath "${1:-$(dirname "$0")/../../shared/data/ravdess}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

for classes in 4 8; do
    emotions="neutral happy sad angry"
    [ $classes = 8 ] && emotions=all
    $python src/1_data_preprocessing.py --corpora ravdess --data-dir "$corpus" --emotions $emotions \
        --out-dir data/processed/ravdess$classes
    for model in acoustic wavlm_nano; do
        npz=embeddings/ravdess${classes}_$model.npz
        $python src/2_wavlm_feature_extraction.py --metadata data/processed/ravdess$classes/ravdess.csv \
            --model $model --pooling mean std --out $npz
        for cv in speaker random; do
            $python src/3_train_classifiers.py --npz-path $npz --layer all --cv $cv \
                --results-dir results/ravdess --models-dir models/ravdess
        done
    done
done
$python src/5_visualization_umap.py --npz-path embeddings/ravdess8_wavlm_nano.npz embeddings/ravdess8_acoustic.npz \
    --layer all --results-dir results/ravdess
$python src/4_evaluation_metrics.py --results-dir results/ravdess
$python tools/readme_tables.py --collect
