"""`evolve serve`: the service; and `evolve tokens`: who may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.cli.options import Config, Output, Overrides, Verbose
from ray_jobs.cli.terminal import say

if TYPE_CHECKING:
    from ray_jobs.service.tokens import TokenFile

app = typer.Typer()
tokens = typer.Typer(
    no_args_is_help=True, help="Make, list and revoke tokens: who may use the service of this machine's user."
)
app.add_typer(tokens, name="tokens")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose it is; the service's log names it.")]


@app.command(epilog="Example: evolve serve examples/quickstart.yaml --set service.port=8400")
def serve(config: Config, output: Output = None, settings: Overrides = None, verbose: Verbose = False) -> None:
    """Serve a run's engines, its runs and the console over HTTP, until it is stopped by SIGINT or SIGTERM."""
    from ray_jobs.service.fast import make_fast, own_folder

    with own_folder() as folder:
        # before Serve is imported, which reads it then
        make_fast(folder)
        from ray_jobs.service.app import prepare, serve_until_stopped

        serve_until_stopped(prepare(config, settings or [], output), say, verbose)


@tokens.command(epilog="Example: evolve tokens add anna")
def add(name: Name) -> None:
    """Make a token and print it, once: only a digest of it is kept."""
    say(_file().add(name))


@tokens.command("list", epilog="Example: evolve tokens list")
def list_tokens() -> None:
    """Print the names of all tokens."""
    for name in sorted(_file().digests()):
        say(name)


@tokens.command(epilog="Example: evolve tokens revoke anna")
def revoke(name: Name) -> None:
    """Forget a token. A service that runs refuses it from its next request on."""
    _file().revoke(name)
    say(f"{name}: revoked")


def _file() -> TokenFile:
    from ray_jobs.service.tokens import TokenFile, token_file

    return TokenFile(token_file())
