"""How a network is fitted to rows; knows no estimator."""
