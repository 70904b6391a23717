"""How a model is shared: remote code and the model card."""
