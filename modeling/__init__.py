"""How a model computes: backbones, heads, layers, losses and scoring."""
