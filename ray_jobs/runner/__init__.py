"""One run on one output: begin or resume, watch, stop, and tell how it stands."""
