"""What an administrator does to the state: reconcile, release, drain, verify, rebuild, prune."""

from __future__ import annotations

import getpass
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hfplugin import codec, files
from hfplugin.clock import Clock
from hfplugin.environment import Environment
from hfplugin.errors import InputError, StateError
from hfplugin.hostfactory.verbs import open_store
from hfplugin.housekeeping import Housekeeping
from hfplugin.locks import Patience
from hfplugin.logs import log
from hfplugin.model import Request, Return
from hfplugin.providers.base.provider import Inventory
from hfplugin.recovery import Recovery
from hfplugin.site import ConfiguredSite
from hfplugin.store import REQUEST_PREFIX, RETURN_PREFIX, FileStore, is_id
from hfplugin.task import Task
from hfplugin.wording import counted

# A person waits for a busy record about as long as a call of HostFactory's holds one.
_WAIT_SECONDS = 10.0


def user() -> str:
    """Give who is at it; a user that has no name is given by its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class Upkeep:
    """One provider instance's state, as an administrator works on it; what is done is logged with who did it."""

    def __init__(self, environment: Environment, command: str) -> None:
        log.start(
            environment.log_file, environment.log_level or "INFO", verb=command, pid=os.getpid(), user=user()
        )
        self.store = open_store(environment)
        self._site = ConfiguredSite(environment, self.store, is_strict=False)
        self._clock = Clock()
        self.keeper = Housekeeping(self.store, self._site, self._clock, _WAIT_SECONDS)

    def inventory(self) -> Inventory:
        """Look at all that the cloud has. Raises ProviderError, ConfigurationError."""
        return self._site.provider.inventory()

    def tasks(self, found: Inventory) -> Iterator[Task]:
        """Give what the automatic sweep would do."""
        yield from self.keeper.unfinished()
        yield from self.keeper.astray(found)

    def strangers(self, found: Inventory) -> dict[str, int]:
        """Give how many machines run under the provider's name for other installations."""
        ours = self._site.context.installation
        return dict(Counter(each.installation for each in found.machines if each.installation != ours))

    def lost(self, found: Inventory, installations: Sequence[str]) -> list[str]:
        """Give the requests without a record of which the cloud has something, of ours and these installations."""
        wanted = {self._site.context.installation, *installations}
        ids = {each.request_id for each in found.machines if each.installation in wanted}
        ids |= {each.request_id for each in found.sources if each.installation in wanted}
        return [id_ for id_ in sorted(ids) if is_id(id_, REQUEST_PREFIX) and self.store.requests.load(id_) is None]

    def rebuild(self, request_id: str, found: Inventory) -> Request:
        """Write a request's record from what was found."""
        patience = Patience(self.store.locks, _WAIT_SECONDS)
        return Recovery(self.store, self._site, self._clock, patience).rebuild(request_id, found)

    def request(self, request_id: str) -> Request:
        """Give a request by its id; InputError when there is none."""
        request = self.store.requests.load(request_id) if is_id(request_id, REQUEST_PREFIX) else None
        if request is None:
            raise InputError(f"no record of request {request_id}; `hfplugin status` lists those that are open")
        return request

    def release(self, request_id: str) -> Request:
        """Give back all of a request."""
        return self.keeper.withdraw(request_id, f"given back by {user()}")

    def drain(self, is_on: bool) -> None:
        """Refuse new requests from now on, or no more."""
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.store.marks.set_drain(f"drained by {user()} since {since}" if is_on else "")
        log.warning("provider.drained" if is_on else "provider.undrained")

    def prune(self) -> int:
        """Delete what is older than the history is kept, and give how many records that were."""
        days = self._site.settings.requests.history_days
        deleted = 0
        while some := self.store.prune(days):
            deleted += some
        self.keeper.prune_texts()
        return deleted


class Verdict(NamedTuple):
    """What a look at the files of a state shows: how many records are good, and what is wrong with the rest."""

    counts: dict[str, int]
    faults: list[str]

    def as_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "faults": self.faults}


def verify(store: FileStore) -> Verdict:
    """Read every file of the state and change nothing."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for place, path in _files(store.root):
        name = os.path.basename(path)
        if ".json.damaged-" in name:
            faults.append(f"{path}: set aside as damaged: look at it, then delete it")
        elif name.endswith(".json") and name.startswith((REQUEST_PREFIX, RETURN_PREFIX)):
            try:
                record = _record(path)
            except (OSError, ValueError) as error:
                faults.append(f"{path}: {error}")
                continue
            counts[f"{place} {'requests' if isinstance(record, Request) else 'returns'}"] += 1
            faults += _missing_texts(store, record)
        elif not name.endswith((".tmp", ".claim")):
            faults.append(f"{path}: not a record: hfplugin leaves it alone")
    return Verdict(dict(sorted(counts.items())), faults)


def _files(root: str) -> Iterator[tuple[str, str]]:
    for kind in ("requests", "returns"):
        for name in sorted(files.names(os.path.join(root, kind))):
            yield "live", os.path.join(root, kind, name)
    archive = os.path.join(root, "archive")
    for day in sorted(files.names(archive)):
        for name in sorted(files.names(os.path.join(archive, day))):
            yield "archived", os.path.join(archive, day, name)


def _record(path: str) -> Request | Return:
    name = os.path.basename(path)
    with open(path, "rb") as file:
        content = file.read()
    is_request = name.startswith(REQUEST_PREFIX)
    record = codec.decode(Request, content) if is_request else codec.decode(Return, content)
    if f"{record.id}.json" != name:
        raise ValueError(f"it holds {record.id}")
    return record


def _missing_texts(store: FileStore, record: Request | Return) -> Iterator[str]:
    if isinstance(record, Return) or record.is_closed:
        return
    for digest in {launch.user_data for launch in record.launches if launch.user_data}:
        try:
            store.load_text(digest)
        except StateError as error:
            yield f"{record.id}: {error}: its launch cannot be repeated"


def described(request: Request) -> str:
    """Say what would be given back of a request."""
    machines = counted(len(request.live_machines), "machine")
    sources = [launch.resource_id for launch in request.launches if launch.is_source]
    also = f" and stop {', '.join(sources)}" if sources else ""
    return f"terminate {machines} of template {request.template.id}{also}"
