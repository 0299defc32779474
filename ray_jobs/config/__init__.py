"""Configuration: classes that several kinds of run share, reading them, and which settings change results."""
