"""A package that brings a provider and is at fault: who is told what, and what goes on all the same.

The interpreter is one of its own: it has what that of the tests has, and the package as each test breaks it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from player import HostFactory, demand

ROOT = Path(__file__).resolve().parent.parent.parent

# The simulated cloud under another name, brought by another package.
SOUND = """
from hfplugin.providers.simulated.spec import SPEC as MODEL

SPEC = MODEL._replace(provider_type="brought")
"""

# How every message about the package begins.
NAMED = "provider brought (entry point bringer:SPEC of bringer 1.0)"


def _raising(name: str, error: str) -> str:
    return f"{SOUND}\ndef fail(*_):\n    raise {error}\n\nSPEC = SPEC._replace({name}=fail)\n"


def _giving(name: str, value: str) -> str:
    return f"{SOUND}\nSPEC = SPEC._replace({name}=lambda *_: {value})\n"


# Fault: the package's code, and what is said of it.
AT_LOADING = {
    "no such module": (
        "import no_such_sdk",
        " cannot be loaded: ModuleNotFoundError: No module named 'no_such_sdk'",
    ),
    "no such name": ("", " cannot be loaded: AttributeError: module 'bringer' has no attribute 'SPEC'"),
    "another error": ("raise ValueError('boom')", " cannot be loaded: ValueError: boom"),
    "no Python": ("def (", " cannot be loaded: SyntaxError: invalid syntax (bringer.py, line 1)"),
    "an end": ("import sys; sys.exit(3)", " cannot be loaded: SystemExit: 3"),
    "one of our errors": (
        "from hfplugin.errors import ProviderError, ErrorKind\nraise ProviderError(ErrorKind.AUTH, 'No', 'never')",
        " cannot be loaded: ProviderError: ",
    ),
    "no spec": ("SPEC = {}", ": it is not a ProviderSpec"),
    "another name": (
        f"{SOUND}\nSPEC = SPEC._replace(provider_type='bought')",
        ": the entry point is called 'brought' and its ProviderSpec says provider_type 'bought'",
    ),
    "no settings": (
        f"{SOUND}\nSPEC = SPEC._replace(config_type=dict)",
        ": its config_type, dict, is not a dataclass",
    ),
    "no function": (f"{SOUND}\nSPEC = SPEC._replace(tags=None)", ": its tags is not a function"),
}
AT_COMPILING = {
    "settings": (
        f"{SOUND}\nclass Strange:\n    pass\n"
        "from dataclasses import dataclass\n@dataclass\nclass Settings:\n    it: Strange\n"
        "SPEC = SPEC._replace(config_type=Settings)",
        ": validation failed: PydanticSchemaGenerationError",
    ),
    "type": (_raising("template_type", "ImportError('no sdk')"), ": template_type failed: ImportError: no sdk"),
    "no type": (_giving("template_type", "dict"), ": template_type gives dict, which is no pydantic model"),
    "attributes": (_raising("attributes", "KeyError('m5')"), ": attributes failed: KeyError: 'm5'"),
    "no attributes": (_giving("attributes", "None"), ": attributes gives a NoneType, which is no dict"),
    "tags": (_raising("tags", "TypeError('no text')"), ": tags failed: TypeError: no text"),
    "no tags": (_giving("tags", "['a']"), ": tags gives a list, which is no dict"),
    "faults": (_raising("faults", "RuntimeError"), ": faults failed: RuntimeError"),
}
AT_WORK = {
    "raises": (_raising("create", "ValueError('no such zone')"), ": create failed: ValueError: no such zone"),
    "ends": (_raising("create", "SystemExit(3)"), ": create failed: SystemExit: 3"),
    "gives nothing": (
        _giving("create", "None"),
        ": create gives a NoneType, which is no Provider: it lacks plan, ",
    ),
}


class Package:
    """The package, installed into an interpreter of its own."""

    def __init__(self, top: Path) -> None:
        self._packages = top / "packages"
        self._metadata = self._packages / "bringer-1.0.dist-info"
        self._metadata.mkdir(parents=True)
        (self._metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bringer\nVersion: 1.0\n")
        self.bring(brought="bringer:SPEC")
        self.write(SOUND)
        venv.create(top / "environment", symlinks=True)
        self.python = top / "environment/bin/python"
        [site_packages] = (top / "environment/lib").glob("python*/site-packages")
        paths = [*(path for path in sys.path if path.endswith("site-packages")), ROOT, self._packages]
        (site_packages / "tests.pth").write_text("".join(f"{path}\n" for path in paths))

    def bring(self, **points: str) -> None:
        lines = ["[hfplugin.providers]", *(f"{name} = {value}" for name, value in points.items())]
        (self._metadata / "entry_points.txt").write_text("\n".join(lines))

    def write(self, code: str) -> None:
        # What is written within the same second must not be taken for what was compiled then.
        shutil.rmtree(self._packages / "__pycache__", ignore_errors=True)
        (self._packages / "bringer.py").write_text(code)

    def remove(self) -> None:
        self._metadata.rename(self._metadata.with_suffix(".gone"))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path)


@pytest.fixture
def site(package: Package, tmp_path: Path) -> HostFactory:
    """A provider instance of the package's kind."""
    instance = HostFactory(tmp_path, "brought1")
    instance.environment |= {"HFPLUGIN_PYTHON": str(package.python)}
    instance.configure({"providerType": "brought", "brought": {"bootSeconds": 0, "shutdownSeconds": 0}})
    _offer(instance)
    return instance


def _offer(instance: HostFactory, **keys: object) -> None:
    types = {"m": {"ncpus": 2, "nram": 1024}}
    instance.offer({"templateId": "small", "maxNumber": 5, "machineTypes": types, **keys})


def _checked(site: HostFactory) -> tuple[int, list[str]]:
    """Give exit status and lines of `hfplugin check`, which says nothing on standard error."""
    command = [site.environment["HFPLUGIN_PYTHON"], "-m", "hfplugin", "check"]
    done = subprocess.run(
        command, env=site.environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def _failure(site: HostFactory) -> str:
    """Give what `hfplugin check` says of the one thing that is wrong; a remedy follows it."""
    status, lines = _checked(site)
    assert status == 1
    [number] = [number for number, line in enumerate(lines) if line.startswith("FAIL ")]
    assert lines[number + 1].startswith("     remedy: ")
    return lines[number]


def _log(site: HostFactory) -> str:
    [log] = site.log.glob("*.log")
    return log.read_text()


@pytest.mark.parametrize("fault", [*AT_LOADING, *AT_COMPILING])
def test_whoever_needs_the_files_is_told_package_and_reason(
    package: Package, site: HostFactory, fault: str
) -> None:
    code, said = (AT_LOADING | AT_COMPILING)[fault]
    package.write(code)
    for told in (site.refused("getAvailableTemplates", {}), _failure(site)):
        assert NAMED + said in told


def test_a_fault_of_its_attributes_names_file_and_template_too(package: Package, site: HostFactory) -> None:
    package.write(AT_COMPILING["attributes"][0])
    start = f"{site.conf / 'brought1prov_templates.json'}: template small: attributes: "
    assert site.refused("getAvailableTemplates", {}).startswith(start)


def test_what_it_raises_of_a_template_on_purpose_is_the_templates_fault(
    package: Package, site: HostFactory
) -> None:
    package.write(_raising("attributes", "ValueError('no such type: m')"))
    told = site.refused("getAvailableTemplates", {})
    assert told.endswith("template small: attributes: type, ncpus, nram cannot be derived: no such type: m")


@pytest.mark.parametrize(
    ("code", "said"),
    [*(AT_LOADING[name] for name in ("no such module", "another error", "an end")), *AT_WORK.values()],
    ids=["no such module", "another error", "an end", *AT_WORK],
)
def test_polls_and_returns_go_on_from_the_record(
    package: Package, site: HostFactory, code: str, said: str
) -> None:
    machines = site.machines("small", 2)
    request_id = site.request("small", 1)
    package.write(code)
    assert NAMED + said in site.refused("requestMachines", demand("small", 1))
    [running] = site.poll(request_id)
    assert running["status"] in ("running", "complete")
    return_id = site.give_back(*machines)
    [returning] = site.poll(return_id)
    assert {machine["result"] for machine in returning["machines"]} == {"executing"}
    assert NAMED + said in _failure(site)
    package.write(SOUND)
    site.poll(return_id)  # ends them
    [returned] = site.poll(return_id)
    assert returned["status"] == "complete"


def test_a_changed_file_does_not_stop_them_either(package: Package, site: HostFactory) -> None:
    request_id = site.request("small", 2)
    package.write(AT_LOADING["another error"][0])
    _offer(site, maxNumber=6)
    assert NAMED in site.refused("getAvailableTemplates", {})
    [answer] = site.poll(request_id)
    assert len(answer["machines"]) == 2


def test_the_log_has_the_traceback_once_for_all_that_a_call_is_about(package: Package, site: HostFactory) -> None:
    machines = site.machines("small", 2)
    package.write(AT_WORK["raises"][0])
    returns = [site.give_back(machine) for machine in machines]
    before = _log(site)
    site.poll(*returns)
    told = _log(site).removeprefix(before).splitlines()
    [line] = [line for line in told if "Traceback" in line]
    assert "provider.package_failed" in line
    assert "in fail" in line


def test_a_package_that_is_gone_is_asked_for_where_it_has_to_be(package: Package, site: HostFactory) -> None:
    package.remove()
    file = site.conf / "brought1prov_config.json"
    said = (
        f"{file}: unknown providerType 'brought'; known: aws, simulated: install the package that brings it for"
        f" {package.python}, or correct providerType"
    )
    assert site.refused("getAvailableTemplates", {}) == said
    assert said in _failure(site)


def test_so_is_one_that_was_there_when_the_files_were_read(package: Package, site: HostFactory) -> None:
    site.templates()
    package.remove()
    refused = site.refused("requestMachines", demand("small", 1))
    assert refused.startswith(f"{site.conf / 'brought1prov_config.json'}: unknown providerType 'brought'; ")


def test_what_it_raises_in_its_check_fails_the_check(package: Package, site: HostFactory) -> None:
    package.write(
        f"{SOUND}\ndef create(settings, context):\n    provider = MODEL.create(settings, context)\n"
        "    provider.check = lambda templates: templates[7]\n    return provider\n\n"
        "SPEC = SPEC._replace(create=create)\n"
    )
    told = _failure(site)
    assert told.startswith("FAIL provider: ")
    assert "IndexError: list index out of range" in told
    assert "Traceback" in _log(site)


def test_a_name_that_it_cannot_have_is_a_warning(package: Package, site: HostFactory) -> None:
    package.bring(brought="bringer:SPEC", aws="bringer:SPEC")
    status, lines = _checked(site)
    assert status == 0
    said = (
        "provider aws (entry point bringer:SPEC of bringer 1.0) is not used: hfplugin's own provider has its name"
    )
    assert f"warn {said}" in lines
    assert "ok   configuration: 1 template of brought" in lines


def test_a_file_that_says_all_but_the_type_is_told_which_it_means(site: HostFactory) -> None:
    site.configure({"brought": {"bootSeconds": 0}})
    told = site.refused("getAvailableTemplates", {})
    assert told.endswith('providerType is missing: add "providerType": "brought"')
