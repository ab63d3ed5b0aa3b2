#!/usr/bin/env bash
# From a clone to a results table and a map: the five steps on the bundled corpus with the bundled encoder.
#
#   bash run.sh          synthetic demo corpus (data/demo), wavlm_nano and the acoustic baseline; no hub, a few minutes
#   bash run.sh --full   IEMOCAP and CREMA-D, WavLM-base and HuBERT-large, all classifiers; needs data and the hub
#
# Everything can be stopped and run again: what stands is kept. What is fetched or computed is said first.
set -u
cd "$(dirname "$0")" || exit 1

case "${1:-}" in
"" | --full) ;;
*) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

bash tools/install.sh || exit 1
python=.venv/bin/python

step() { echo; echo "$ python $*"; "$python" "$@" || exit 1; }

if [ "${1:-}" = --full ]; then
    # What is missing is said before anything long starts.
    ls data/CREMA-D/AudioWAV/*.wav >/dev/null 2>&1 || { echo "error: data/CREMA-D/AudioWAV holds no .wav: clone CREMA-D (with git lfs) and link or copy it to data/CREMA-D" >&2; exit 1; }
    step tools/check_hub.py microsoft/wavlm-base facebook/hubert-large-ll60k datasets/Zahra99/IEMOCAP_Audio
    step src/1_data_preprocessing.py --iemocap-fraction 1
    step src/2_wavlm_feature_extraction.py
    step src/2_wavlm_feature_extraction.py --model hubert_large
    step src/2_wavlm_feature_extraction.py --model acoustic
    for encoder in "" _hubert_large _acoustic; do
        step src/3_train_classifiers.py --npz-path "embeddings/emotion_embeddings$encoder.npz"
    done
    step src/5_visualization_umap.py --npz-path embeddings/emotion_embeddings{,_hubert_large}.npz
    step src/4_evaluation_metrics.py
    exit 0
fi

# The demo has folders of its own, so that synthetic speech never mixes with results on people's.
demo=results/demo
step src/1_data_preprocessing.py --corpora demo --out-dir data/processed/demo
for model in acoustic wavlm_nano; do
    step src/2_wavlm_feature_extraction.py --model $model --pooling mean std \
        --metadata data/processed/demo/demo.csv --out embeddings/demo_$model.npz
    step src/3_train_classifiers.py --npz-path embeddings/demo_$model.npz --layer all --results-dir $demo
done
step src/5_visualization_umap.py --npz-path embeddings/demo_wavlm_nano.npz --layer all --results-dir $demo
step src/4_evaluation_metrics.py --results-dir $demo

echo
echo "The table above is synthetic speech (data/demo): it shows that the pipeline works, not how well people are understood."
echo "pictures: $(ls $demo/umap_emotion.png) and"
ls $demo/confusion_matrix_*.png | sed 's/^/          /'
