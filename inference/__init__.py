"""What a model recommends, by raw item ids."""
