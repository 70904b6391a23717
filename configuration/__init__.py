"""Configurations of models: one class per architecture."""
