"""Our launch templates: named after their content, one version each, removed when nothing needs them.

Fleets and groups can only be told through one what a machine is. Content decides the name, so that the same
machines share one, a replay means the same machines, and two calls that make it at once make it once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch
from hfplugin.providers.aws import machine, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.aws.images import Resolved
from hfplugin.providers.base.provider import Context

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# The version that is made with the template; there is no other.
VERSION = "1"

# Where a launch's parameters keep the launch templates beside the first one.
MORE = "MoreLaunchTemplates"

# What a record's `remains` has before a launch template's name.
_PREFIX = "launch-template/"

_EXISTS = "InvalidLaunchTemplateName.AlreadyExistsException"

# What a call is told that names one which is gone, or not shown yet. Auto Scaling has no code of its own for it.
GONE = (
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.NotFoundException",  # documented without "Exception", and seen with it
    "InvalidLaunchTemplateId.VersionNotFound",
)
_GONE_TEXT = re.compile(r"The specified launch template, with template (?:name|ID) \S+, does not exist")

# What is made may be shown to other calls seconds later. So many more tries, with 5.75 s of waiting, and up to
# a quarter of a second more each time; slow calls end it earlier. What takes longer is the next poll's.
# Source: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
_MORE_TRIES = 6
_FIRST_WAIT, _LONGEST_WAIT, _JITTER = 0.25, 2.0, 0.25
_PATIENCE_SECONDS = 8.0


def data(template: AWSTemplate, resolved: Resolved) -> dict[str, Any]:
    """Give a launch template's content, without user data: the administrator's own, and the template's over it."""
    answered = resolved.launch_template_data
    own = _as_asked(answered, _shape()) if answered else {}  # reading AWS's model takes longer than all else
    return {**own, **machine.settings(template, resolved)}


def _shape() -> Any:
    """Give botocore's own shape of what a launch template may be told."""
    from botocore.session import Session

    model = Session().get_service_model("ec2")
    return model.shape_for("RequestLaunchTemplateData")


def _as_asked(answered: Any, shape: Any) -> Any:
    """Turn what AWS answers into what it can be told: members that only answers have are left out."""
    if shape.type_name == "structure":
        return {
            key: _as_asked(value, shape.members[key]) for key, value in answered.items() if key in shape.members
        }
    if shape.type_name == "list":
        return [_as_asked(value, shape.member) for value in answered]
    return answered


def name(context: Context, content: dict[str, Any], user_data: str) -> str:
    """Name a content. AWS allows 128 letters, digits and ( ) . / _ -."""
    digest = hashlib.sha256(json.dumps([content, user_data], sort_keys=True).encode()).hexdigest()[:16]
    provider = re.sub(r"[^\w.-]", "-", context.provider_name, flags=re.ASCII)[:40]
    return f"hf-{provider}-{context.installation[:40]}-{digest}"


def reference(template_name: str) -> dict[str, str]:
    """Give what a fleet or group is told."""
    return {"LaunchTemplateName": template_name, "Version": VERSION}


def remains(template_name: str) -> str:
    return f"{_PREFIX}{template_name}"


def call_with(clients: Clients, context: Context, launch: Launch, user_data: str, call: Callable[[], Any]) -> Any:
    """Make the launch templates that a launch names, then the call that names them; give its answer.

    Both are done again when AWS does not find one: its last other user removed it in between, or it is not shown
    yet, which is waited for. Raises what botocore raises of the call, and HFPluginError when there was no call, or
    (NOT_FOUND) none that AWS found the launch templates for.
    """
    clients.require_account(launch.account)

    def attempt() -> Any:
        for wanted in (launch.params, *launch.params.get(MORE, ())):
            _ensure(clients, context, launch.region, wanted, user_data)
        try:
            return call()
        except AWS_ERRORS as error:
            refusal = translate(error)
            if _is_gone(refusal):
                raise ProviderError(ErrorKind.NOT_FOUND, refusal.code, refusal.message) from error
            raise

    try:
        return attempt()
    except ProviderError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
    return _repeated(attempt)


def _repeated(attempt: Callable[[], Any]) -> Any:
    """Attempt it at once, then after growing waits, while it is NOT_FOUND; raise what the last one raised."""
    import tenacity  # takes tens of milliseconds to import, and is hardly ever needed

    waiting = tenacity.wait_exponential(_FIRST_WAIT, _LONGEST_WAIT) + tenacity.wait_random(0, _JITTER)
    patience = tenacity.stop_after_attempt(_MORE_TRIES) | tenacity.stop_before_delay(_PATIENCE_SECONDS)
    is_not_found = tenacity.retry_if_exception(
        lambda error: isinstance(error, ProviderError) and error.kind is ErrorKind.NOT_FOUND
    )
    return tenacity.Retrying(stop=patience, wait=waiting, retry=is_not_found, reraise=True)(attempt)


def _is_gone(refusal: ProviderError) -> bool:
    return refusal.code in GONE or bool(_GONE_TEXT.search(refusal.message))


def _ensure(clients: Clients, context: Context, region: str, wanted: Mapping[str, Any], user_data: str) -> None:
    encoded = {"UserData": base64.b64encode(user_data.encode()).decode()} if user_data else {}
    labels = {tags.PROVIDER: context.provider_name, tags.INSTALLATION: context.installation}
    call: dict[str, Any] = {
        "LaunchTemplateName": wanted["LaunchTemplateName"],
        "LaunchTemplateData": {**wanted["LaunchTemplateData"], **encoded},
        "TagSpecifications": machine.specifications(labels, "launch-template"),
    }
    try:
        clients.ec2(region).create_launch_template(**call)
    except AWS_ERRORS as error:
        refusal = translate(error)
        if refusal.code != _EXISTS:
            raise refusal from error


def remove(clients: Clients, region: str, remains: Sequence[str]) -> None:
    """Delete those of the remains that are launch templates; one that is gone is no error."""
    for each in remains:
        if each.startswith(_PREFIX):
            try:
                clients.ec2(region).delete_launch_template(LaunchTemplateName=each.removeprefix(_PREFIX))
            except AWS_ERRORS as error:
                refusal = translate(error)
                if refusal.code not in GONE:
                    raise refusal from error
