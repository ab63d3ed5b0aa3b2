#!/usr/bin/env bash
# What else the embeddings of RAVDESS know: emotion, speaker, gender, sentence and intensity, told by the linear probe and
# the SVM; and intensity as a number, predicted by every regressor. Neutral has no strong intensity, so intensity is of
# the seven other emotions. Its files go to results/targets.
#
#   bash benchmarks/targets.sh [folder with RAVDESS's Actor_NN] [folder with whisper-tiny.en and whisper-base]
#
# MODELS="acoustic wavlm_nano" runs these two only. The defaults are those of benchmarks/ravdess.sh, whose embeddings are used where they are up to date.
set -eu
. "$(dirname "$0")/ravdess_encoders.sh"
emotions="calm happy sad angry fearful disgust surprised"

train() {  # name of the npz, npz
    place="--results-dir results/targets --models-dir models/targets"
    $python src/3_train_classifiers.py --npz-path "$2" --target emotion speaker gender sentence \
        --classifier logistic svm $place
    $python src/3_train_classifiers.py --npz-path "$2" --target intensity --emotions $emotions \
        --classifier logistic svm $place
    $python src/3_train_classifiers.py --npz-path "$2" --target intensity --regression --emotions $emotions $place
}

for model in ${MODELS:-acoustic wavlm_nano}; do
    measure "$model" --model "$model"
done
[ -n "${MODELS:-}" ] || measure whisper_tiny_en_clip --model "$tiny" --context clip
$python src/4_evaluation_metrics.py --results-dir results/targets
