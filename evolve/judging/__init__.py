"""Questions to a judge model about instructions and answers: flows, and the reading of what it replies."""
