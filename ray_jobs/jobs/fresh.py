"""Beginning afresh: the output of an earlier run is taken away, once it is sure that nothing else is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ray_jobs.errors import LeaseHeld, OutputError
from ray_jobs.output import ownership
from ray_jobs.output.epochs import start_over
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.output.lease import FIRST_VERSION, current
from ray_jobs.output.ownership import MARK
from ray_jobs.output.usage import shown_bytes
from ray_jobs.pipeline.job import Job
from ray_jobs.seeds.files import find_files
from ray_jobs.seeds.read import SeedSource, read_seeds
from ray_jobs.storage.store import Store, open_store

Confirm = Callable[[str], None]
_LEASE = re.compile(r"(?P<place>(?:.*/)?)(?:lease/\d+\.json|epochs/\d+\.lease)")
_SHOWN = 5


@dataclass(frozen=True)
class Removal:
    """What is to be taken from an output: its files with their sizes in bytes, by path."""

    store: Store
    files: Sequence[tuple[str, int]]

    def __str__(self) -> str:
        """What it takes: counts and bytes by folder, and the first names."""
        counts, sizes = Counter[str](), Counter[str]()
        for path, size in self.files:
            folder = path.partition("/")[0] + "/" if "/" in path else "(beside them)"
            counts[folder] += 1
            sizes[folder] += size
        lines = [f"{counts[folder]:>12,} files {shown_bytes(sizes[folder]):>12}  {folder}" for folder in sorted(counts)]
        first = ", ".join(path for path, _ in self.files[:_SHOWN])
        more = ", …" if len(self.files) > _SHOWN else ""
        whole = f"{len(self.files):,} files, {shown_bytes(sizes.total())}"
        return "\n".join([f"{self.store.url}: to be removed: {whole}", *lines, f"  {first}{more}"])

    def carry_out(self) -> None:
        """Remove the files, none of which counts any more, for a run that is suspended either.

        What a kill leaves is still ours. Raises LeaseHeld where a run may be at work here or on an output in this one.
        """
        ownership.claim(self.store, "run")
        for place in output_places(path for path, _ in self.store.list()):
            start_over(self.store.below(place) if place else self.store)
        self.store.delete(path for path, _ in sorted(self.files, key=_order))
        folders = {path.rpartition("/")[0] for path, _ in self.files} - {""}
        above = {folder[: slash.start()] for folder in folders for slash in re.finditer("/", folder)}
        for folder in sorted(folders | above, reverse=True):
            self.store.remove_folder(folder)


def begin_afresh(job: Job, delete: bool, confirm: Confirm) -> None:
    """Make sure that the output of `job` holds nothing but our mark, removing what is there only with `delete`.

    Nothing is removed before the seeds can be read, and before `confirm` was told what would be; it raises where that
    must not be. Raises OutputError where anything in the output is not the run's or is a seed of it, where nobody can
    want the place emptied, and without `delete`; LeaseHeld where a run may be at work; SeedError.
    """
    read_seeds(job.seed_source())  # checks all files; reads no row before it is asked for one
    store = open_store(job.config.output, job.config.storage)
    if delete and [name for name in store.first_names(2) if name != MARK]:
        # what a look can tell, before a listing that may be long
        ownership.refuse_dangerous(store)
        ownership.check_place(store, "run")
    listed = store.list()
    kept = ownership.kept_for_good([path for path, _ in listed])
    files = [(path, size) for path, size in listed if path not in kept]
    strangers = ownership.foreign(path for path, _ in files)
    removal = Removal(store, [(path, size) for path, size in files if ownership.is_ours(path)])
    held = len(removal.files) + len(strangers)
    if held and not delete:
        raise OutputError(f"{store.url}: --fresh wants an empty output, this one holds {held:,} files; see --delete")
    if held:
        _check_removal(job, removal, strangers)
        confirm(str(removal))
        removal.carry_out()


def _check_removal(job: Job, removal: Removal, strangers: Sequence[str]) -> None:
    store = removal.store
    if strangers:
        raise OutputError(
            f"{store.url}: nothing is removed, for these files are not the run's: {ownership.named(strangers)}; "
            "move them away, or choose another output"
        )
    if seeds := _seeds_in(store, job.seed_source()):
        raise OutputError(f"{store.url}: nothing is removed, for the run's seeds are there: {ownership.named(seeds)}")
    _refuse_held(removal)


def _seeds_in(store: Store, source: SeedSource) -> list[str]:
    """The folders of seed files, or single files, that lie in the output."""
    files = find_files(source.paths, source.format, source.storage).files.values()
    folders = {(file.store, file.path.rpartition("/")[0]) for file in files}
    places = [place.below(folder) if folder else place for place, folder in folders]
    return sorted({place.url for place in places if ownership.overlap(place, store) in ("same", "inside")})


def _refuse_held(removal: Removal) -> None:
    """Raise LeaseHeld where a run may be at work on the output or on one that lies in it."""
    for place in output_places(path for path, _ in removal.store.list()):
        store = removal.store.below(place) if place else removal.store
        holder = current(store) or current(store, FIRST_VERSION)
        if holder and holder.alive is not False:
            raise LeaseHeld(f"{store.url}: {holder} may be working on this output; stop it first")


def output_places(paths: Iterable[str]) -> list[str]:
    """The folders of outputs in an output, by their leases; "" for the whole."""
    found = (_LEASE.fullmatch(path) for path in paths)
    return sorted({match["place"].rstrip("/") for match in found if match})


def _order(file: tuple[str, int]) -> tuple[bool, str]:
    """Marks of finished runs first, lest one stands over what is half gone."""
    path = file[0]
    return path.rsplit("/", 1)[-1] != SUCCESS, path
