"""Which kinds of provider there are: built-in ones, and those of other packages, which stay outside until used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from hfplugin.errors import ConfigurationError
from hfplugin.providers.base.registry import ProviderRegistry, TemplateExtensionRegistry

MODULE = """
from hfplugin.providers.simulated.spec import SPEC as MODEL
SPEC = MODEL._replace(provider_type="third")
OTHER = "no spec"
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with four providers, of which one is right; gives where it lies."""
    (tmp_path / "third_party.py").write_text(MODULE)
    metadata = tmp_path / "third_party-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[hfplugin.providers]\n"
        "aws = third_party:SPEC\n"
        "third = third_party:SPEC\n"
        "missing = third_party_that_is_not_there:SPEC\n"
        "nameless = third_party:NOTHING\n"
        "wrong = third_party:OTHER\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_another_packages_provider_is_found_by_its_entry_point(package: Path) -> None:
    assert ProviderRegistry.spec("third").provider_type == "third"


def test_a_built_in_name_cannot_be_shadowed(package: Path) -> None:
    assert ProviderRegistry.spec("aws").config_type.__module__ == "hfplugin.providers.aws.configuration"


def test_an_unknown_name_is_refused_with_the_known_ones(package: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^unknown providerType 'azure'; known: aws, .*third"):
        ProviderRegistry.spec("azure")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "missing",
            "third_party_that_is_not_there:SPEC of third-party 1.0) cannot be loaded: ModuleNotFoundError: ",
        ),
        ("nameless", "third_party:NOTHING of third-party 1.0) cannot be loaded: AttributeError: "),
        ("wrong", "third_party:OTHER of third-party 1.0): it is not a ProviderSpec"),
    ],
)
def test_a_package_that_does_not_keep_its_word_is_named(package: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"provider {name} (entry point {said}")):
        ProviderRegistry.spec(name)


def test_whose_name_is_taken_is_said(package: Path) -> None:
    points = package / "third_party-1.0.dist-info/entry_points.txt"
    points.write_text(points.read_text() + "third = another:SPEC\n")
    mine = "(entry point third_party:SPEC of third-party 1.0)"
    assert ProviderRegistry.warnings() == [
        f"provider aws {mine} is not used: hfplugin's own provider has its name",
        "provider third (entry point another:SPEC of third-party 1.0) is not used:"
        f" provider third {mine} has its name",
    ]
    assert ProviderRegistry.spec("third").provider_type == "third"


def test_a_template_is_read_with_the_schemas_defaults() -> None:
    template = TemplateExtensionRegistry.create_extension_config("aws", {"imageId": "ami-1", "vmType": "m5.large"})
    assert (template.encrypted, template.http_tokens, template.machine_types) == (
        True,
        "required",
        {"m5.large": 1},
    )


def test_an_unknown_key_of_a_template_is_refused() -> None:
    with pytest.raises(ValidationError):
        TemplateExtensionRegistry.create_extension_config(
            "aws", {"imageId": "ami-1", "vmType": "m5.large", "x": 1}
        )


class Mine(BaseModel):
    """An author's part of a template, of a provider that no package brings yet."""

    model_config = ConfigDict(extra="forbid")

    flavour: str = "plain"
    is_quick: bool = True


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TemplateExtensionRegistry, "_registered", {})


@pytest.mark.usefixtures("nothing_registered")
class TestRegistered:
    def test_a_registered_type_is_read_with_its_defaults(self) -> None:
        TemplateExtensionRegistry.register("mine", Mine)
        assert TemplateExtensionRegistry.create_extension_config("mine", {}) == Mine()
        assert TemplateExtensionRegistry.create_extension_config("mine", {"flavour": "hot"}).flavour == "hot"
        assert TemplateExtensionRegistry.extension_schema("mine")["properties"].keys() == {"flavour", "is_quick"}
        with pytest.raises(ValidationError):
            TemplateExtensionRegistry.create_extension_config("mine", {"flavor": "hot"})

    def test_registering_the_same_again_is_no_error_and_another_is(self) -> None:
        class Other(BaseModel):
            pass

        TemplateExtensionRegistry.register("mine", Mine)
        TemplateExtensionRegistry.register("mine", Mine)
        with pytest.raises(ConfigurationError, match=r"^provider mine has the template type Mine already$"):
            TemplateExtensionRegistry.register("mine", Other)

    @pytest.mark.parametrize("name", ["aws", "simulated", "third"])
    def test_an_installed_providers_type_cannot_be_replaced(self, name: str, package: Path) -> None:
        with pytest.raises(ConfigurationError, match=f"^provider {name} is installed: Mine cannot be"):
            TemplateExtensionRegistry.register(name, Mine)

    def test_what_is_no_pydantic_model_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"^provider mine: dict is not a pydantic model$"):
            TemplateExtensionRegistry.register("mine", dict)


def test_the_schema_names_the_files_own_keys() -> None:
    assert {"imageId", "vmTypes", "regionOverrides"} <= TemplateExtensionRegistry.extension_schema("aws")[
        "properties"
    ].keys()
