"""Answer HTTP requests with a saved model."""
