"""What the files of an administrator become, and what is said of them when they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden_case import cases, check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from player import HostFactory

from hfplugin.catalog import Catalog, Sources, machine_types_path
from hfplugin.compiler import compile_sources, own_form, read_settings
from hfplugin.config import Settings
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError
from hfplugin.templates import attributes

TEMPLATE = {"templateId": "small", "maxNumber": 5, "imageId": "ami-1", "vmType": "m5.xlarge"}
SIZED = {"type": "X86_64", "ncores": 1, "ncpus": 2, "nram": 4096}
# The file beside the templates that one of the golden ones names.
FLEET_FILE = {"LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateName": "compute"}}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
# A function's fixture serves every example of it: each one overwrites the files.
MANY_EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance with our form of configuration and one template."""
    player = HostFactory(tmp_path)
    player.configure({"providerType": "aws"})
    player.offer(TEMPLATE)
    return player


def sources(site: HostFactory, **variables: str) -> Sources:
    return Sources(Environment(site.environment | variables))


def compiled(site: HostFactory, **variables: str) -> dict[str, Any]:
    """Give everything that the files compile to."""
    made = compile_sources(sources(site, **variables))
    return {"answer": json.loads(made.answer), **json.loads(made.rest)}


def configured(site: HostFactory, config: dict[str, Any], **variables: str) -> Settings:
    site.configure(config)
    return Catalog(compile_sources(sources(site, **variables))).settings


def offered(site: HostFactory, **keys: Any) -> dict[str, Any]:
    """Give what HostFactory is told of the template under these keys; a key that is None is left out."""
    site.offer({key: value for key, value in (TEMPLATE | keys).items() if value is not None})
    [template] = compiled(site)["answer"]["templates"]
    assert isinstance(template, dict)
    return template


def extension(site: HostFactory, **keys: Any) -> dict[str, Any]:
    offered(site, **keys)
    part = compiled(site)["templates"][0]["extension"]
    assert isinstance(part, dict)
    return part


def fault(site: HostFactory, **variables: str) -> str:
    """Give what is said of files that are wrong: one line."""
    with pytest.raises(ConfigurationError) as caught:
        compile_sources(sources(site, **variables))
    message = str(caught.value)
    assert message.splitlines() == [message]
    return message


def config_fault(site: HostFactory, config: Any, **variables: str) -> str:
    """Give what is said of the configuration, after the name of its file."""
    path = site.conf / "awsinstprov_config.json"
    path.write_text(json.dumps(config))
    message = fault(site, **variables)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def template_fault(site: HostFactory, **keys: Any) -> str:
    """Give what is said of the template, after the names of its file and itself."""
    site.offer({key: value for key, value in (TEMPLATE | keys).items() if value is not None})
    start = f"{site.conf / 'awsinstprov_templates.json'}: template small: "
    message = fault(site)
    assert message.startswith(start)
    return message.removeprefix(start)


@pytest.mark.parametrize(
    "case", cases("compiled", {"config.json", "templates.json"}, "compiled.json"), ids=lambda case: case.name
)
def test_golden_files_compile_as_they_did(site: HostFactory, case: Path) -> None:
    for what in ("config", "templates"):
        (site.conf / f"awsinstprov_{what}.json").write_bytes((case / f"{what}.json").read_bytes())
    (site.conf / "ec2-fleet-config.json").write_text(json.dumps(FLEET_FILE))
    said = json.dumps(compiled(site)).replace(str(site.conf), "$CONF")
    check(case / "compiled.json", json.loads(said))


class TestAttributes:
    def test_those_left_out_are_derived_from_the_machine_type(self, site: HostFactory) -> None:
        assert offered(site)["attributes"] == {
            "type": ["String", "X86_64"],
            "ncores": ["Numeric", "1"],
            "ncpus": ["Numeric", "2"],
            "nram": ["Numeric", "16384"],
        }

    def test_threads_count_where_the_configuration_says_so(self, site: HostFactory) -> None:
        site.configure({"providerType": "aws", "aws": {"countThreads": True}})
        assert offered(site)["attributes"]["ncpus"] == ["Numeric", "4"]

    def test_an_arm_type_has_the_arm_machine_type(self, site: HostFactory) -> None:
        assert offered(site, vmType="m7g.large")["attributes"]["type"] == ["String", "AARCH64"]

    def test_the_smallest_unit_of_weighted_types_is_what_is_offered(self, site: HostFactory) -> None:
        found = offered(site, vmType=None, vmTypes={"m5.4xlarge": 3, "m5.8xlarge": 4})["attributes"]
        assert (found["ncpus"], found["nram"]) == (["Numeric", "2"], ["Numeric", "21845"])

    def test_the_smallest_of_several_types_is_what_is_offered(self, site: HostFactory) -> None:
        assert offered(site, vmType="m5.4xlarge,m5.xlarge")["attributes"]["ncpus"] == ["Numeric", "2"]

    @pytest.mark.parametrize("vm_type", ["m99.large", None])
    def test_none_is_derived_when_all_are_given(self, site: HostFactory, vm_type: str | None) -> None:
        template = "lt-1" if vm_type is None else None
        found = offered(site, vmType=vm_type, launchTemplateId=template, attributes=SIZED)["attributes"]
        assert found["ncpus"] == ["Numeric", "2"]

    def test_types_of_several_architectures_load_when_only_ncores_is_left_out(self, site: HostFactory) -> None:
        given = {"type": "X86_64", "ncpus": 2, "nram": 4096}
        found = offered(site, vmType=None, vmTypes={"t2.medium": 1, "a1.xlarge": 2}, attributes=given)
        assert found["attributes"]["ncores"] == ["Numeric", "1"]

    def test_ncpus_is_derived_so_that_the_product_with_a_given_ncores_is_true(self, site: HostFactory) -> None:
        found = offered(site, vmType="m5.4xlarge", attributes={"ncores": ["Numeric", "4"]})["attributes"]
        assert (found["ncores"], found["ncpus"]) == (["Numeric", "4"], ["Numeric", "2"])

    def test_more_ncores_than_the_machine_has_still_leave_one_of_ncpus(self, site: HostFactory) -> None:
        assert offered(site, attributes={"ncores": 64})["attributes"]["ncpus"] == ["Numeric", "1"]

    def test_lsfs_mem_is_nram(self, site: HostFactory) -> None:
        found = offered(site, attributes={"mem": ["Numeric", "15000"]})["attributes"]
        assert found["nram"] == found["mem"] == ["Numeric", "15000"]

    @pytest.mark.parametrize(
        ("written", "told"),
        [
            (["Numeric", "4"], ["Numeric", "4"]),
            (["Numeric", 4], ["Numeric", "4"]),
            (["Boolean", "1"], ["Boolean", "1"]),
            (["String", "4"], ["String", "4"]),
            (4, ["Numeric", "4"]),
            (0.5, ["Numeric", "0.5"]),
            ("4", ["Numeric", "4"]),
            ("-4.50", ["Numeric", "-4.50"]),
            ("four", ["String", "four"]),
            ("", ["String", ""]),
            ("inf", ["String", "inf"]),
            ("nan", ["String", "nan"]),
            ("1_000", ["String", "1_000"]),
            (True, ["String", "true"]),
        ],
        ids=str,
    )
    def test_a_value_is_told_as_written_in_hostfactorys_form(
        self, site: HostFactory, written: Any, told: list[str]
    ) -> None:
        assert offered(site, attributes=SIZED | {"rank": written})["attributes"]["rank"] == told

    @pytest.mark.parametrize(
        "wrong", [None, {}, [], ["4"], ["Numeric", "4", "5"], ["Numeric", None], ["4", "Numeric"], [4, 4]], ids=str
    )
    def test_a_value_of_no_such_form_is_a_fault(self, site: HostFactory, wrong: Any) -> None:
        said = template_fault(site, attributes={"ncpus": wrong})
        assert said == 'attributes.ncpus: has to be a value or a list like ["Numeric", "4"]'

    @pytest.mark.parametrize("key", ["ncores", "ncpus", "nram"])
    @pytest.mark.parametrize("wrong", ["four", 0, "-2", ["String", ""], "1_000", "inf"], ids=str)
    def test_an_amount_that_is_not_above_0_is_a_fault(self, site: HostFactory, key: str, wrong: Any) -> None:
        said = template_fault(site, attributes=SIZED | {key: wrong})
        assert said.startswith(f"attributes.{key}: has to be a number above 0 (is ")

    def test_a_type_that_is_not_known_is_named_with_the_nearest(self, site: HostFactory) -> None:
        said = template_fault(site, vmType="m5.lrge")
        assert said.startswith(
            "attributes: type, ncpus, nram cannot be derived: vmType: unknown instance type 'm5.lrge'"
        )
        assert "m5.large" in said

    def test_a_refreshed_table_is_looked_at_too(self, site: HostFactory) -> None:
        table = Path(machine_types_path(Environment(site.environment)))
        table.parent.mkdir(parents=True)
        rows = {"m99.large": [7, 14, 1024, "arm64"]}
        table.write_text(json.dumps({"schema": 1, "types": rows}))
        assert offered(site, vmType="m99.large")["attributes"]["ncpus"] == ["Numeric", "7"]

    @pytest.mark.parametrize("content", [None, "{"], ids=["a directory", "damaged"])
    def test_a_refreshed_table_that_cannot_be_read_is_a_fault(
        self, site: HostFactory, content: str | None
    ) -> None:
        table = Path(machine_types_path(Environment(site.environment)))
        table.mkdir(parents=True) if content is None else table.parent.mkdir(parents=True)
        if content is not None:
            table.write_text(content)
        assert template_fault(site).startswith("attributes: type, ncpus, nram cannot be derived: ")

    def test_what_nothing_can_derive_is_a_fault(self, site: HostFactory) -> None:
        said = template_fault(site, vmType=None, launchTemplateId="lt-1", attributes={"ncpus": 4})
        assert said == "attributes: type, nram missing, and no machine type to derive them from"

    @pytest.mark.parametrize(
        ("derived", "said"),
        [
            (
                {"ncpus": ["Numeric", "4"]},
                "attributes: type, nram missing: the provider derives ncpus only, and has to give type, ncores,"
                " ncpus and nram",
            ),
            (SIZED | {"nram": {}}, "attributes.nram: the provider derives {}, and not a value or a list like "),
            (
                SIZED | {"ncpus": "many"},
                "attributes.ncpus: the provider derives 'many', and not a value or a list",
            ),
        ],
        ids=["a part", "no attribute", "no number"],
    )
    def test_what_a_provider_derives_wrongly_is_a_fault_of_the_provider(
        self, derived: dict[str, Any], said: str
    ) -> None:
        _, [wrong] = attributes({}, lambda: derived)
        assert str(wrong).startswith(said)

    def test_what_a_provider_derives_may_be_a_plain_value(self) -> None:
        found, _ = attributes({}, lambda: SIZED)  # type: ignore[arg-type, return-value]
        assert found == {
            "type": ["String", "X86_64"],
            "ncores": ["Numeric", "1"],
            "ncpus": ["Numeric", "2"],
            "nram": ["Numeric", "4096"],
        }

    def test_sizing_comes_first_and_the_rest_as_written(self) -> None:
        found, faults = attributes({"zone": "a", "nram": 1, "ncpus": 2, "type": "X86_64"}, dict)
        assert ([*found], faults) == (["type", "ncores", "ncpus", "nram", "zone"], [])


class TestTemplates:
    @pytest.mark.parametrize("written", ["subnet-1, subnet-2", ["subnet-1", "subnet-2"], "subnet-1,subnet-2,"])
    def test_subnets_are_a_list_or_a_text_with_commas(self, site: HostFactory, written: Any) -> None:
        assert extension(site, subnetId=written)["subnetId"] == ["subnet-1", "subnet-2"]

    @pytest.mark.parametrize("written", ["a=1;b=x=y", " a = 1 ; b=x=y;", {"a": 1, "b": "x=y"}], ids=str)
    def test_tags_are_a_text_or_an_object(self, site: HostFactory, written: Any) -> None:
        assert extension(site, instanceTags=written)["instanceTags"] == {"a": "1", "b": "x=y"}

    def test_tags_are_told_beside_the_template(self, site: HostFactory) -> None:
        offered(site, instanceTags="team=grid")
        assert compiled(site)["templates"][0]["tags"] == {"team": "grid"}

    @pytest.mark.parametrize("written", ["team", "team=grid;oops", "=grid"])
    def test_a_tag_without_key_or_value_is_a_fault(self, site: HostFactory, written: str) -> None:
        assert "is not of the form key=value" in template_fault(site, instanceTags=written)

    @pytest.mark.parametrize("key", ["aws:cost", "hfplugin:request-id"])
    def test_a_reserved_tag_is_a_fault(self, site: HostFactory, key: str) -> None:
        assert f"instanceTags: {key!r} begins with a reserved prefix" in template_fault(
            site, instanceTags={key: "1"}
        )

    def test_vm_type_is_meant_on_demand_and_vm_types_otherwise_where_both_are_given(
        self, site: HostFactory
    ) -> None:
        both = {"vmType": "m5.xlarge", "vmTypes": {"m5.4xlarge": 1}}
        assert offered(site, **both)["attributes"]["ncpus"] == ["Numeric", "2"]
        assert offered(site, **both, priceType="spot")["attributes"]["ncpus"] == ["Numeric", "8"]

    @pytest.mark.parametrize("blank", ["", None])
    @pytest.mark.parametrize("key", ["iops", "maxSpotPrice", "keyName", "rootDeviceVolumeSize", "attributes"])
    def test_a_blank_value_counts_as_left_out(self, site: HostFactory, key: str, blank: str | None) -> None:
        site.offer(TEMPLATE | {key: blank})
        assert key not in compiled(site)["templates"][0]["extension"]

    def test_a_numeric_text_is_a_number(self, site: HostFactory) -> None:
        assert offered(site, maxNumber="1000")["maxNumber"] == 1000
        assert extension(site, rootDeviceVolumeSize="20")["rootDeviceVolumeSize"] == 20

    @pytest.mark.parametrize("number", [-1, 0, 10000])
    def test_max_number_is_told_as_written(self, site: HostFactory, number: int) -> None:
        assert offered(site, maxNumber=number)["maxNumber"] == number

    def test_templates_are_offered_in_the_files_order(self, site: HostFactory) -> None:
        names = ["b", "a", "c"]
        site.offer(*(TEMPLATE | {"templateId": name} for name in names))
        assert [template["templateId"] for template in compiled(site)["answer"]["templates"]] == names

    def test_a_spot_template_is_offered_like_any_other(self, site: HostFactory) -> None:
        assert offered(site, priceType="spot", fleetRole="role")["templateId"] == "small"

    def test_an_unknown_key_is_passed_on_with_one_warning(self, site: HostFactory) -> None:
        assert offered(site, forThePolicy={"a": [1, None]})["forThePolicy"] == {"a": [1, None]}
        [warning] = compiled(site)["warnings"]
        assert warning == "template small: unknown key 'forThePolicy' is passed on to HostFactory as it is"

    @pytest.mark.parametrize("key", ["availableNumber", "requestedMachines", "priceInfo", "rank"])
    def test_a_key_of_hostfactorys_own_is_passed_on_without_a_word(self, site: HostFactory, key: str) -> None:
        assert offered(site, **{key: 1})[key] == 1
        assert compiled(site)["warnings"] == []

    @pytest.mark.parametrize(
        ("slip", "meant"),
        [
            ("subnetsId", "subnetId"),
            ("imageid", "imageId"),
            ("vmtype", "vmType"),
            ("maxNumbr", "maxNumber"),
            ("keyNmae", "keyName"),
            ("allOrNothin", "allOrNothing"),
        ],
    )
    def test_a_key_within_two_letters_of_a_known_one_is_a_fault(
        self, site: HostFactory, slip: str, meant: str
    ) -> None:
        assert template_fault(site, **{slip: "x"}) == f"{slip}: unknown key; did you mean {meant!r}?"

    def test_a_key_three_letters_away_is_passed_on(self, site: HostFactory) -> None:
        assert offered(site, keyNameXyz="x")["keyNameXyz"] == "x"

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ({"maxNumber": None}, "maxNumber: is missing"),
            ({"maxNumber": "many"}, "maxNumber: Input should be a valid integer"),
            ({"maxNumber": -2}, "maxNumber: Input should be greater than or equal to -1 (is -2)"),
            ({"maxNumber": 1.5}, "maxNumber: Input should be a valid integer"),
            ({"imageId": None}, "imageId is missing, and no launchTemplateId gives one"),
            ({"imageId": 5}, "imageId: Input should be a valid string (is 5)"),
            ({"vmType": None}, "vmType is missing, and neither vmTypes nor launchTemplateId gives one"),
            ({"vmTypes": ["m5.large"]}, "vmTypes: has to be an object"),
            ({"vmTypes": {"m5.large": 0}}, "vmTypes.m5.large: Input should be greater than or equal to 1 (is 0)"),
            ({"subnetId": 5}, "subnetId: Input should be a valid list (is 5)"),
            ({"attributes": ["ncpus"]}, "attributes: has to be an object"),
            ({"priceType": "cheap"}, "priceType: Input should be 'ondemand', 'spot' or 'heterogeneous'"),
            ({"iops": 100}, "iops needs volumeType io1, io2 or gp3"),
            ({"launchTemplateVersion": 2}, "launchTemplateVersion needs launchTemplateId"),
            ({"allOrNothing": "perhaps"}, "allOrNothing: Input should be a valid boolean"),
            ({"deadlineSeconds": 0}, "deadlineSeconds: Input should be greater than or equal to 1 (is 0)"),
            (
                {"regionOverrides": {"us-east-2": {"imageIds": "ami-2"}}},
                "regionOverrides.us-east-2.imageIds: unknown key; did you mean 'imageId'?",
            ),
        ],
        ids=str,
    )
    def test_a_wrong_value_is_named_with_its_template_and_key(
        self, site: HostFactory, keys: dict[str, Any], said: str
    ) -> None:
        assert template_fault(site, **keys).startswith(said)

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ({"machineTypes": {"s": {"ncpu": 1}}}, "machineTypes.s.ncpu: unknown key; did you mean 'ncpus'?"),
            (
                {"machineTypes": {"s": {"color": 1}}},
                "machineTypes.s.color: unknown key; known: ncpus, nram, weight",
            ),
            ({"machineTypes": {}}, "machineTypes: needs 1 or more, has 0"),
        ],
        ids=str,
    )
    def test_a_key_inside_an_object_is_held_against_that_objects_keys(
        self, site: HostFactory, keys: dict[str, Any], said: str
    ) -> None:
        site.configure({"providerType": "simulated"})
        site.offer({"templateId": "small", "maxNumber": 5} | keys)
        assert f"template small: {said}" in fault(site)

    def test_a_key_of_a_region_is_held_against_what_regions_may_have(self, site: HostFactory) -> None:
        said = template_fault(site, regionOverrides={"us-east-2": {"vmType": "m5.large"}})
        assert said.startswith("regionOverrides.us-east-2.vmType: unknown key; known: imageId, subnetId, ")
        assert "maxNumber" not in said

    def test_a_template_without_id_is_named_by_its_place(self, site: HostFactory) -> None:
        site.offer(TEMPLATE, {key: value for key, value in TEMPLATE.items() if key != "templateId"})
        assert fault(site).endswith("template number 2 (no templateId): templateId: is missing")

    @pytest.mark.parametrize("name", ["a b", "ümlaut", "x" * 65, "a\n", "a/b"])
    def test_an_id_that_hostfactory_does_not_allow_is_a_fault(self, site: HostFactory, name: str) -> None:
        site.offer(TEMPLATE | {"templateId": name})
        assert "templateId: String should match pattern" in fault(site)

    def test_an_id_that_appears_twice_is_a_fault_also_beside_others(self, site: HostFactory) -> None:
        site.offer(TEMPLATE, TEMPLATE | {"maxNumber": "x"}, TEMPLATE | {"templateId": "other"})
        message = fault(site)
        assert message.count("templateId appears twice") == 1
        assert "template small: templateId appears twice" in message

    @pytest.mark.parametrize("item", [None, 5, "small", ["small"]], ids=str)
    def test_a_template_that_is_no_object_is_a_fault(self, site: HostFactory, item: Any) -> None:
        (site.conf / "awsinstprov_templates.json").write_text(json.dumps({"templates": [TEMPLATE, item]}))
        assert "templates[1]: has to be an object, not " in fault(site)

    @pytest.mark.parametrize("content", [{}, {"templates": []}, {"templates": {}}, {"templates": None}], ids=str)
    def test_a_file_without_templates_is_a_fault_and_never_an_empty_list(
        self, site: HostFactory, content: dict[str, Any]
    ) -> None:
        (site.conf / "awsinstprov_templates.json").write_text(json.dumps(content))
        assert fault(site).endswith("`templates` has to be a list with one template or more")

    def test_many_faults_are_counted_beyond_the_fifth(self, site: HostFactory) -> None:
        site.offer(*(TEMPLATE | {"templateId": f"t{number}", "maxNumber": "x"} for number in range(7)))
        message = fault(site)
        assert message.count("maxNumber") == 5
        assert message.endswith("; and 2 more")

    def test_a_long_wrong_value_is_shown_in_part(self, site: HostFactory) -> None:
        assert len(template_fault(site, maxNumber="x" * 1000)) < 200


class TestFiles:
    @pytest.mark.parametrize("what", ["config", "templates"])
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
            (b'{\n"a": 1,\n}', "is not JSON: Expecting property name enclosed in double quotes: line 3 column 1"),
            (b'{"a": "\xff"}', "is not UTF-8 (byte 7)"),
            (b"[]", "has to be a JSON object, not a list"),
            (b"null", "has to be a JSON object, not null"),
            (b'{"a": NaN}', "is not JSON: NaN is not a number of JSON"),
            (b'{"a": -Infinity}', "is not JSON: -Infinity is not a number of JSON"),
            (b'{"a": "\\ud800"}', "is not JSON: it has half a surrogate pair"),
            (b'{"a":' * 100_000, "is not JSON that can be read: it is nested too deeply"),
        ],
        ids=["empty", "syntax", "latin-1", "list", "null", "NaN", "Infinity", "surrogate", "deep"],
    )
    def test_content_that_is_no_json_object_is_named_with_its_place(
        self, site: HostFactory, what: str, content: bytes, said: str
    ) -> None:
        path = site.conf / f"awsinstprov_{what}.json"
        path.write_bytes(content)
        assert fault(site).startswith(f"{path} {said}")

    @pytest.mark.parametrize("what", ["config", "templates"])
    def test_a_byte_order_mark_is_accepted(self, site: HostFactory, what: str) -> None:
        path = site.conf / f"awsinstprov_{what}.json"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert compiled(site)["answer"]["templates"]

    @MANY_EXAMPLES
    @given(content=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
    def test_any_configuration_either_compiles_or_is_refused_in_one_line(
        self, site: HostFactory, content: bytes
    ) -> None:
        (site.conf / "awsinstprov_config.json").write_bytes(content)
        self.either_compiles_or_is_refused_in_one_line(site)

    @MANY_EXAMPLES
    @given(keys=st.dictionaries(st.sampled_from([*TEMPLATE, "attributes", "instanceTags", "vmTypes"]), JSON))
    def test_any_template_either_compiles_or_is_refused_in_one_line(
        self, site: HostFactory, keys: dict[str, Any]
    ) -> None:
        site.offer(TEMPLATE | keys)
        self.either_compiles_or_is_refused_in_one_line(site)

    @staticmethod
    def either_compiles_or_is_refused_in_one_line(site: HostFactory) -> None:
        try:
            made = compile_sources(sources(site))
        except ConfigurationError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert json.loads(made.answer)["templates"]


class TestSettings:
    def test_what_the_file_leaves_out_has_its_default(self, site: HostFactory) -> None:
        found = configured(site, {"providerType": "aws"})
        assert (found.provider.region, found.provider.read_timeout_seconds) == ("", 60.0)
        assert (found.requests.deadline_seconds, found.logging.level, found.installation) == (600, "INFO", "")

    @pytest.mark.parametrize("blank", ["", None])
    def test_a_blank_value_has_its_default(self, site: HostFactory, blank: str | None) -> None:
        given = {"providerType": "aws", "aws": {"proxyPort": blank, "countThreads": blank}, "requests": None}
        found = configured(site, given)
        assert (found.provider.proxy_port, found.provider.count_threads) == (None, False)

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"aws": {"regoin": "x"}}, "aws.regoin: unknown key; did you mean 'region'?"),
            ({"aws": {"somethingElse": "x"}}, "aws.somethingElse: unknown key; known: region, endpointUrl, "),
            ({"request": {}}, "request: unknown key; did you mean 'requests'?"),
            ({"aws": []}, "aws: has to be an object"),
            ({"aws": "x"}, "aws: has to be an object (is 'x')"),
            ({"aws": {"region": 5}}, "aws.region: Input should be a valid string (is 5)"),
            ({"aws": {"proxyPort": 70000}}, "aws.proxyPort: Input should be less than or equal to 65535"),
            ({"aws": {"fallbackRegions": "us-east-2"}}, "aws.fallbackRegions: Input should be a valid tuple"),
            ({"requests": {"historyDays": 0}}, "requests.historyDays: Input should be greater than or equal to 1"),
            ({"logging": {"level": "loud"}}, "logging.level: Input should be 'DEBUG', 'INFO', 'WARNING'"),
            ({"installation": 5}, "installation: Input should be a valid string (is 5)"),
            ({"a\nb": 1}, "a b: unknown key; "),
        ],
        ids=str,
    )
    def test_a_wrong_key_or_value_is_named_with_its_path(
        self, site: HostFactory, config: dict[str, Any], said: str
    ) -> None:
        assert config_fault(site, {"providerType": "aws"} | config).startswith(said)

    def test_an_unknown_provider_type_is_named_with_the_known_ones(self, site: HostFactory) -> None:
        assert config_fault(site, {"providerType": "awz"}).startswith("unknown providerType 'awz'; known: aws")

    @pytest.mark.parametrize(
        ("config", "meant"),
        [
            ({"aws": {"region": "x"}}, '"aws"'),
            ({"requests": {}}, '"aws"'),
            ({"providertype": "aws"}, '"aws"'),
            ({"simulated": {"seed": 3}}, '"simulated"'),
            ({"simulated": {}, "aws": {}}, '"simulated" or "aws"'),
        ],
        ids=str,
    )
    def test_our_form_without_provider_type_is_not_taken_for_an_empty_one_of_ibms(
        self, site: HostFactory, config: dict[str, Any], meant: str
    ) -> None:
        assert config_fault(site, config) == f'providerType is missing: add "providerType": {meant}'


class TestOverrides:
    @pytest.mark.parametrize(
        ("variable", "text", "path", "value"),
        [
            ("HFPLUGIN_AWS__REGION", "us-west-1", "provider.region", "us-west-1"),
            ("HFPLUGIN_AWS__ENDPOINT_URL", "http://x", "provider.endpoint_url", "http://x"),
            ("HFPLUGIN_aws__endpointUrl", "http://x", "provider.endpoint_url", "http://x"),
            ("HFPLUGIN_AWS__PROXY_PORT", "8080", "provider.proxy_port", 8080),
            ("HFPLUGIN_AWS__COUNT_THREADS", "true", "provider.count_threads", True),
            ("HFPLUGIN_AWS__FALLBACK_REGIONS", "a, b,", "provider.fallback_regions", ["a", "b"]),
            ("HFPLUGIN_AWS__FALLBACK_REGIONS", "", "provider.fallback_regions", []),
            ("HFPLUGIN_REQUESTS__DEADLINE_SECONDS", "7", "requests.deadline_seconds", 7),
            ("HFPLUGIN_REQUESTS__DEADLINE_SECONDS", "", "requests.deadline_seconds", 600),
            ("HFPLUGIN_LOGGING__LEVEL", "ERROR", "logging.level", "ERROR"),
            ("HFPLUGIN_INSTALLATION", "green", "installation", "green"),
        ],
    )
    def test_a_variable_overrides_the_file(
        self, site: HostFactory, variable: str, text: str, path: str, value: object
    ) -> None:
        found: Any = configured(site, {"providerType": "aws", "aws": {"region": "us-east-1"}}, **{variable: text})
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value

    def test_a_variable_overrides_ibms_form_too(self, site: HostFactory) -> None:
        found = configured(site, {"AWS_REGION": "us-east-1"}, HFPLUGIN_AWS__REGION="us-west-1")
        assert found.provider.region == "us-west-1"

    @pytest.mark.parametrize(
        ("variable", "text", "said"),
        [
            ("HFPLUGIN_AWS__REGOIN", "x", "unknown key; did you mean 'region'?"),
            ("HFPLUGIN_REQUESTS__DEADLINE", "5", "unknown key; did you mean 'deadlineSeconds'?"),
            ("HFPLUGIN_AWS", "x", "unknown key; known: region, "),
            ("HFPLUGIN_AWS__", "x", "unknown key; known: region, "),
            ("HFPLUGIN_AWS__PROXY_PORT", "many", "Input should be a valid integer"),
            ("HFPLUGIN_LOGGING__LEVEL", "loud", "Input should be 'DEBUG'"),
        ],
    )
    def test_a_wrong_variable_is_named_and_not_the_file(
        self, site: HostFactory, variable: str, text: str, said: str
    ) -> None:
        assert fault(site, **{variable: text}).startswith(f"environment: {variable}: {said}")

    @pytest.mark.parametrize("variable", ["HFPLUGIN_AWZ__REGION", "HFPLUGIN_REGION", "HFPLUGIN_INSTALLATION__X"])
    def test_a_variable_for_no_section_has_no_effect_but_a_warning(self, site: HostFactory, variable: str) -> None:
        [warning] = compiled(site, **{variable: "x"})["warnings"]
        assert warning == f"environment variable {variable} has no effect: no such setting"

    def test_hfplugin_python_is_the_scripts_own(self, site: HostFactory) -> None:
        assert compiled(site, HFPLUGIN_PYTHON="/usr/bin/python3")["warnings"] == []

    def test_a_variable_does_not_hide_that_the_file_is_wrong(self, site: HostFactory) -> None:
        said = config_fault(site, {"providerType": "aws", "aws": []}, HFPLUGIN_AWS__REGION="x")
        assert said == "aws: has to be an object"


class TestIBMsForm:
    @pytest.mark.parametrize(
        ("key", "value", "path", "becomes"),
        [
            ("AWS_CONNECTION_TIMEOUT_MS", "10000", "provider.connect_timeout_seconds", 10.0),
            ("AWS_CONNECTION_TIMEOUT_MS", 1, "provider.connect_timeout_seconds", 0.1),
            ("AWS_INSTANCE_PENDING_TIMEOUT_SEC", "180", "requests.pending_timeout_seconds", 180),
            ("INSTANCE_CREATION_TIMEOUT", 10, "requests.pending_timeout_seconds", 600),
            ("AWS_PROXY_PORT", "3128", "provider.proxy_port", 3128),
            ("AWS_PROXY_PORT", "", "provider.proxy_port", None),
            ("LogLevel", "warn", "logging.level", "WARNING"),
            ("LogLevel", "LOG_TRACE", "logging.level", "DEBUG"),
        ],
    )
    def test_a_key_of_ibms_becomes_ours(
        self, site: HostFactory, key: str, value: object, path: str, becomes: object
    ) -> None:
        found: Any = configured(site, {key: value})
        for name in path.split("."):
            found = getattr(found, name)
        assert found == becomes

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("AWS_REGION", 5, "AWS_REGION: has to be a text (is 5)"),
            ("AWS_PROXY_PORT", "many", "AWS_PROXY_PORT: has to be a number, 0 or more (is 'many')"),
            ("AWS_PROXY_PORT", True, "AWS_PROXY_PORT: has to be a number, 0 or more (is True)"),
            ("AWS_PROXY_PORT", 10**400, "AWS_PROXY_PORT: has to be a number, 0 or more (is 1"),
            ("INSTANCE_CREATION_TIMEOUT", "-1", "INSTANCE_CREATION_TIMEOUT: has to be a number, 0 or more"),
            ("LogLevel", "loud", "LogLevel: has to be one of TRACE, DEBUG, "),
            ("AWS_CREDENTIAL_SCRIPT", "/x", "AWS_CREDENTIAL_SCRIPT is not supported: use AWS_CREDENTIAL_FILE"),
        ],
        ids=str,
    )
    def test_a_wrong_value_is_named_by_ibms_key(
        self, site: HostFactory, key: str, value: object, said: str
    ) -> None:
        assert config_fault(site, {key: value}).startswith(said)

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("AWS_KEY_FILE", "/keys", "key pairs are never created, so none is written"),
            ("AWS_REGOIN", "x", "it is not a known key; did you mean 'AWS_REGION'?"),
            ("SOMETHING_ELSE", "x", "it is not a known key"),
        ],
    )
    def test_a_key_without_effect_is_a_warning(self, site: HostFactory, key: str, value: str, said: str) -> None:
        site.configure({key: value})
        assert compiled(site)["warnings"] == [f"{key} has no effect: {said}"]

    def test_a_time_out_of_0_which_is_no_limit_to_ibm_has_no_effect(self, site: HostFactory) -> None:
        assert configured(site, {"AWS_CONNECTION_TIMEOUT_MS": 0}).provider.connect_timeout_seconds == 5.0
        assert compiled(site)["warnings"] == ["AWS_CONNECTION_TIMEOUT_MS 0 has no effect: every wait is bounded"]

    def test_what_it_is_turned_into_compiles_to_the_same(self, site: HostFactory) -> None:
        path = site.conf / "awsinstprov_config.json"
        ibms = b'{"AWS_REGION": "us-east-1", "AWS_CONNECTION_TIMEOUT_MS": 2500, "LogLevel": "WARN"}'
        ours, _ = own_form(str(path), ibms)
        assert ours["providerType"] == "aws"
        assert read_settings("", json.dumps(ours).encode(), [])[0] == read_settings("", ibms, [])[0]
