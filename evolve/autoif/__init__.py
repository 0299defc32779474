"""AutoIF (arXiv 2406.13542): instructions whose fulfilment is checked by code that a model writes.

The logic alone: flows that ask for completions, parsers of what comes back, and gates that say why something falls.
Running model-written code is left to the caller, who passes a `Check` such as `evolve.sandbox.Sandbox.check`.

The steps, in order: `augment`, `verification`, `cross_validation`, `back_translation`, `nli`, `queries`,
`responses`, `quality`; `rules` holds their constants and the published presets.
"""
