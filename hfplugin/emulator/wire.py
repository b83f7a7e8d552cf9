"""AWS's protocols, served after botocore's own service models: the query protocols' XML, and JSON.

Reading is moto's. Writing is ours, because an answer of a thousand instances has to be quick: writers are
made once for each shape, and an element that was written before (`Written`) is put in as it is.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any
from xml.sax.saxutils import escape

from botocore.utils import parse_timestamp
from moto.core.parse import EC2QueryParser, QueryParser
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict

from hfplugin.emulator.errors import ServiceError

Params = dict[str, Any]
Reply = dict[str, Any]
Writer = Callable[[Any, list[str]], None]


class Written(str):
    """An element's content, as it stands in the answer."""

    __slots__ = ()


class QueryProtocol:
    """Forms in, XML out."""

    media_type = "text/xml;charset=UTF-8"

    def __init__(self, service: str) -> None:
        self._model = get_service_model(service)
        self._is_ec2 = self._model.metadata["protocol"] == "ec2"
        self._namespace = (
            f"http://ec2.amazonaws.com/doc/{self._model.api_version}/"
            if self._is_ec2
            else self._model.metadata["xmlNamespace"]
        )
        self._writers: dict[str, Writer] = {}
        self.actions = frozenset(self._model.operation_names)

    def read(self, action: str, form: dict[str, str]) -> Params:
        """Give a call's parameters; what the model lacks is left out."""
        parser = EC2QueryParser if self._is_ec2 else QueryParser
        request: Any = {"values": MultiDict(form)}
        try:
            return parser(self._model.operation_model(action), timestamp_parser=_read_time).parse(request)
        except ValueError as error:
            raise ServiceError("InvalidParameterValue", f"Invalid value for a parameter: {error}") from error

    def answer(self, action: str, reply: Reply) -> str:
        """Write an answer."""
        out = [f'<{action}Response xmlns="{self._namespace}">']
        shape = self._model.operation_model(action).output_shape
        tag = uuid.uuid4()
        if self._is_ec2:
            out.append(f"<requestId>{tag}</requestId>")
            self._write(shape, reply, out)
        else:
            out.append(f"<{action}Result>")
            self._write(shape, reply, out)
            out.append(f"</{action}Result><ResponseMetadata><RequestId>{tag}</RequestId></ResponseMetadata>")
        out.append(f"</{action}Response>")
        return "".join(out)

    def refusal(self, error: ServiceError) -> str:
        """Write an error."""
        code, text, tag = escape(error.code), escape(error.message), uuid.uuid4()
        if self._is_ec2:
            fault = f"<Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
            return f"<Response>{fault}<RequestID>{tag}</RequestID></Response>"
        side = "Sender" if error.status < 500 else "Receiver"
        fault = f"<Error><Type>{side}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
        return f'<ErrorResponse xmlns="{self._namespace}">{fault}<RequestId>{tag}</RequestId></ErrorResponse>'

    def element(self, shape_name: str, value: Any) -> Written:
        """Write the content of one element, to be put into answers as it is."""
        out: list[str] = []
        self._write(self._model.shape_for(shape_name), value, out)
        return Written("".join(out))

    def _write(self, shape: Any, value: Any, out: list[str]) -> None:
        if shape is not None:
            self._writer(shape)(value, out)

    def _writer(self, shape: Any) -> Writer:
        writer = self._writers.get(shape.name)
        if writer is None:
            make = {"structure": self._structure, "list": self._list, "map": self._map}.get(shape.type_name)
            writer = make(shape) if make else _SCALARS.get(shape.type_name, _text)
            self._writers[shape.name] = writer
        return writer

    def _structure(self, shape: Any) -> Writer:
        names = {name: _name(member, name) for name, member in shape.members.items()}
        members = shape.members

        def write(value: Reply, out: list[str]) -> None:
            if isinstance(value, Written):
                out.append(value)
                return
            for key, inner in value.items():
                if inner is not None:
                    name = names[key]  # an answer that AWS's model does not have is a mistake of ours
                    out.append(f"<{name}>")
                    self._writer(members[key])(inner, out)
                    out.append(f"</{name}>")

        return write

    def _list(self, shape: Any) -> Writer:
        name = _name(shape.member, "item" if self._is_ec2 else "member")

        def write(value: list[Any], out: list[str]) -> None:
            inner = self._writer(shape.member)
            for item in value:
                out.append(f"<{name}>")
                inner(item, out)
                out.append(f"</{name}>")

        return write

    def _map(self, shape: Any) -> Writer:
        def write(value: dict[str, Any], out: list[str]) -> None:
            for key, item in value.items():
                out.append(f"<entry><key>{escape(key)}</key><value>")
                self._writer(shape.value)(item, out)
                out.append("</value></entry>")

        return write


class JsonProtocol:
    """JSON in and out, which needs no model."""

    media_type = "application/x-amz-json-1.1"

    def __init__(self, service: str) -> None:
        self._service = service

    @cached_property
    def actions(self) -> frozenset[str]:
        return frozenset(get_service_model(self._service).operation_names)

    def read(self, action: str, form: dict[str, Any]) -> Params:
        return dict(form)

    def answer(self, action: str, reply: Reply) -> str:
        return json.dumps(reply)

    def refusal(self, error: ServiceError) -> str:
        return json.dumps({"__type": error.code, "message": error.message})


# The services that speak XML; the others speak JSON.
_QUERY = ("ec2", "autoscaling", "sts", "iam")


@cache
def query(service: str) -> QueryProtocol:
    """Give the protocol of a service that speaks XML."""
    return QueryProtocol(service)


@cache
def protocol(service: str) -> QueryProtocol | JsonProtocol:
    """Give the protocol of any service."""
    return query(service) if service in _QUERY else JsonProtocol(service)


def _name(shape: Any, default: str) -> str:
    name: str = shape.serialization.get("name", default)
    return name


def _read_time(value: str) -> datetime:
    return parse_timestamp(value).astimezone(UTC)


def _text(value: object, out: list[str]) -> None:
    out.append(escape(str(value)))


def _boolean(value: bool, out: list[str]) -> None:
    out.append("true" if value else "false")


def _time(value: datetime, out: list[str]) -> None:
    out.append(value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"))


def _blob(value: bytes, out: list[str]) -> None:
    out.append(base64.b64encode(value).decode())


_SCALARS: dict[str, Writer] = {"boolean": _boolean, "timestamp": _time, "blob": _blob}
