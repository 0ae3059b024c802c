"""DNNBinaryClassifier on the breast cancer data: find the tumours that matter most.

A tumour called benign by mistake is worse than one more biopsy. The network gives a
probability; where to cut it is chosen by cross-validation on the training rows alone.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import (
    brier_score_loss,
    confusion_matrix,
    fbeta_score,
    make_scorer,
    roc_auc_score,
)
from sklearn.model_selection import TunedThresholdClassifierCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier

data = load_breast_cancer()
X, y = data.data, data.target_names[data.target]  # the labels are the words themselves
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)

network = DNNBinaryClassifier(
    hidden_layer_sizes=(20,), alpha=1.0, learning_rate_init=0.01, max_iter=500, random_state=0
)
model = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
p = model.predict_proba(X_test)[:, 1]
print(f"{len(y_train)} tumours to train on, {len(y_test)} to test; columns {network.classes_}")
print(f"Area under the ROC curve {roc_auc_score(y_test, p):.4f}")
print(f"Brier score              {brier_score_loss(y_test, p, pos_label='malignant'):.4f}\n")

# F3 counts a missed malignant tumour nine times as heavily as a false alarm.
scorer = make_scorer(fbeta_score, beta=3, pos_label="malignant")
careful = TunedThresholdClassifierCV(model, scoring=scorer, cv=5).fit(X_train, y_train)

print(f"{'rule':<28} {'missed malignant':>17} {'false alarms':>13} {'accuracy':>9}")
for name, rule in [("malignant above 0.5", model), ("tuned for F3", careful)]:
    predicted = rule.predict(X_test)
    (_, alarms), (missed, _) = confusion_matrix(y_test, predicted)
    cut = f"{name} ({careful.best_threshold_:.3f})" if rule is careful else name
    print(f"{cut:<28} {missed:>17} {alarms:>13} {np.mean(predicted == y_test):>9.3f}")

print("\nThe five tumours of which the network is least sure:")
for i in np.argsort(np.abs(p - 0.5))[:5]:
    print(f"  p(malignant) = {p[i]:.3f}   in truth {y_test[i]}")
