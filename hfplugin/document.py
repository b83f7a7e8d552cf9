"""JSON objects that HostFactory or an administrator hands over: what they hold, or what is wrong with the text."""

from __future__ import annotations

import json
from typing import Any


def read(content: bytes) -> dict[str, Any]:
    """Give the object; a byte-order mark is accepted. ValueError's text goes on from what the document is called.

    Beside what is not JSON, NaN, Infinity and half surrogate pairs are refused: Python would take them, and no
    answer that repeats them would be JSON in UTF-8.
    """
    try:
        data = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
        if b"\\u" in content:
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from error
    except UnicodeEncodeError as error:
        raise ValueError("is not JSON: it has half a surrogate pair") from error
    except RecursionError as error:
        raise ValueError("is not JSON that can be read: it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"has to be a JSON object, not {kind(data)}")
    return data


def kind(value: Any) -> str:
    """Name the kind of a JSON value."""
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null", dict: "an object"}
    return kinds.get(type(value), "a number")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")
