"""
What moves a prediction: gradients in the columns
=================================================

The gradient of a prediction in the row that it is for is exact, and as cheap as a prediction
itself: backpropagation, one layer further. Summed up over the patients it says how much each column
moves the prediction, and which way; a column with its line on one side of 0 moves it the same way
for everyone.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from skdnn import DNNRegressor
from skdnn.inspection import SensitivitiesDisplay, integrated_gradients

data = load_diabetes(scaled=False, as_frame=True)
X, y = data.data.astype(float), data.target
model = DNNRegressor(n_estimators=5, random_state=0).fit(X, y)

display = SensitivitiesDisplay.from_estimator(model, X)
display.ax_.set_title("Progression of diabetes: what a deviation of each column moves")
plt.show()

# %%
# For one patient, :func:`~skdnn.inspection.integrated_gradients` shares out the difference between
# the prediction and that of the mean patient. The shares sum to it.

mean = X.mean(axis=0).to_frame().T
patient = X.iloc[[int(np.argmax(model.predict(X)))]]
(shares,) = integrated_gradients(model, patient)
low, high = model.predict(mean)[0], model.predict(patient)[0]
print(f"the mean patient {low:.1f}, this one {high:.1f}; the shares sum to {shares.sum():.1f}")

order = np.argsort(-np.abs(shares))
ends = low + np.cumsum(shares[order])
starts = ends - shares[order]
colors = np.where(shares[order] > 0, "#D55E00", "#0072B2")
hatches = np.where(shares[order] > 0, "", "///")
fig, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
ax.barh(X.columns[order], ends - starts, left=starts, color=colors, hatch=hatches, ec="white")
ax.axvline(low, color="#666666", lw=1, ls=":")
ax.axvline(high, color="#666666", lw=1, ls="--")
ax.text(low, -0.9, "mean patient", ha="center", fontsize=9)
ax.text(high, -0.9, "this patient", ha="center", fontsize=9)
ax.set_xlim(low - 8, max(ends.max(), high) + 8)
ax.invert_yaxis()
ax.set(xlabel="predicted progression of the disease")
fig.suptitle("From the mean patient to the one with the highest prediction, column by column")
plt.show()
