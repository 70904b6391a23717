"""The card's template."""
