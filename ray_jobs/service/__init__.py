"""The service: warm engines, runs and a console over HTTP."""
