"""The front: takes every HTTP call, lets the faults strike, and gives the call to whoever answers it.

EC2's and Auto Scaling's calls that the emulator has are its own; everything else is moto's.
"""

from __future__ import annotations

import io
import json
import math
import re
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Request, Response
from werkzeug.test import run_wsgi_app

from hfplugin.emulator import underneath
from hfplugin.emulator.control import Control
from hfplugin.emulator.errors import ServiceError, dry_run
from hfplugin.emulator.faults import Faults, Rule
from hfplugin.emulator.journal import Call, Journal
from hfplugin.emulator.operations import OPERATIONS, OWNED
from hfplugin.emulator.region import Region, World
from hfplugin.emulator.wire import Params, Reply, protocol

Environment = dict[str, Any]
StartResponse = Callable[..., Any]

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")

# What a dry run of these says depends on their parameters; they refuse it by themselves. Of the others it checks
# the permission, which everybody has here. Source: the parameter DryRun in EC2's API reference.
_CHECKED = ("RunInstances", "CreateFleet")

_GLANCE_SECONDS = 0.05


class _DroppedError(ConnectionError):
    """The connection was closed in the caller's face."""


class _Asked(NamedTuple):
    """An AWS call, as far as its outside tells."""

    access_key: str
    region: str
    service: str
    action: str
    form: dict[str, str]


class Front:
    """The WSGI application."""

    def __init__(self) -> None:
        self._world = World()
        self._faults = Faults()
        self._journal = Journal()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._control = Control(self._world, self._faults, self._journal)

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data(cache=True, parse_form_data=False)
        if request.path.startswith(Control.PATH):
            response = self._control.answer(request.path, body)
        else:
            response = self._served(request, environ, body)
        return response(environ, start_response)

    def _served(self, request: Request, environ: Environment, body: bytes) -> Response:
        asked = _read(request, body)
        if asked is None:
            return self._by_moto(environ, body)
        call = self._noted(asked)
        with self._world.lock:
            rule = self._faults.strike(asked.service, asked.region, asked.action)
        try:
            self._strike(rule, asked, call, environ)
            response = self._answered(asked, call, environ, body)
        except ServiceError as error:
            call.outcome = error.code
            response = _refusal(asked, error)
        if rule and rule.fault.kind in ("drop_after", "hang_after"):
            call.outcome = rule.fault.kind
            if rule.fault.kind == "hang_after":
                self._wait(rule)
            _hang_up(environ)
        return response

    def _noted(self, asked: _Asked) -> Call:
        with self._world.lock:
            at = self._world.clock.now
            call = Call(at, underneath.account_of(asked.access_key), asked.region, asked.service, asked.action)
            self._journal.note(call)
        return call

    def _strike(self, rule: Rule | None, asked: _Asked, call: Call, environ: Environment) -> None:
        """Let a fault do what it does before the call acts. Raises what the caller is to hear."""
        if rule is None:
            return
        self._parsed(asked, call)
        fault = rule.fault
        if fault.kind in ("throttle", "error"):
            raise fault.error(asked.service)
        if fault.kind == "delay":
            resets = self._world.resets
            self._wait(rule)
            if self._world.resets != resets:
                _hang_up(environ)  # what it was to act on is gone
        if fault.kind in ("drop_before", "refuse", "hang"):
            call.outcome = fault.kind
            if fault.kind == "hang":
                self._wait(rule)
            _hang_up(environ)

    def _wait(self, rule: Rule) -> None:
        """Wait until the fault is lifted or its time is over."""
        seconds = rule.fault.seconds
        end = math.inf if seconds is None else time.monotonic() + seconds
        while self._faults.stands(rule.number) and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _GLANCE_SECONDS))

    def _parsed(self, asked: _Asked, call: Call) -> Params:
        """Read a call's parameters, as far as its service is known, and note them."""
        if asked.service in OPERATIONS and asked.action in protocol(asked.service).actions:
            call.params = protocol(asked.service).read(asked.action, asked.form)
        else:
            call.params = dict(asked.form)
        return call.params

    def _answered(self, asked: _Asked, call: Call, environ: Environment, body: bytes) -> Response:
        params = self._parsed(asked, call)
        if asked.service not in OPERATIONS:
            return self._passed_on(call, environ, body)  # without the lock: a queue may keep its caller waiting
        with self._world.lock:
            self._world.clock.catch_up()
            region = self._region(asked, call, environ)
            if self._world.settings.invents:
                region.moto.invent(_texts(params))
            operation = OPERATIONS[asked.service].get(asked.action)
            if operation is None and asked.service in OWNED:
                text = f"The emulator does not have {asked.action} of {asked.service}."
                raise ServiceError("InvalidAction", text)
            if operation is None:
                return self._passed_on(call, environ, body)
            if params.get("DryRun") and asked.action not in _CHECKED:
                raise dry_run()
            reply: Reply = operation(region, params)
            call.has_acted = True
            speaks = protocol(asked.service)
            return Response(speaks.answer(asked.action, reply), mimetype=speaks.media_type)

    def _region(self, asked: _Asked, call: Call, environ: Environment) -> Region:
        """Give the region that is asked. No such region: no such host."""
        try:
            return self._world.region(call.account, asked.region)
        except KeyError:
            call.outcome = "refuse"
            _hang_up(environ)

    def _passed_on(self, call: Call, environ: Environment, body: bytes) -> Response:
        response = self._by_moto(environ, body)
        call.outcome = "ok" if response.status_code < 400 else str(response.status_code)
        call.has_acted = response.status_code < 400
        return response

    def _by_moto(self, environ: Environment, body: bytes) -> Response:
        inner = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        try:
            chunks, status, headers = run_wsgi_app(self._moto, inner, buffered=True)
        except NotImplementedError as error:
            raise ServiceError("InvalidAction", f"The emulator does not have this: {error}") from error
        except Exception as error:  # moto's handlers fail in every way
            raise ServiceError("InternalError", f"moto failed: {error!r}") from error
        return Response(b"".join(chunks), status=status, headers=headers)


def _read(request: Request, body: bytes) -> _Asked | None:
    """Tell who asks what; None when it is not a signed AWS call."""
    scope = _SCOPE.search(request.headers.get("Authorization", ""))
    if scope is None:
        return None
    access_key, region, service = scope.groups()
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return _Asked(access_key, region, service, target.rpartition(".")[2], _json(body))
    form = (
        {name: values[-1] for name, values in request.form.lists()}
        if request.mimetype.endswith("urlencoded")
        else {}
    )
    return _Asked(access_key, region, service, form.get("Action", ""), form)


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _texts(value: Any) -> list[str]:
    """Give every text of the parameters."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]


def _refusal(asked: _Asked, error: ServiceError) -> Response:
    speaks = protocol(asked.service)
    return Response(speaks.refusal(error), status=error.status, mimetype=speaks.media_type)


def _hang_up(environ: Environment) -> NoReturn:
    """End the connection without an answer."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)  # closing alone waits for the server's own files
    raise _DroppedError
