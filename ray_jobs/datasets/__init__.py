"""What becomes of a finished output: selections by score, and exports in the formats of training programs."""
