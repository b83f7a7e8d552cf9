"""The commands that change the state by an administrator's hand."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import click

from hfplugin.environment import Environment
from hfplugin.errors import HFPluginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.cli.upkeep import Upkeep

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")


def _work(command: str, work: Callable[[Upkeep], int]) -> None:
    """Open the state and work on it: faults go to standard error, exit status 1."""
    from hfplugin.cli.upkeep import Upkeep

    try:
        status = work(Upkeep(Environment(os.environ), command))
    except HFPluginError as error:
        click.echo(f"hfplugin: {error}", err=True)
        status = 1
    sys.exit(status)


@click.command(short_help="Show, or do, what the automatic sweep would.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it now.")
@as_json
def reconcile(is_applied: bool, as_json: bool) -> None:
    """Compare the records with all that the cloud has, and show what is to be done about the difference.

    Unfinished requests and returns, requests that HostFactory never asked about, what closed requests left,
    machines and fleets that no record accounts for. Every call of HostFactory's does the same by itself when it is
    due. Exit status: 0, or 1 when a region could not be looked at or something could not be done.
    """

    def show(upkeep: Upkeep) -> int:
        found = upkeep.inventory()
        failed = [f"{failure}: what it has is not known" for failure in found.failures]
        rows = []
        for task in upkeep.tasks(found):
            row = {"task": task.kind, "subject": task.subject, "seen": task.seen, "does": task.does}
            if is_applied:
                row["failed"] = upkeep.keeper.do(task)
                failed += [f"{task.subject}: {row['failed']}"] if row["failed"] else []
            rows.append(row)
        strangers = upkeep.strangers(found)
        if as_json:
            click.echo(json.dumps({"tasks": rows, "otherInstallations": strangers, "failures": failed}, indent=2))
        else:
            _print_tasks(rows, strangers, is_applied)
            for text in failed:
                click.echo(f"hfplugin: {text}", err=True)
        return 1 if failed else 0

    _work("reconcile", show)


def _print_tasks(rows: list[dict[str, str]], strangers: dict[str, int], is_applied: bool) -> None:
    for row in rows:
        verdict = ("not done" if row["failed"] else "done") if is_applied else "to do"
        click.echo(f"{verdict}: {row['task']} {row['subject']}: {row['seen']}: {row['does']}")
    if not rows:
        click.echo("nothing is to be done: the records and the cloud agree")
    for installation, count in strangers.items():
        click.echo(f"left alone: {count} machines of installation {installation or '(none)'}")


@click.command(short_help="Give back everything of a request.")
@click.option("--request", "request_id", required=True, metavar="ID", help="The request's id, req-...")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
def release(request_id: str, is_sure: bool) -> None:
    """Terminate every machine of a request and stop its fleets and groups.

    HostFactory hears that its machines failed, and through getReturnRequests that they are gone. What cannot be
    done at once is finished by later calls.
    """

    def give_back(upkeep: Upkeep) -> int:
        from hfplugin.cli.upkeep import described

        does = described(upkeep.request(request_id))
        if not is_sure and not click.confirm(f"{request_id}: {does}?", err=True):
            click.echo("nothing was done", err=True)
            return 1
        left = upkeep.release(request_id).live_machines
        click.echo(f"{request_id}: released" + (f"; {len(left)} still to be terminated" if left else ""))
        return 0

    _work("release", give_back)


@click.command(short_help="Refuse new requests, or let them in again.")
@click.argument("switch", type=click.Choice(["on", "off"]))
def drain(switch: str) -> None:
    """Refuse new requests with a message that says so; polls and returns go on."""

    def turn(upkeep: Upkeep) -> int:
        upkeep.drain(switch == "on")
        click.echo("new requests are refused" if switch == "on" else "new requests are taken")
        return 0

    _work("drain", turn)


@click.group()
def state() -> None:
    """The files under HF_WORKDIR that hold requests and returns."""


@state.command(short_help="Read every record and change nothing.")
@as_json
def verify(as_json: bool) -> None:
    """Read every record, live and archived. Exit status: 0 when all are good, 1 when any is not."""

    def show(upkeep: Upkeep) -> int:
        from hfplugin.cli.upkeep import verify as read_all

        verdict = read_all(upkeep.store)
        if as_json:
            click.echo(json.dumps(verdict.as_json(), indent=2))
        else:
            for kind, count in verdict.counts.items():
                click.echo(f"{kind}: {count} good")
            for fault in verdict.faults:
                click.echo(f"wrong: {fault}")
            if not verdict.counts and not verdict.faults:
                click.echo("there are no records")
        return 1 if verdict.faults else 0

    _work("state verify", show)


@state.command(short_help="Write lost records again from the cloud's tags.")
@click.option(
    "--installation", "installations", multiple=True, metavar="ID", help="Also requests of this installation."
)
def rebuild(installations: tuple[str, ...]) -> None:
    """Write a record for every request of this installation that the cloud has something of and the state has not.

    After the whole state was lost, the machines carry the lost installation's id: `hfplugin reconcile` names it.
    Nothing is launched or terminated by it. Exit status: 1 when a region could not be looked at.
    """

    def write(upkeep: Upkeep) -> int:
        found = upkeep.inventory()
        lost = upkeep.lost(found, installations)
        for request_id in lost:
            record = upkeep.rebuild(request_id, found)
            click.echo(f"{request_id}: {len(record.machines)} machines of template {record.template.id}")
        if not lost:
            click.echo("no record is lost")
        for failure in found.failures:
            click.echo(f"hfplugin: {failure}: what it has is not known", err=True)
        return 1 if found.failures else 0

    _work("state rebuild", write)


@state.command(short_help="Delete what is older than historyDays.")
def prune() -> None:
    """Delete archived records older than `historyDays`, and user data that no record uses. Calls do so a bit at a
    time."""

    def delete(upkeep: Upkeep) -> int:
        click.echo(f"{upkeep.prune()} archived records deleted")
        return 0

    _work("state prune", delete)
