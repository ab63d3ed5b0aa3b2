#!/usr/bin/env bash
# Installs what is needed, then runs the five steps: a results table and a map.
#
#   bash run.sh          the synthetic demo corpus (data/demo) with wavlm_nano and the acoustic baseline; needs no hub
#   bash run.sh --full   IEMOCAP and CREMA-D with WavLM-base, HuBERT-large and the acoustic baseline; needs CREMA-D and the hub
#
# Started again after an interruption, it skips what is up to date and resumes the extraction. Each command is printed first.
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
    # Check for missing data before anything long starts.
    ls data/CREMA-D/AudioWAV/*.wav >/dev/null 2>&1 || { echo "error: data/CREMA-D/AudioWAV holds no .wav: clone CREMA-D with git lfs into data/CREMA-D, or link it there (see README.md)" >&2; exit 1; }
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

# The demo has its own folders, so that results on synthetic and on human speech are never mixed.
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
echo "The table above is for synthetic speech (data/demo). It shows that the pipeline works, not how well it recognises emotion in people."
echo "report:   $demo/report.html (open it in a browser)"
echo "pictures: $(ls $demo/umap_emotion.png) and"
ls $demo/confusion_matrix_*.png | sed 's/^/          /'
