"""From the embeddings of step 2 to a cross-validated model and a picture, with numpy, scikit-learn and matplotlib only.

Reads   an npz of step 2 (its keys are in embeddings/README.md)
Writes  a picture: the confusion matrix over all out-of-fold predictions

Example: python examples/read_npz.py embeddings/emotion_embeddings.npz confusion.png
"""

import argparse

import matplotlib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("Agg")  # draws without a display
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("npz", help="embeddings of step 2")
parser.add_argument("picture", help="PNG to write")
args = parser.parse_args()

# Plain arrays: no pickle, and nothing of this project is needed to read them.
with np.load(args.npz, allow_pickle=False) as file:
    data = {name: file[name] for name in ("embeddings", "labels", "corpora", "speakers", "augmented_from")}

# Augmented copies are for training only; this example leaves them out.
original = data["augmented_from"] == ""
x = data["embeddings"][original].mean(axis=1)  # (clips, layers, dim) -> the average of the layers, (clips, dim)
y = data["labels"][original]

# The same speaker number in two corpora is two people.
speakers = np.char.add(np.char.add(data["corpora"], "/"), data["speakers"])[original]
if (data["speakers"][original] == "").any():
    raise SystemExit(f"error: {args.npz}: some clips have no speaker, so no speaker-independent folds can be made")

# Speaker-independent folds: all clips of a speaker are in the same fold. The scaler is fitted on training clips only.
folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=0)
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
predicted = cross_val_predict(model, x, y, groups=speakers, cv=folds)

# Balanced accuracy is scikit-learn's name for UAR, the mean of the recalls of the classes.
uar, chance = balanced_accuracy_score(y, predicted), 1 / len(np.unique(y))
title = f"{len(y)} clips, {len(np.unique(speakers))} speakers: UAR {uar:.3f} (chance {chance:.3f})"
print(title)

display = ConfusionMatrixDisplay.from_predictions(y, predicted, normalize="true", values_format=".0%", colorbar=False)
display.ax_.set_title(title)
plt.savefig(args.picture, dpi=150, bbox_inches="tight")
print(f"wrote {args.picture}")
