"""The AWS part of a template: IBM's keys and ours, typed. No AWS call is made here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hfplugin.config import camel


def _words(value: Any) -> Any:
    """A list, or IBM's text with commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _tags(value: Any) -> Any:
    """An object, or IBM's `k=v;k=v`."""
    if not isinstance(value, str):
        return value
    tags = {}
    for pair in filter(None, (part.strip() for part in value.split(";"))):
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{pair!r} is not of the form key=value")
        tags[key.strip()] = text.strip()
    return tags


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Words = Annotated[list[str], BeforeValidator(_words)]
Tags = Annotated[dict[str, Annotated[str, BeforeValidator(_text)]], BeforeValidator(_tags)]
Weights = dict[str, Annotated[int, Field(ge=1)]]

Service = Literal["RunInstances", "EC2Fleet", "SpotFleet", "ASG"]

# AWS reserves the prefix; our own tags would be overwritten.
_RESERVED_TAG_PREFIXES = ("aws:", "hfplugin:")


# What is set by every section of a template: keys in camelCase, unknown ones refused.
_SECTION = ConfigDict(alias_generator=camel, extra="forbid", frozen=True)


class RegionOverride(BaseModel):
    """What a template says otherwise in one region: everything in it that is of a region."""

    model_config = _SECTION

    image_id: str = ""
    subnet_id: Words = []
    security_group_ids: Words = []
    key_name: str = ""
    kms_key_id: str = ""
    launch_template_id: str = ""
    launch_template_version: Annotated[str, BeforeValidator(_text)] = ""
    placement_group_name: str = ""


_FLEET_ONLY = (
    "vm_types_on_demand",
    "vm_types_priority",
    "max_spot_price",
    "spot_fleet_request_expiry",
    "request_validity",
    "allocation_strategy",
    "allocation_strategy_on_demand",
    "percent_on_demand",
    "on_demand_target_capacity_ratio",
    "pools_count",
)

_NO_EFFECT = {
    "interface_type": "only efa would have one",
    "priority": "HostFactory takes the templates in the order of the file",
    "ttl": "HostFactory decides when a machine is returned",
    "region_overrides": "this version launches in the home region only",
}


class AWSTemplate(BaseModel):
    """What a template says to AWS. Sizes are GiB, times minutes, prices US dollars an hour, as IBM has them."""

    model_config = _SECTION

    provider_api: Service | None = None
    fleet_type: Literal["instant", "request", "maintain"] | None = None
    price_type: Literal["ondemand", "spot", "heterogeneous"] = "ondemand"

    image_id: str = ""
    vm_type: Words = []
    vm_types: Weights = {}
    vm_types_on_demand: Weights = {}
    vm_types_priority: dict[str, float] = {}
    subnet_id: Words = []
    security_group_ids: Words = []
    key_name: str = ""
    instance_profile: str = ""
    instance_tags: Tags = {}
    user_data_script: str = ""
    launch_template_id: str = ""
    launch_template_version: Annotated[str, BeforeValidator(_text)] = ""

    root_device_name: str = ""
    root_device_volume_size: Annotated[int, Field(ge=1)] | None = None
    volume_type: str = ""
    iops: Annotated[int, Field(ge=1)] | None = None
    encrypted: bool = True
    kms_key_id: str = ""
    http_tokens: Literal["required", "optional"] = "required"
    placement_group_name: str = ""
    tenancy: Literal["default", "dedicated", "host", ""] = ""
    ebs_optimized: bool | None = None

    fleet_role: str = ""
    max_spot_price: Annotated[float, Field(gt=0)] | None = None
    spot_price: Annotated[float, Field(ge=0)] | None = None
    spot_fleet_request_expiry: Annotated[int, Field(ge=1)] = 30
    request_validity: str = ""
    allocation_strategy: str = ""
    allocation_strategy_on_demand: str = ""
    percent_on_demand: Annotated[int, Field(ge=0, le=100)] | None = None
    on_demand_target_capacity_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    pools_count: Annotated[int, Field(ge=1)] | None = None
    ec2_fleet_config: str = ""
    interface_type: str = ""
    efa_count: Annotated[int, Field(ge=0)] | None = None
    user_data: str = ""
    priority: float | None = None
    ttl: float | None = None
    region_overrides: dict[str, RegionOverride] = {}

    @model_validator(mode="after")
    def _is_launchable(self) -> AWSTemplate:
        if not (self.image_id or self.launch_template_id or self.ec2_fleet_config):
            raise ValueError("imageId is missing, and no launchTemplateId gives one")
        if not (self.machine_types or self.launch_template_id or self.ec2_fleet_config):
            raise ValueError("vmType is missing, and neither vmTypes nor launchTemplateId gives one")
        if self.launch_template_version and not self.launch_template_id:
            raise ValueError("launchTemplateVersion needs launchTemplateId")
        if self.iops and self.volume_type not in ("io1", "io2", "gp3"):
            raise ValueError("iops needs volumeType io1, io2 or gp3")
        for key in self.instance_tags:
            if key.startswith(_RESERVED_TAG_PREFIXES):
                raise ValueError(f"instanceTags: {key!r} begins with a reserved prefix: choose another key")
        return self

    @property
    def machine_types(self) -> dict[str, int]:
        """Each instance type with its weight, the capacity units one machine of it is worth.

        As IBM has it: where both are given, `vmType` is meant on demand and `vmTypes` otherwise.
        """
        single = dict.fromkeys(self.vm_type, 1)
        return (self.vm_types or single) if self.is_spot else (single or self.vm_types)

    @property
    def is_spot(self) -> bool:
        return self.price_type != "ondemand" or bool(self.spot_price)

    @property
    def not_launchable(self) -> str:
        """Why requests for the template are refused; empty when they are not."""
        if self.is_spot:
            kind = self.price_type if self.price_type != "ondemand" else "spot"
            return f"priceType {kind} needs a fleet, which this version cannot launch: use priceType ondemand"
        if self.provider_api not in (None, "RunInstances"):
            return f"providerApi {self.provider_api} is not available in this version: use RunInstances"
        if self.fleet_type or self.ec2_fleet_config or self.fleet_role:
            return "fleets are not available in this version: remove fleetType, fleetRole and ec2FleetConfig"
        if self.interface_type == "efa" or self.efa_count:
            return "EFA interfaces are not available in this version: remove interfaceType and efaCount"
        if self.user_data:
            return "userData is not available in this version: use userDataScript"
        return ""

    @property
    def without_effect(self) -> list[str]:
        """The keys that are set and change nothing about an on-demand launch, each with the reason."""
        if self.not_launchable:
            return []
        given = [name for name in _FLEET_ONLY if name in self.model_fields_set]
        warnings = [f"{camel(name)} has no effect on demand: it is for fleets" for name in given]
        for name, reason in _NO_EFFECT.items():
            if name in self.model_fields_set:
                warnings.append(f"{camel(name)} has no effect: {reason}")
        return warnings
