"""The AWS part of a template: IBM's keys and ours, typed. No AWS call is made here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hfplugin.config import camel
from hfplugin.providers.aws import purchase, rules
from hfplugin.providers.aws.spelling import (
    FleetType,
    OnDemandStrategy,
    PriceType,
    Service,
    SpotStrategy,
    Tags,
    Text,
    Validity,
    Weights,
    Words,
    minutes,
)

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
    launch_template_version: Text = ""
    placement_group_name: str = ""
    capacity_reservation_id: str = ""
    ec2_fleet_config: str = ""


class AWSTemplate(BaseModel):
    """What a template says to AWS. Sizes are GiB, times minutes, prices US dollars an hour, as IBM has them."""

    model_config = _SECTION

    provider_api: Service | None = None
    fleet_type: FleetType | None = None
    price_type: PriceType = "ondemand"

    image_id: str = ""
    vm_type: Words = []
    vm_types: Weights = {}
    vm_types_on_demand: Weights = {}
    vm_types_priority: dict[str, float] = {}
    instance_requirements: dict[str, Any] = {}
    subnet_id: Words = []
    security_group_ids: Words = []
    key_name: str = ""
    instance_profile: str = ""
    instance_tags: Tags = {}
    user_data_script: str = ""
    user_data: str = ""
    launch_template_id: str = ""
    launch_template_version: Text = ""

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
    on_demand_base_capacity: Annotated[int, Field(ge=0)] | None = None
    spot_fleet_request_expiry: Annotated[int, Field(ge=1)] = 30
    request_validity: Validity = ""
    allocation_strategy: SpotStrategy = ""
    allocation_strategy_on_demand: OnDemandStrategy = ""
    percent_on_demand: Annotated[int, Field(ge=0, le=100)] | None = None
    on_demand_target_capacity_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    pools_count: Annotated[int, Field(ge=1)] | None = None
    ec2_fleet_config: str = ""
    native_spec: dict[str, Any] = {}
    market_type: Literal["capacity-block", ""] = ""
    capacity_reservation_id: str = ""
    capacity_reservation_preference: Literal["open", "none", "capacity-reservations-only", ""] = ""
    interface_type: Literal["efa", "interface", ""] = ""
    efa_count: Annotated[int, Field(ge=0)] | None = None
    priority: float | None = None
    ttl: float | None = None
    region_overrides: dict[str, RegionOverride] = {}

    @model_validator(mode="after")
    def _is_launchable(self) -> AWSTemplate:
        if fault := rules.fault(self):
            raise ValueError(fault)
        for region in self.region_overrides:
            if fault := rules.fault(self.in_region(region)):
                raise ValueError(f"regionOverrides: {region}: {fault}")
        return self

    def in_region(self, region: str) -> AWSTemplate:
        """Give the template as it is meant in a region: what regionOverrides says there is laid over it.

        The service stays the same: it is the template's, not a place's.
        """
        override = self.region_overrides.get(region)
        if override is None:
            return self
        changed = {name: getattr(override, name) for name in override.model_fields_set}
        return self.model_copy(update={**changed, "provider_api": self.service})

    @property
    def machine_types(self) -> dict[str, int]:
        """Each instance type with its weight, the capacity units one machine of it is worth.

        As IBM has it: where both are given, `vmType` is meant on demand and `vmTypes` otherwise.
        """
        single = dict.fromkeys(self.vm_type, 1)
        return (self.vm_types or single) if self.is_spot else (single or self.vm_types)

    @property
    def on_demand_types(self) -> dict[str, int]:
        """The types, with their weights, of what is bought on demand: beside spot it may have types of its own."""
        return (self.vm_types_on_demand if self.is_spot else {}) or self.machine_types

    @property
    def is_one_type(self) -> bool:
        """True also when only the launch template says the type."""
        types = self.machine_types | self.vm_types_on_demand
        return len(types) <= 1 and not self.instance_requirements

    @property
    def is_spot(self) -> bool:
        return self.price_type != "ondemand" or bool(self.spot_price)

    @property
    def service(self) -> str:
        """Which of AWS's services launches: the one that is named, else the one that the keys are for."""
        if self.provider_api:
            return self.provider_api
        if self.market_type:
            return "RunInstances"
        if self.ec2_fleet_config:
            return "EC2Fleet"
        if self.fleet_role and self.is_spot:
            return "SpotFleet"
        if self.fleet_type or self.is_spot or self.instance_requirements:
            return "EC2Fleet"
        is_single = len(self.machine_types) <= 1 and len(self.subnet_id) <= 1
        return "RunInstances" if is_single else "EC2Fleet"

    @property
    def purchase(self) -> str:
        """ondemand, spot or heterogeneous; a spotPrice makes it spot, as LSF has it."""
        return "spot" if self.price_type == "ondemand" and self.spot_price else self.price_type

    @property
    def on_demand_share(self) -> float:
        """The part of the capacity that is bought on demand, between 0 and 1."""
        if self.percent_on_demand is not None:
            return self.percent_on_demand / 100
        return self.on_demand_target_capacity_ratio or 0.0

    @property
    def spot_price_limit(self) -> float | None:
        return self.max_spot_price or self.spot_price or None

    @property
    def spot_strategy(self) -> str:
        return self.allocation_strategy or purchase.DEFAULT_SPOT

    @property
    def on_demand_strategy(self) -> str:
        default = "prioritized" if self.vm_types_priority else purchase.DEFAULT_ON_DEMAND
        return self.allocation_strategy_on_demand or default

    @property
    def efa_interfaces(self) -> int:
        return (self.efa_count or 1) if self.interface_type == "efa" else self.efa_count or 0

    @property
    def validity_minutes(self) -> int:
        """How long a fleet that lives on may bring machines; LSF's key wins over Symphony's."""
        return minutes(self.request_validity) or self.spot_fleet_request_expiry

    @property
    def wants_reserved(self) -> bool:
        return bool(self.capacity_reservation_id) or self.capacity_reservation_preference not in ("", "none")

    @property
    def says_validity(self) -> bool:
        return bool(self.request_validity) or "spot_fleet_request_expiry" in self.model_fields_set

    @property
    def without_effect(self) -> list[str]:
        """The keys that are set and change nothing about a launch, each with the reason."""
        return list(rules.without_effect(self))
