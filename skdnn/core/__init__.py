"""The paper, sections 3 to 6, and what descends its gradient: NumPy and SciPy alone."""
