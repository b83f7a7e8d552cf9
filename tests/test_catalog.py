"""Where the files are looked for, and the compiled form: when it is used, made anew, or the last good one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from front_door import Called, call, modules
from player import HostFactory

from hfplugin import catalog
from hfplugin.catalog import Catalog
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError
from hfplugin.logs import log

TEMPLATE = {
    "templateId": "small",
    "maxNumber": 5,
    "imageId": "ami-1",
    "vmType": "m5.large",
    "attributes": {"type": "X86_64", "ncores": 1, "ncpus": 1, "nram": 8192},
}
UNKNOWN_ID = "req-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance whose AWS cannot be reached."""
    player = HostFactory(tmp_path)
    player.configure(
        {"providerType": "aws", "aws": {"region": "eu-central-1", "endpointUrl": "http://127.0.0.1:9"}}
    )
    player.offer(TEMPLATE)
    return player


def environment(site: HostFactory, **variables: str) -> Environment:
    return Environment(site.environment | variables)


def config_path(site: HostFactory) -> Path:
    return site.conf / "awsinstprov_config.json"


def templates_path(site: HostFactory) -> Path:
    return site.conf / "awsinstprov_templates.json"


def kept(site: HostFactory) -> Path:
    return site.state / "cache/compiled"


def names(compiled: catalog.Compiled) -> list[str]:
    return [template["templateId"] for template in json.loads(compiled.answer)["templates"]]


def rename(site: HostFactory, name: str) -> None:
    site.offer(TEMPLATE | {"templateId": name})


def break_templates(site: HostFactory) -> None:
    templates_path(site).write_text('{"templates": [')


class TestLookUp:
    PLACES = (
        "awsinstprov_{}.json",
        "conf/awsinstprov_{}.json",
        "awsprov_{}.json",
        "conf/awsprov_{}.json",
    )

    @pytest.mark.parametrize("position", range(4))
    @pytest.mark.parametrize("what", ["config", "templates"])
    def test_the_first_of_the_four_places_that_has_a_file_counts(
        self, site: HostFactory, what: str, position: int
    ) -> None:
        (site.conf / f"awsinstprov_{what}.json").unlink()
        (site.conf / "conf").mkdir()
        for place in self.PLACES[position:]:
            (site.conf / place.format(what)).write_text(place)
        path, content = catalog.read_first(environment(site), what)
        assert (path, content.decode()) == (
            str(site.conf / self.PLACES[position].format(what)),
            self.PLACES[position],
        )

    @pytest.mark.parametrize("what", ["config", "templates"])
    def test_a_file_that_is_nowhere_is_refused_with_the_four_places(self, site: HostFactory, what: str) -> None:
        (site.conf / f"awsinstprov_{what}.json").unlink()
        with pytest.raises(ConfigurationError) as caught:
            catalog.load(environment(site))
        places = [str(site.conf / place.format(what)) for place in self.PLACES]
        assert str(caught.value) == f"no {what} file; looked for {', '.join(places)}"

    def test_a_provider_that_is_called_aws_has_two_places(self, tmp_path: Path) -> None:
        site = HostFactory(tmp_path, name="aws")
        assert len(environment(site).candidates("config")) == 2

    def test_a_directory_in_place_of_a_file_does_not_lead_to_the_next_place(self, site: HostFactory) -> None:
        config_path(site).rename(site.conf / "awsprov_config.json")
        config_path(site).mkdir()
        with pytest.raises(ConfigurationError, match=f"^cannot read {config_path(site)}: Is a directory$"):
            catalog.load(environment(site))

    def test_a_file_that_cannot_be_read_does_not_lead_to_the_next_place(self, site: HostFactory) -> None:
        config_path(site).rename(site.conf / "awsprov_config.json")
        config_path(site).symlink_to(config_path(site))
        with pytest.raises(ConfigurationError, match=f"^cannot read {config_path(site)}: Too many levels"):
            catalog.load(environment(site))

    def test_lsfs_variables_lead_to_the_same_places(self, site: HostFactory) -> None:
        variables = {
            "PROVIDER_NAME": "awsinst",
            "PRO_CONF_DIR": str(site.conf),
            "PRO_DATA_DIR": str(site.work),
            "PRO_LSF_LOGDIR": str(site.log),
        }
        found = Environment(variables)
        assert names(catalog.load(found)) == ["small"]
        assert found.state_dir == str(site.state)
        assert found.log_file.startswith(f"{site.log}/awsinst-provider.")

    def test_hostfactorys_own_variables_win_over_lsfs(self, site: HostFactory) -> None:
        found = environment(site, PROVIDER_NAME="other", PRO_CONF_DIR="/other", PRO_DATA_DIR="/other")
        assert (found.provider_name, found.conf_dir) == ("awsinst", str(site.conf))

    def test_without_directories_of_its_own_an_instance_has_its_place_below_hostfactorys(self) -> None:
        found = Environment({"HF_PROVIDER_NAME": "a", "HF_CONFDIR": "/c", "HF_WORKDIR": "/w", "HF_LOGDIR": "/l"})
        assert (found.conf_dir, found.work_dir) == ("/c/providers/a", "/w/providers/a")
        assert found.log_file == f"/l/a-provider.{os.uname().nodename}.log"

    @pytest.mark.parametrize("missing", ["CONF", "WORK", "LOG"])
    def test_a_directory_that_no_variable_names_is_refused_by_name(self, missing: str) -> None:
        variables = {"HF_PROVIDER_NAME": "a", "HF_CONFDIR": "/c", "HF_WORKDIR": "/w", "HF_LOGDIR": "/l"}
        del variables[f"HF_{missing}DIR"]
        with pytest.raises(
            ConfigurationError, match=f"neither HF_PROVIDER_{missing}DIR nor HF_{missing}DIR is set"
        ):
            Environment(variables)


class TestTimeLimit:
    @pytest.mark.parametrize(
        ("content", "seconds"),
        [
            ('{"HF_PROVIDER_ACTION_TIMEOUT": 300}', 300),
            ('{"HF_PROVIDER_ACTION_TIMEOUT": "120"}', 120),
            ("{}", 240),
            ("[]", 240),
            ("{", 240),
            ('{"HF_PROVIDER_ACTION_TIMEOUT": null}', 240),
            (None, 240),
        ],
    )
    def test_it_is_hostfactorys_own_or_what_its_examples_have(
        self, site: HostFactory, tmp_path: Path, content: str | None, seconds: float
    ) -> None:
        if content is not None:
            (tmp_path / "hostfactoryconf.json").write_text(content)
        assert environment(site, HF_CONFDIR=str(tmp_path)).action_timeout() == seconds


class TestCompiledForm:
    def test_nothing_is_compiled_while_nothing_changed(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        loaded = modules("getAvailableTemplates", environment=site.environment)
        assert "hfplugin.catalog" in loaded
        assert not {"hfplugin.compiler", "pydantic"} & loaded

    def test_it_is_for_its_owner_alone(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        assert kept(site).stat().st_mode & 0o777 == 0o600
        assert site.state.stat().st_mode & 0o777 == 0o700

    def test_the_same_comes_from_it_as_from_the_files(self, site: HostFactory) -> None:
        fresh, again = Catalog(catalog.load(environment(site))), Catalog(catalog.load(environment(site)))
        assert fresh.settings == again.settings
        assert fresh.templates == again.templates

    @pytest.mark.parametrize("what", ["config", "templates"])
    def test_one_changed_byte_compiles_anew(self, site: HostFactory, what: str) -> None:
        before = catalog.load(environment(site))
        with (site.conf / f"awsinstprov_{what}.json").open("a") as file:
            file.write("\n")
        self.is_made_anew(site, before)

    def test_a_file_at_an_earlier_place_compiles_anew(self, site: HostFactory) -> None:
        templates_path(site).rename(site.conf / "awsprov_templates.json")
        before = catalog.load(environment(site))
        (site.conf / "awsprov_templates.json").rename(templates_path(site))
        self.is_made_anew(site, before)

    def test_another_version_compiles_anew(self, site: HostFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        before = catalog.load(environment(site))
        monkeypatch.setattr(catalog, "__version__", "99")
        self.is_made_anew(site, before)

    @pytest.mark.parametrize("variables", [{"HFPLUGIN_AWS__REGION": "us-east-1"}, {"HFPLUGIN_AWZ__X": "1"}])
    def test_an_override_compiles_anew(self, site: HostFactory, variables: dict[str, str]) -> None:
        self.is_made_anew(site, catalog.load(environment(site)), **variables)

    def test_the_scripts_own_variable_compiles_nothing(self, site: HostFactory) -> None:
        before = catalog.load(environment(site))
        assert catalog.load(environment(site, HFPLUGIN_PYTHON="/other")).key == before.key

    def test_a_refreshed_table_of_machine_types_compiles_anew(self, site: HostFactory) -> None:
        before = catalog.load(environment(site))
        table = Path(catalog.machine_types_path(environment(site)))
        table.write_text('{"schema": 1, "types": {}}')
        self.is_made_anew(site, before)

    @staticmethod
    def is_made_anew(site: HostFactory, before: catalog.Compiled, **variables: str) -> None:
        content = kept(site).read_bytes()
        assert catalog.load(environment(site, **variables)).key != before.key
        assert kept(site).read_bytes() != content

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: b"\n",
            lambda content: b"hfplugin-compiled x\n",
            lambda content: content[:-1],
            lambda content: content[: len(content) // 2],
            lambda content: content.replace(b"small", b"smell"),
            lambda content: content.replace(b"hfplugin-compiled", b"hfplugin-compilet"),
            lambda content: content + b" ",
            lambda content: bytes(reversed(content)),
        ],
    )
    def test_a_damaged_one_is_made_anew(self, site: HostFactory, damage: Any) -> None:
        catalog.load(environment(site))
        good = kept(site).read_bytes()
        kept(site).write_bytes(damage(good))
        assert names(catalog.load(environment(site))) == ["small"]
        assert kept(site).read_bytes() == good

    def test_one_that_cannot_be_read_or_written_costs_time_alone(self, site: HostFactory) -> None:
        kept(site).mkdir(parents=True)
        (kept(site) / "in the way").touch()
        assert names(catalog.load(environment(site))) == ["small"]
        assert names(catalog.load(environment(site))) == ["small"]

    def test_a_place_for_it_that_cannot_be_made_costs_time_alone(self, site: HostFactory) -> None:
        site.state.touch()
        assert names(catalog.load(environment(site))) == ["small"]

    def test_names_that_are_not_utf8_are_compiled_too(self, tmp_path: Path) -> None:
        site = HostFactory(tmp_path / os.fsdecode(b"\xff"))
        site.configure({"providerType": "aws"})
        site.offer(TEMPLATE)
        assert names(catalog.load(environment(site))) == ["small"]
        assert names(catalog.load(environment(site))) == ["small"]

    def test_warnings_are_logged_when_it_is_made_and_only_then(self, site: HostFactory) -> None:
        site.offer(TEMPLATE | {"forThePolicy": 1})
        found = environment(site)
        log.start(found.log_file, "INFO")
        try:
            catalog.load(found)
            catalog.load(found)
        finally:
            log.start("", "")
        [line] = Path(found.log_file).read_text().splitlines()
        assert json.loads(line)["message"].startswith("template small: unknown key 'forThePolicy'")


class TestLastGoodForm:
    def test_it_serves_when_a_file_has_become_wrong(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        break_templates(site)
        compiled, fault = catalog.load_last_good(environment(site))
        assert names(compiled) == ["small"]
        assert fault.startswith(f"{templates_path(site)} is not JSON: ")

    def test_it_serves_when_a_file_is_gone(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        config_path(site).unlink()
        compiled, fault = catalog.load_last_good(environment(site))
        assert Catalog(compiled).settings.provider.region == "eu-central-1"
        assert fault.startswith("no config file; ")

    def test_a_corrected_file_counts_at_once(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        break_templates(site)
        catalog.load_last_good(environment(site))
        rename(site, "large")
        compiled, fault = catalog.load_last_good(environment(site))
        assert (names(compiled), fault) == (["large"], "")

    def test_where_there_never_was_a_good_one_the_fault_is_raised(self, site: HostFactory) -> None:
        break_templates(site)
        with pytest.raises(ConfigurationError):
            catalog.load_last_good(environment(site))

    def test_a_damaged_one_does_not_serve(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        kept(site).write_bytes(kept(site).read_bytes()[:-1])
        break_templates(site)
        with pytest.raises(ConfigurationError):
            catalog.load_last_good(environment(site))

    def test_one_of_an_older_version_serves_without_the_keys_that_are_no_more(self, site: HostFactory) -> None:
        compiled = catalog.load(environment(site))
        document = json.loads(compiled.rest)
        document["settings"]["provider"]["colour"] = document["settings"]["requests"]["colour"] = "blue"
        document["templates"][0]["colour"] = "blue"
        older = Catalog(catalog.Compiled(b"", b"", json.dumps(document).encode(), "INFO"))
        assert older.settings == Catalog(compiled).settings
        assert older.templates == Catalog(compiled).templates


def verb(site: HostFactory, name: str, message: dict[str, Any] | None = None) -> Called:
    return call(name, environment=site.environment, stdin=json.dumps(message or {}))


class TestVerbsOnAWrongFile:
    """After a first, good call the templates file breaks."""

    @pytest.fixture(autouse=True)
    def _once_good(self, site: HostFactory) -> None:
        catalog.load(environment(site))
        break_templates(site)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("getAvailableTemplates", {}),
            ("requestMachines", {"template": {"templateId": "small", "machineCount": 1}}),
        ],
    )
    def test_offers_and_requests_are_refused(self, site: HostFactory, name: str, message: dict[str, Any]) -> None:
        assert verb(site, name, message).refusal.startswith(f"{templates_path(site)} is not JSON: ")

    def test_a_return_is_accepted(self, site: HostFactory) -> None:
        answer = verb(site, "requestReturnMachines", {"machines": [{"name": "host-1"}]}).answer
        assert answer["requestId"].startswith("ret-")

    def test_a_poll_still_asks_the_cloud_of_the_last_good_form_and_the_log_says_why(
        self, site: HostFactory
    ) -> None:
        answer = verb(site, "getRequestStatus", {"requests": [{"requestId": UNKNOWN_ID}]}).answer
        [request] = answer["requests"]
        assert request["status"] == "running"
        assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/"' in request["message"]
        [logged] = [
            line for path in site.log.iterdir() for line in path.read_text().splitlines() if "wrong" in line
        ]
        assert json.loads(logged)["event"] == "configuration.wrong"

    def test_a_poll_without_a_last_good_form_still_answers(self, site: HostFactory) -> None:
        kept(site).unlink()
        answer = verb(site, "getRequestStatus", {"requests": [{"requestId": UNKNOWN_ID}]}).answer
        [request] = answer["requests"]
        assert request["status"] == "running"
        assert "is not JSON" in request["message"]
