"""Taking away what nothing in an output needs: leftovers of dead epochs, journal files of rows that are done.

It is what the next run would remove, for outputs that have none. An epoch is begun for it, as for every deletion
(docs/takeover.md), and nothing but files of our own forms, at their place, is ever taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from ray_jobs.errors import LeaseHeld, OutputError
from ray_jobs.jobs.fresh import Removal, output_places
from ray_jobs.output import accept, first_version, lease
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.epochs import begin
from ray_jobs.output.file_names import ENTRIES, epoch_of, when_written
from ray_jobs.output.ownership import is_ours
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.replies import done_files, remove_done
from ray_jobs.storage.store import Store


def unneeded(store: Store) -> list[Removal]:
    """What nothing needs in an output, and in the outputs of phases and analyses in it; none where there is nothing.

    Raises LeaseHeld where a run may be at work on one of them, OutputError where no run is, or one of the first
    version that nothing has taken over yet, and DamagedOutput.
    """
    places = [store.below(place) if place else store for place in output_places(path for path, _ in store.list())]
    planned = [place for place in places if accept.is_planned(place)]
    if not planned:
        raise OutputError(f"{store.url}: there is no run here (no plan)")
    return [removal for place in planned if (removal := _unneeded(place)).files]


def clean(removal: Removal) -> None:
    """Take away what is left over by now; more or less than `removal` says, where the output has changed since.

    Raises LeaseHeld where a run is at work, LeaseLost where one begins meanwhile.
    """
    store = removal.store
    holder = lease.acquire(store)
    try:
        epoch = begin(store, holder.lease)
        epoch.clean()
        if plan := epoch.accepted.plan:
            remove_done(store, plan.settled(epoch.accepted.manifest.done(plan.rows)), epoch.look)
        epoch.look()
        store.delete(path for path, _ in removal.files if when_written(path) != path)
        for folder in sorted({path.rpartition("/")[0] for path, _ in removal.files} - {""}, reverse=True):
            store.remove_folder(folder)
    finally:
        holder.release()


def _unneeded(store: Store) -> Removal:
    for series in (lease.EPOCHS, lease.FIRST_VERSION):
        holder = lease.current(store, series)
        if holder and holder.alive is not False:
            raise LeaseHeld(f"{store.url}: {holder} may be working on this output; stop it first")
    if first_version.is_begun(store):
        raise OutputError(f"{store.url}: was made by the first version; the next run here takes it over and cleans it")
    found, plan = accept.planned(store)
    return Removal(store, list(_leftovers(store, found, plan)))


def _leftovers(store: Store, found: Accepted, plan: PlanIndex) -> Iterator[tuple[str, int]]:
    kept = {part.path for entry in found.parts for part in entry.files} | {file.path for file in plan.files}
    journal = {file.path for file in done_files(store, plan.settled(found.manifest.done(plan.rows)))}
    # those of the last epoch count, until another has them in its seal
    counting = f"{ENTRIES}/{found.tag}/"
    for path, size in store.list():
        unfinished = when_written(path) != path and is_ours(path)
        leftover = epoch_of(path) is not None and path not in kept and not path.startswith(counting)
        if unfinished or leftover or path in journal:
            yield path, size
