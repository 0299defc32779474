"""The report of an output: one HTML page that stands alone, and its pictures."""
