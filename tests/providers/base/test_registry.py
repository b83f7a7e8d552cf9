"""Which kinds of provider there are: built-in ones, and those of other packages, which stay outside until used."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hfplugin.errors import ConfigurationError
from hfplugin.providers.base.registry import ProviderRegistry, TemplateExtensionRegistry

MODULE = """
from hfplugin.providers.base.provider import ProviderSpec
SPEC = ProviderSpec("{name}", dict, lambda: dict, None, None, None)
OTHER = "no spec"
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with four providers, of which one is right; gives where it lies."""
    (tmp_path / "third_party.py").write_text(MODULE.format(name="third"))
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
        ("missing", r"^provider missing \(third_party_that_is_not_there:SPEC\) cannot be loaded: No module named"),
        ("nameless", r"^provider nameless \(third_party:NOTHING\) cannot be loaded: .*NOTHING"),
        ("wrong", r"^provider wrong: third_party:OTHER is not a ProviderSpec$"),
    ],
)
def test_a_package_that_does_not_keep_its_word_is_named(package: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ProviderRegistry.spec(name)


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


def test_the_schema_names_the_files_own_keys() -> None:
    assert {"imageId", "vmTypes", "regionOverrides"} <= TemplateExtensionRegistry.extension_schema("aws")[
        "properties"
    ].keys()
