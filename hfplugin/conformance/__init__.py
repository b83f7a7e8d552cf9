"""A suite that plays HostFactory against the five scripts of a provider of any make, and says what holds.

It knows HostFactory's side of the contract and nothing of any provider, hfplugin included. What scripts answer may
have any shape, so answers stay JSON documents here: judging their shape is the work.
"""

from typing import Any

Document = dict[str, Any]
