"""What HostFactory sends, in every form seen in the field, and what it reads: golden cases and any input at all.

A case is a folder of `tests/golden/wire` that begins with its verb. `UPDATE_GOLDEN=1` writes the answers anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from golden_case import cases, check
from hypothesis import given
from hypothesis import strategies as st
from player import HostFactory

from hfplugin.broker import Accepted, Lost, Unknown
from hfplugin.errors import ErrorKind, InputError, ProviderError, RefusedError
from hfplugin.hostfactory import verbs, wire
from hfplugin.logs import log
from hfplugin.model import (
    Launch,
    LaunchState,
    Machine,
    MachineState,
    Phase,
    Refusal,
    Request,
    RequestStatus,
    Result,
    Return,
    ReturnedMachine,
    Template,
)
from hfplugin.providers.base.provider import Host

REQUEST = "req-11111111-1111-4111-8111-11111111111"
RETURN = "ret-11111111-1111-4111-8111-11111111111"
TEMPLATE = Template("small", "aws", 10, {}, {}, tags={"team": "grid", "cost": "7"})
LAUNCHED_AT = 1_700_000_000


def machine(number: int, **changes: Any) -> Machine:
    """A machine that runs and is delivered, changed."""
    running = Machine(
        id=f"i-{number}",
        attempt=1,
        region="us-east-1",
        account="123456789012",
        state=MachineState.RUNNING,
        launch_time=LAUNCHED_AT,
        result=Result.SUCCEED,
        name=f"ip-10-0-0-{number}.ec2.internal",
        private_ip=f"10.0.0.{number}",
        machine_type="m5.large",
    )
    return running._replace(**changes)


def request(number: int, *machines: Machine, **changes: Any) -> Request:
    made = Request(f"{REQUEST}{number}", TEMPLATE, len(machines), 0.0, 600.0, 600, machines=machines)
    return made._replace(**changes)


def returned(number: int, **changes: Any) -> ReturnedMachine:
    known = ReturnedMachine(
        id=f"i-{number}",
        name=f"ip-10-0-0-{number}.ec2.internal",
        launch_time=LAUNCHED_AT,
        private_ip=f"10.0.0.{number}",
        machine_type="m5.large",
        tags=TEMPLATE.tags,
    )
    return known._replace(**changes)


UNNAMED = {"name": "", "private_ip": "", "machine_type": "", "state": MachineState.PENDING}
SPOT = {"price_type": "spot", "public_ip": "198.51.100.3"}
GONE = {"state": MachineState.TERMINATED, "result": Result.FAIL}
CAPACITY = Refusal(ErrorKind.CAPACITY, "InsufficientInstanceCapacity", "none left", "us-east-1/subnet-1/m5.large")
REFUSED = Launch(
    1, "t", "RunInstances", "us-east-1", "", "", {}, 2, 0.0, state=LaunchState.REFUSED, errors=(CAPACITY,)
)
CLOSED: dict[str, Any] = {"phase": Phase.CLOSED, "status": RequestStatus.COMPLETE}

RECORDS: dict[str, Request | Return] = {
    record.id: record
    for record in (
        request(1, machine(1), **CLOSED),
        request(2, machine(1), machine(2, **UNNAMED, result=Result.EXECUTING)),
        request(3, machine(1), machine(3, **SPOT), **CLOSED),
        request(
            4,
            machine(1),
            machine(2, **GONE, message="terminated without being returned: Server.SpotInstanceTermination"),
            machine(3, state=MachineState.STOPPING, result=Result.FAIL),
        ),
        request(
            5,
            units=2,
            phase=Phase.CLOSED,
            status=RequestStatus.COMPLETE_WITH_ERROR,
            launches=(REFUSED,),
        ),
        request(6, machine(1, result=Result.EXECUTING), blind_since=1.0),
        Return(
            f"{RETURN}1",
            0.0,
            (
                returned(1),
                returned(2, state=MachineState.SHUTTING_DOWN),
                returned(3, state=MachineState.TERMINATED),
                ReturnedMachine("", "ip-10-0-0-9.ec2.internal", is_found=False),
            ),
        ),
        Return(
            f"{RETURN}2",
            0.0,
            (returned(1).done(), ReturnedMachine("i-9", "").done("not known to the cloud: nothing to return")),
            RequestStatus.COMPLETE,
        ),
        Return(
            f"{RETURN}3",
            0.0,
            (returned(1, result=Result.FAIL, message="OperationNotPermitted: protected\nfor\tever " * 30),),
            RequestStatus.COMPLETE_WITH_ERROR,
        ),
    )
}


class ScriptedBroker:
    """Answers from the records above, and says how it understood what it was asked."""

    def request_machines(self, template_id: str, units: int) -> Accepted:
        if template_id == "full":
            raise RefusedError("template full: nothing is left of its maxNumber 1: return machines or raise it")
        return Accepted(f"{REQUEST}1", f"asked for {units!r} of {template_id!r}")

    def request_status(self, ids: Sequence[str]) -> list[Request | Return | Unknown]:
        unknown = RequestStatus.COMPLETE_WITH_ERROR, "unknown request id"
        return [RECORDS[id_] if id_ in RECORDS else Unknown(id_, *unknown) for id_ in ids]

    def return_machines(self, hosts: Sequence[Host]) -> Accepted:
        if not hosts:
            raise InputError("machines has to name at least one machine")
        return Accepted(f"{RETURN}1", "; ".join(f"{host.name!r} {host.machine_id!r}" for host in hosts))

    def return_requests(self, hosts: Sequence[Host]) -> list[Lost]:
        if any(host.name == "unseen" for host in hosts):
            raise ProviderError(ErrorKind.TRANSIENT, "ServiceUnavailable", "try later")
        return [
            Lost(host.name, host.machine_id or "i-1", 120)
            for host in hosts
            if host.name != "ip-10-0-0-9.ec2.internal"
        ]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Path], tuple[int, bytes]]]:
    """Call a verb in this process with the scripted broker; gives exit status and standard output."""
    monkeypatch.setattr(verbs, "open_broker", lambda *_, **__: ScriptedBroker())
    variables = HostFactory(tmp_path).environment

    def call(verb: str, file: Path) -> tuple[int, bytes]:
        real, (read, write) = os.dup(1), os.pipe()
        os.dup2(write, 1)
        os.close(write)
        try:
            status = verbs.run(verb, ["-f", str(file)], variables)
        finally:
            os.dup2(real, 1)
            os.close(real)
        with os.fdopen(read, "rb") as pipe:
            return status, pipe.read()

    yield call
    log.start("", "")


@pytest.mark.parametrize("case", cases("wire", {"input.json"}, "answer.json"), ids=lambda case: case.name)
def test_an_input_has_its_golden_answer(case: Path, play: Callable[[str, Path], tuple[int, bytes]]) -> None:
    status, answer = play(case.name.partition("-")[0], case / "input.json")
    assert answer.endswith(b"\n")
    document = json.loads(answer.decode("utf-8"))
    assert status == (1 if document.keys() == {"message"} else 0)
    check(case / "answer.json", document)


def test_every_verb_that_takes_input_has_golden_cases() -> None:
    covered = {case.name.partition("-")[0] for case in cases("wire", {"input.json"}, "answer.json")}
    assert covered == set(verbs.VERBS) - {"getAvailableTemplates"}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["template", "templateId", "machineCount", "requests", "requestId", "machines", "name", "machineId"]
)
NEARLY_RIGHT = st.recursive(
    ANY_JSON,
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=10,
)
CONTENT = st.binary() | NEARLY_RIGHT.map(lambda value: json.dumps(value).encode())


def read(content: bytes, reader: Callable[[dict[str, Any]], Any]) -> Any:
    """Give what a reader makes of an input, None when it is refused."""
    try:
        return reader(wire.parse(content))
    except InputError as error:
        assert str(error)
        return None


@given(CONTENT)
def test_any_input_gives_a_template_and_a_number_or_is_refused(content: bytes) -> None:
    match read(content, wire.demand):
        case None:
            pass
        case found:
            assert (type(found[0]), type(found[1])) == (str, int)


@given(CONTENT)
def test_any_input_gives_ids_or_is_refused(content: bytes) -> None:
    for found in read(content, wire.asked_ids) or []:
        assert isinstance(found, str)
        assert found.encode()


@given(CONTENT)
def test_any_input_gives_hosts_or_is_refused(content: bytes) -> None:
    for host in read(content, wire.hosts) or []:
        assert host.name or host.machine_id
        assert (host.name + host.machine_id).encode() != b""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "the input is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (b"{} {}", "the input is not JSON: Extra data: line 1 column 4"),
        (b"\xff\xfe{\x00}\x00", "the input is not UTF-8 (byte 0)"),
        (b"5", "the input has to be a JSON object, not a number"),
        (b'"text"', "the input has to be a JSON object, not a text"),
        (b"true", "the input has to be a JSON object, not true or false"),
        (b"[" * 100_000, "the input is not JSON that can be read: it is nested too deeply"),
        (b'{"requests": "\\ud800"}', "the input is not JSON: it has half a surrogate pair"),
        (b'{"template": NaN}', "the input is not JSON: NaN is not a number of JSON"),
    ],
)
def test_content_that_is_no_json_object_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        wire.parse(content)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\xef\xbb\xbf", b"{}", b"\xef\xbb\xbf {}\n"])
def test_an_empty_input_is_an_empty_object(content: bytes) -> None:
    assert wire.parse(content) == {}


def test_a_pair_of_surrogates_is_the_character_it_means() -> None:
    assert wire.asked_ids(wire.parse(b'{"requests": "\\ud83d\\ude00"}')) == ["\N{GRINNING FACE}"]
