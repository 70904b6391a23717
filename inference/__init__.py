"""Recommend items by their raw ids."""
