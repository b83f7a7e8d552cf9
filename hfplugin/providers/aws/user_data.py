"""The user data of a machine: the template's script, with the variables that it exports."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from hfplugin.errors import ConfigurationError

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# EC2's limit for user data, before encoding.
_MOST_BYTES = 16 * 1024

# Where a script of LSF's resource connector wants the variables.
_PLACE = "%EXPORT_USER_DATA%"

_SHELL = re.compile(r"#!.*\b(ba|da|k|z)?sh\b")

_VARIABLE = r"\s*[A-Za-z_]\w*\s*=[^;\n]*"
_VARIABLES = re.compile(rf"{_VARIABLE}(;{_VARIABLE})*;?\s*", re.ASCII)


def is_inline(script: str) -> bool:
    """True for a userDataScript that is the script itself and not the path of one."""
    return "\n" in script or script.startswith(("#!", "#cloud-config", "<powershell>", "<script>"))


def variables(text: str) -> dict[str, str]:
    """Read `k=v;k=v`; empty for a text of another form."""
    if not _VARIABLES.fullmatch(text):
        return {}
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def fault(template: AWSTemplate) -> str:
    """Say why user data cannot be made of a template's keys, empty when it can."""
    if template.user_data and template.user_data_script and not variables(template.user_data):
        return "userData beside userDataScript has to be variables, `k=v;k=v`: take one of the two out"
    return ""


def compose(template: AWSTemplate) -> str:
    """Give the user data as text; ConfigurationError when its file cannot be read or is too large.

    Variables are exported where the script says `%EXPORT_USER_DATA%`, as LSF has it, else after its first line.
    Without a script, userData is the user data as it is written: machines read it from the metadata service.
    """
    script = template.user_data_script
    if not script:
        return _within_limit(template.user_data, "userData")
    text = script if is_inline(script) else _read(script)
    named = "userDataScript" if is_inline(script) else f"userDataScript {script}"
    given = variables(template.user_data)
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in given.items())
    if _PLACE in text:
        return _within_limit(text.replace(_PLACE, exports.rstrip("\n")), named)
    if not exports:
        return _within_limit(text, named)
    first, _, rest = text.partition("\n")
    if not _SHELL.match(first):
        raise ConfigurationError(
            f"{named} does not begin as a shell script, so userData cannot be exported in it: "
            f"put {_PLACE} where the variables belong, or take userData out"
        )
    return _within_limit(f"{first}\n{exports}{rest}", named)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"userDataScript {path} cannot be read: {reason}") from error


def _within_limit(text: str, named: str) -> str:
    if len(text.encode()) > _MOST_BYTES:
        raise ConfigurationError(f"{named} is larger than EC2's limit of {_MOST_BYTES} bytes")
    return text
