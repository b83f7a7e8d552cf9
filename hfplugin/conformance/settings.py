"""The file that says what the suite plays with: surroundings, templates, time limits, hooks into the world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from hfplugin.errors import ConfigurationError

Seconds = Annotated[float, Field(gt=0)]
HookName = Literal["interrupt", "terminate", "unreachable", "reachable", "machines"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Limits(_Section):
    """How long things may take, in seconds; real clouds need the defaults, emulated ones less."""

    # Within this a script has to answer; HostFactory kills it after 300 s as shipped, and calls all of them often.
    answer_seconds: Seconds = 60
    # From a request to its last answer.
    ready_seconds: Seconds = 900
    # From a return to its last answer.
    gone_seconds: Seconds = 900
    # From a machine's loss to its first mention by getReturnRequests.
    notice_seconds: Seconds = 300
    # Until what a killed request launched has been given back.
    unclaimed_seconds: Seconds = 1800
    # Between two polls; HostFactory's own are 30 s apart.
    poll_seconds: Seconds = 5


class Hooks(_Section):
    """Shell commands that make the world do something; a machine's id is their first argument, `$1`.

    `interrupt` has the cloud take a machine back as it does with a spot machine, `terminate` ends one outside of
    HostFactory, `unreachable` cuts the cloud off and `reachable` brings it back; `machines` prints the ids of the
    provider's own machines that run in the cloud: what a killed request launched is found by it, and returned.
    """

    interrupt: str = ""
    terminate: str = ""
    unreachable: str = ""
    reachable: str = ""
    machines: str = ""

    def command(self, name: HookName) -> str:
        command: str = getattr(self, name)
        return command


class Settings(_Section):
    """The whole file. Relative paths begin at its directory.

    Without `work_dir` and `log_dir` the suite makes directories of its own; `conf_dir` is copied into one unless
    `copies_conf_dir` is false. Of the caller's environment the scripts see only what `pass_environment` names.
    """

    provider_name: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]+$")]
    conf_dir: Path | None = None
    copies_conf_dir: bool = True
    work_dir: Path | None = None
    log_dir: Path | None = None
    environment: dict[str, str] = {}
    pass_environment: tuple[str, ...] = ()
    # Without one: the first template that is offered and may launch.
    template_ids: tuple[str, ...] = ()
    # What `interrupt` can interrupt; without one, the first of the others.
    interruptible_template_id: str = ""
    machine_count: Annotated[int, Field(ge=1)] = 2
    limits: Limits = Limits()
    hooks: Hooks = Hooks()


def load(path: Path) -> Settings:
    """Read the file; ConfigurationError says what is wrong with it."""
    try:
        settings = Settings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        _refuse(path, error)
    top = path.resolve().parent
    places = {name: getattr(settings, name) for name in ("conf_dir", "work_dir", "log_dir")}
    for name, place in places.items():
        if place is not None and not (top / place).is_dir():
            raise ConfigurationError(f"{path}: {to_camel(name)} {str(place)!r} is not a directory")
    return settings.model_copy(update={name: place and top / place for name, place in places.items()})


def _refuse(path: Path, error: ValidationError) -> NoReturn:
    faults = [f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors()]
    raise ConfigurationError(f"{path}: {'; '.join(faults)}") from error
