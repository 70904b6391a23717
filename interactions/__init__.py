"""From a table of interactions to tensors."""
