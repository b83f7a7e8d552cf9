"""Names as AWS makes them."""

from __future__ import annotations

import uuid


def new(prefix: str) -> str:
    """Give an id such as i-0123456789abcdef0: seventeen hexadecimal digits, the first a 0."""
    return f"{prefix}-0{uuid.uuid4().hex[:16]}"


def new_long(prefix: str) -> str:
    """Give an id of a fleet."""
    return f"{prefix}-{uuid.uuid4()}"


def new_spot_request() -> str:
    """Give an id such as sir-1a2b3c4d."""
    return f"sir-{uuid.uuid4().hex[:8]}"
