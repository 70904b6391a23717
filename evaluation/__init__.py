"""How good a model is: full-catalogue ranking, metrics, baselines."""
