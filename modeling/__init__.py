"""Models: backbones, heads, layers, objectives, losses and the pipeline."""
