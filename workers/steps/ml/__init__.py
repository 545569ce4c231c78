"""The built-in machine-learning steps. They need the extra `ml` and are imported when one of them first runs."""
