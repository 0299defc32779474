"""Loading a model from Hugging Face's files whole: a head that the files lack would be random."""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer

from scoring.errors import ModelLoadError

UNLOADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
"""What transformers raises for files that are damaged, of another kind, or of no known model, and models' own code."""


def load_tokenizer(model: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer of the folder or hub id `model`. Raises ModelLoadError."""
    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except UNLOADABLE as error:
        raise ModelLoadError(f"{model}: its tokenizer does not load: {cause(error)}") from error


def cause(error: Exception) -> str:
    """What went wrong in loading, with the name of the setting where a model's own code was not run."""
    if "trust_remote_code" in str(error):
        return "it comes with code of its own, which runs only where the configuration says trust_remote_code: true"
    return str(error)


def load_whole(
    loader: Any,
    model: str,
    kind: str,
    device: str,
    may_lack: tuple[str, ...] = (),
    trust_remote_code: bool = False,
    **settings: Any,
) -> Any:
    """The model that `loader`, an Auto class of transformers, makes of the folder or hub id `model`, on `device`.

    `settings` go to `from_pretrained`; `kind` says in messages what was wanted. Raises ModelLoadError, also where
    weights are missing whose names do not begin with one of `may_lack`.
    """
    try:
        # left open, transformers would ask on the terminal
        settings["trust_remote_code"] = trust_remote_code
        loaded, report = loader.from_pretrained(model, output_loading_info=True, **settings)
        loaded = loaded.to(device).eval()
    except UNLOADABLE as error:
        raise ModelLoadError(f"{model}: does not load as {kind}: {cause(error)}") from error
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith(may_lack)):
        raise ModelLoadError(f"{model}: {len(missing)} weights are missing, such as {', '.join(missing[:3])}")
    return loaded
