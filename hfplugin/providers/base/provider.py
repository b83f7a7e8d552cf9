"""What a cloud has to be able to do for hfplugin, and the values that pass between it and the broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from hfplugin.errors import ErrorKind
from hfplugin.model import (
    Launch,
    LaunchState,
    Machine,
    MachineState,
    Refusal,
    ReturnedMachine,
    Template,
    most_machines,
)
from hfplugin.model import Notice as Notice
from hfplugin.model import NoticeKind as NoticeKind
from hfplugin.providers.base.cache import Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.health import Health
    from hfplugin.providers.base.prices import CostModel


# What a launch was refused for and may be let through for later; for anything else every replay is refused, too.
_WORTH_REPEATING = (ErrorKind.THROTTLED, ErrorKind.TRANSIENT, ErrorKind.AUTH, ErrorKind.NOT_FOUND)


class Context(NamedTuple):
    """What a provider is told of the installation it works for.

    `cache` is for what can be found out again, `health` is what all processes know of bad days, `templates` gives
    all that are offered.
    """

    provider_name: str
    installation: str
    cache: Cache
    health: Health
    templates: Callable[[], Sequence[Template]] = tuple


class Order(NamedTuple):
    """What is to be launched next for a request: `units` capacity units, knowing what was tried before.

    `exhausted` are the attempts whose place refused for capacity or quota, gave nothing, or gave a machine that
    failed: their places are not asked again for this request.
    """

    request_id: str
    attempt: int
    template: Template
    units: int
    past: tuple[Launch, ...] = ()
    exhausted: frozenset[int] = frozenset()


class Plan(NamedTuple):
    """One launch, ready to be frozen into a record: everything that the cloud will be told.

    `units` is what this call asks for, at most what was ordered plus less than one machine's `weight`;
    `weights` are the units of machine types that are worth something else. `remains` and `passed_over`: see
    Launch.
    """

    api: str
    region: str
    account: str
    place: str
    params: dict[str, Any]
    units: int
    weight: int = 1
    user_data: str = ""
    weights: dict[str, int] = {}
    remains: tuple[str, ...] = ()
    passed_over: tuple[Refusal, ...] = ()

    @property
    def machines(self) -> int:
        """How many machines are asked for, at the most."""
        return most_machines(self.units, self.weight, self.weights)

    def frozen(self, attempt: int, token: str, now: float) -> Launch:
        """Give the launch as it is before it is sent, without its user data."""
        return Launch(
            attempt=attempt,
            token=token,
            api=self.api,
            region=self.region,
            account=self.account,
            place=self.place,
            params=self.params,
            units=self.units,
            planned_at=now,
            weight=self.weight,
            weights=self.weights,
            remains=self.remains,
            passed_over=self.passed_over,
        )


class Nowhere(NamedTuple):
    """Every place has refused or failed the request, or refused others lately: those were `passed_over`."""

    passed_over: tuple[Refusal, ...] = ()


class Sighting(NamedTuple):
    """What the cloud says of one machine now. Unknown texts are empty; times are epoch seconds.

    `source` is the fleet or group that it is of, in the provider's own words.
    """

    id: str
    state: MachineState
    region: str
    account: str = ""
    name: str = ""
    private_ip: str = ""
    public_ip: str = ""
    launch_time: int = 0
    machine_type: str = ""
    price_type: str = "ondemand"
    zone: str = ""
    reason: str = ""
    request_id: str = ""
    template_id: str = ""
    provider_name: str = ""
    installation: str = ""
    source: str = ""
    attempt: int = 0
    units: int = 1


class FoundSource(NamedTuple):
    """A fleet or group that carries our tags. `launch` is as much of the one that made it as the cloud tells:
    enough to gather, stop, release and remove it."""

    request_id: str
    installation: str
    launch: Launch


class Spare(NamedTuple):
    """What a launch left behind that carries no request's id: `name` is as in Launch.remains."""

    name: str
    region: str
    account: str
    installation: str
    made_at: float


class Inventory(NamedTuple):
    """What the cloud has under our tags. With `failures`, what is not in it may be there for all that."""

    machines: tuple[Sighting, ...] = ()
    sources: tuple[FoundSource, ...] = ()
    spares: tuple[Spare, ...] = ()
    failures: tuple[Refusal, ...] = ()


class Outcome(NamedTuple):
    """What came of sending a launch; `state` is never PLANNED.

    `look_only` goes with UNKNOWN: the cloud's answer says that sending it again will tell nothing more.
    """

    state: LaunchState
    sightings: tuple[Sighting, ...] = ()
    errors: tuple[Refusal, ...] = ()
    resource_id: str = ""
    account: str = ""
    look_only: bool = False

    @classmethod
    def failed(cls, launch: Launch, refusal: Refusal, is_first_answer: bool = True) -> Outcome:
        """Judge a failure: REFUSED only where nothing can have been launched, else UNKNOWN.

        That proves a definite answer to the very first try alone; whether it was one of several in this call, the
        provider has to say. Nor does it where the token was used before: say so by `is_first_answer`, too.
        """
        if is_first_answer and launch.state is LaunchState.PLANNED and refusal.kind is not ErrorKind.TRANSIENT:
            return cls(LaunchState.REFUSED, errors=(refusal,))
        return cls(LaunchState.UNKNOWN, errors=(refusal,), look_only=refusal.kind not in _WORTH_REPEATING)


class Observation(NamedTuple):
    """What the cloud says of the machines that were asked about.

    A machine in neither `seen` nor `missing` could not be observed: nothing is known, nothing may change.
    """

    seen: Mapping[str, Sighting] = {}
    missing: frozenset[str] = frozenset()
    failures: tuple[Refusal, ...] = ()


class Located(NamedTuple):
    """A machine by its address in the cloud: enough to observe or release it without its request."""

    id: str
    region: str
    account: str = ""


class Source(NamedTuple):
    """A fleet or group that replaces what it loses: its launch, and the units that need no place in it any more.

    `spent` counts, by price type, every machine of it that was ever given back, those about to be included: the
    target is the smaller of what it is now and `launch.units` less all of these, so lowering it twice is no harm.
    `held`, once the source was told to bring nothing more: the units that it keeps, by price type. The target is
    then the smaller of what it is now and these, because what it never brought needs no place either.
    """

    launch: Launch
    spent: Mapping[str, int]
    held: Mapping[str, int] | None = None


class Released(NamedTuple):
    """What came of a release, machine by machine; one in neither part was not answered: ask again."""

    going: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    refused: Mapping[str, Refusal] = {}


class Host(NamedTuple):
    """A host as HostFactory knows it: either text may be empty, not both."""

    name: str
    machine_id: str


class Found(NamedTuple):
    """What a search for one host in the whole cloud gave.

    `is_ours` is by tag. Nothing found and `is_complete`: it does not exist; not complete: nothing is known.
    """

    sighting: Sighting | None
    is_ours: bool
    is_complete: bool


class Reclaimed(NamedTuple):
    """What the cloud takes back. `receipts` stand for messages that are kept until what they say is durable.

    With `failures`, machines of which nothing is said may be taken back for all that.
    """

    notices: tuple[Notice, ...] = ()
    receipts: tuple[str, ...] = ()
    failures: tuple[Refusal, ...] = ()


class Check(NamedTuple):
    """One line of a self-check; `remedy` says what to do when it is not ok."""

    subject: str
    is_ok: bool
    detail: str
    remedy: str = ""


class Provider(Protocol):
    """One cloud, as one installation uses it.

    Every method may be repeated and may be called by several processes at once. Failures of the cloud come
    back in the value where a part of the answer can still be used; else as ProviderError.
    """

    def plan(self, order: Order) -> Plan | Nowhere:
        """Decide the next launch, reading the cloud at most.

        Raises ProviderError (a look-up failed), ConfigurationError (the template cannot be launched).
        """

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        """Send the launch exactly as frozen, under its token. Sending it again never launches more.

        One whose state is UNKNOWN was sent before: no refusal of it proves that nothing was launched.
        """

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        """Look, without launching, for what a launch of unknown outcome brought; ProviderError if unseen.

        ACCEPTED when a fleet or group of it is there; else UNKNOWN, with the machines that are.
        """

    def gather(self, launch: Launch) -> Outcome:
        """Give every machine that the source of an ACCEPTED launch holds, and SETTLED when no more will come.

        `errors` say why it brings less than it was asked for; it is then told to stop. It may be asked of a closed
        request's source too, and of one that is gone: SETTLED, with nothing.
        """

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        """Tell the source of a launch to bring nothing more than the units it holds, by price type.

        Its target never rises, also when this is repeated; one that is gone is no error. ProviderError when it
        could not be told.
        """

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        """Remove what a launch left behind, of which nothing lives any more; what is gone already is no error."""

    def observe(self, machines: Sequence[Located]) -> Observation:
        """Say what the machines are doing now."""

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        """Give machines back for good; one bad id never spoils the others.

        With a source, all are of it: it is told first, so that it replaces none of them. A machine said to be
        going is not asked for again: what ends it has to end without another call.
        """

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        """Say which of the machines, all that the records know, the cloud takes back or has taken.

        Never raises for the cloud's failures, takes a few seconds at most, and makes no call per machine. Words of
        machines that are not among them are left for others.
        """

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Let messages go whose word is durable now; what cannot be let go comes again.

        Never raises for the cloud's failures.
        """

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        """Search all configured regions for hosts that no record knows; one answer per host, in order.

        Raises ProviderError when no region could be searched.
        """

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        """Give every machine tagged with one of the requests' ids, ended ones included, and the sources of these.

        ProviderError unless every region answered.
        """

    def inventory(self) -> Inventory:
        """Give all that lives in any configured region under the provider's name, of whatever installation."""

    def discard(self, spares: Sequence[Spare]) -> None:
        """Remove what no launch uses any more; what is gone already is no error."""

    def check(self, templates: Sequence[Template]) -> list[Check]:
        """Try credentials and, without launching, every template."""


class SingleMachines:
    """The part of a provider without fleets and groups, which leaves nothing behind and takes no messages."""

    def gather(self, launch: Launch) -> Outcome:
        """No launch brings anything more."""
        return Outcome(LaunchState.SETTLED)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        """There is no source."""

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        """A launch leaves nothing behind."""

    def discard(self, spares: Sequence[Spare]) -> None:
        """There is nothing to spare."""

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """There are no messages."""


def located(machine: Machine | ReturnedMachine) -> Located:
    return Located(machine.id, machine.region, machine.account)


class ProviderSpec(NamedTuple):
    """All that hfplugin knows of a kind of provider before it makes one.

    `config_type` is what pydantic validates the provider's configuration section into, and `template_type`
    gives the pydantic model of its part of a template; both accept the camelCase keys of the files.
    `attributes` derives HostFactory's attributes of a template (template part, settings, refreshed machine
    types' file): all of `type`, `ncores`, `ncpus` and `nram` (MiB), each a list of two texts, as ["Numeric", "4"],
    of what a capacity unit has. `tags` gives the machine tags it asks for, `without_effect` a warning for each key
    of it that changes nothing, and `faults` what the cloud would refuse of it (template part, whether all or
    nothing). `convert` turns a configuration file in another product's form into ours and gives warnings;
    `template_form` does so for one template of the file in a directory (ValueError: what has no place in ours).
    `refresh` fetches the cloud's machine types into a file. `costs` makes the model of what machines cost.
    """

    provider_type: str
    config_type: type[Any]
    template_type: Callable[[], type[Any]]
    create: Callable[[Any, Context], Provider]
    attributes: Callable[[Any, Any, str], dict[str, list[str]]]
    tags: Callable[[Any], dict[str, str]]
    convert: Callable[[dict[str, Any]], tuple[dict[str, Any], list[str]]] | None = None
    refresh: Callable[[Any, Context, str], int] | None = None
    without_effect: Callable[[Any], list[str]] = lambda template: []
    template_form: Callable[[Mapping[str, Any], str], dict[str, Any]] = lambda item, directory: dict(item)
    faults: Callable[[Any, bool], list[str]] = lambda template, all_or_nothing: []
    costs: Callable[[Any, Context], CostModel] | None = None
