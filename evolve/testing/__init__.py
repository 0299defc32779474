"""Engines without a model, for dry runs, benchmarks and tests."""
