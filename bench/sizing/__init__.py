"""Sizing measured: what it wastes and how often it kills, beside simpler rules; how well priors foretell real fits."""
