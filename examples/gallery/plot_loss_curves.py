"""
Loss curves: is it still learning, and did it learn too much?
=============================================================

x
"""

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.plot([1, 2])
