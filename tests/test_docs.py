"""README and CHANGELOG say what the code does: keys, defaults, variables, commands, paths, messages, events."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hfplugin.cli.commands import cli
from hfplugin.config import LoggingSettings, RequestSettings, Settings, camel
from hfplugin.conformance import settings as conformance
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError
from hfplugin.hostfactory.verbs import VERBS
from hfplugin.providers.aws import ibm
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.template import AWSTemplate, RegionOverride
from hfplugin.providers.simulated.configuration import SimulatedSettings
from hfplugin.providers.simulated.template import MachineType, SimulatedTemplate
from hfplugin.templates import TemplateKeys

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PACKAGE = sorted((ROOT / "hfplugin").rglob("*.py"))
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.suffix in (".sh", ".bash"))
EXAMPLES = sorted((ROOT / "config").rglob("*.json"))

SECTIONS: dict[str, type[Any]] = {"aws": AWSSettings, "requests": RequestSettings, "logging": LoggingSettings}
MODELS: tuple[type[BaseModel], ...] = (TemplateKeys, AWSTemplate, RegionOverride)
TEMPLATE_SECTIONS = (
    "What is launched",
    "Disk, placement and metadata",
    "How it is bought",
    "Regions",
    "Accepted without effect",
)

# A variable of hfplugin's, of HostFactory's or of LSF's.
VARIABLE = re.compile(r"\b(?:HFPLUGIN|HF|PRO|EGOSC)_[A-Z_]*[A-Z]\b|\bPROVIDER_NAME\b")

# The scripts' own; everything else that begins so overrides a setting.
NO_OVERRIDE = {"HFPLUGIN_PYTHON"}


def headings(text: str) -> Iterator[tuple[int, str, int, int]]:
    """Give level, title and where the section's own text begins and ends, its subsections included."""
    found = list(re.finditer(r"^(#+) (.+)$", without_fences(text), re.MULTILINE))
    for index, match in enumerate(found):
        after = (m.start() for m in found[index + 1 :] if len(m[1]) <= len(match[1]))
        yield len(match[1]), match[2].replace("`", ""), match.end(), next(after, len(text))


def without_fences(text: str) -> str:
    """Blank out fenced blocks, keeping every position: a comment in them is no heading."""
    return re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    [(start, end)] = [(start, end) for _, found, start, end in headings(README) if found == title]
    return README[start:end]


def first_table(title: str) -> list[list[str]]:
    """The cells of a section's first table, row by row, without its head."""
    lines = section(title).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    end = next(
        (index for index, line in enumerate(lines) if index > start and not line.startswith("|")), len(lines)
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:end]]
    assert {len(row) for row in rows} == {len(rows[0])}, f"{title}: a row has more or fewer cells than the head"
    return rows[2:]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def keys(title: str) -> list[str]:
    """What a table of keys is about: the one span of each first cell."""
    rows = first_table(title)
    assert [f"`{name}`" for row in rows for name in spans(row[0])] == [row[0] for row in rows]
    return [row[0].strip("`") for row in rows]


def column(title: str, index: int) -> dict[str, str]:
    return {row[0].strip("`"): row[index] for row in first_table(title)}


def fenced() -> str:
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE))


def code() -> str:
    """All that README shows as code."""
    return "\n".join([fenced(), *spans(without_fences(README))])


def default_of(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    assert field.default is not MISSING
    return list(field.default) if isinstance(field.default, tuple) else field.default


def written_defaults(titles: Sequence[str]) -> dict[str, Any]:
    """The third cells: a JSON value, or `required`."""
    cells = {key: cell for title in titles for key, cell in column(title, 2).items()}
    return {key: cell if cell == "required" else json.loads(cell.strip("`")) for key, cell in cells.items()}


def model_defaults(model: type[BaseModel]) -> dict[str, Any]:
    def default(field: FieldInfo) -> Any:
        return "required" if field.is_required() else field.get_default(call_default_factory=True)

    return {field.alias or name: default(field) for name, field in model.model_fields.items()}


# What a reader sees first.


@pytest.mark.parametrize("command", ["bash scripts/demo.sh", "bash tests/run.sh"])
def test_the_first_screen_shows(command: str) -> None:
    assert command in "\n".join(README.splitlines()[:25])


def test_every_link_within_the_readme_leads_to_a_heading() -> None:
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for _, title, _, _ in headings(README)}
    links = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert links
    assert links <= anchors


def test_no_heading_appears_twice() -> None:
    titles = [title for _, title, _, _ in headings(README)]
    assert len(set(titles)) == len(titles)


# Files and commands.


def test_every_path_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?<![\w$/<>.])((?:scripts|config|tests|hfplugin)/[\w./-]*)", code()))
    assert {"scripts/demo.sh", "tests/run.sh"} <= named
    missing = {path for path in named if not (ROOT / path).exists()}
    assert not missing


def test_every_example_is_reached_from_the_readme() -> None:
    named = {path for path in code().split() if path.startswith("config/")}
    for example in EXAMPLES:
        relative = example.relative_to(ROOT)
        assert named & {str(relative), f"{relative.parent}/", f"{relative.parent}/*.json"}, relative


def test_every_verb_has_its_script_and_its_row() -> None:
    assert keys("The five verbs") == sorted(VERBS, key=keys("The five verbs").index)
    assert {path.stem for path in SCRIPTS} >= set(VERBS)


def subcommands(group: click.Group, prefix: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield prefix + name
        for choice in (param.type for param in command.params if isinstance(param, click.Argument)):
            if isinstance(choice, click.Choice):
                yield from (f"{prefix}{name} {value}" for value in choice.choices)
        if isinstance(command, click.Group):
            yield from subcommands(command, f"{prefix}{name} ")


def shown_commands() -> set[str]:
    """The words after `hfplugin` wherever README shows a command line, options left out."""
    lines = re.findall(r"(?:^|[|] |COLUMNS=\d+ )(?:\.venv/bin/)?hfplugin (.+)$", code(), re.MULTILINE)
    plain = (re.sub(r"--\w+ (?:\S*[./*]\S*|templates)", "", line) for line in lines)  # an option and its value
    return {" ".join(word for word in line.split() if not word.startswith(("-", "<"))) for line in plain}


def test_every_hfplugin_command_that_the_readme_shows_exists() -> None:
    assert shown_commands() - {""} <= set(subcommands(cli))


def test_every_command_for_people_has_its_row() -> None:
    named = {name for row in first_table("Commands for people") for name in spans(row[0])}
    groups = {name for name, command in cli.commands.items() if isinstance(command, click.Group)}
    with_a_choice = {"drain"}
    commands = set(subcommands(cli)) - set(VERBS) - groups - with_a_choice
    assert commands <= {re.sub(r" [-<].*", "", name.removeprefix("hfplugin ")) for name in named}


def test_every_option_that_the_readme_gives_a_command_exists() -> None:
    for row in first_table("Commands for people"):
        words = spans(row[0])[0].split()[1:]
        command: click.Command = cli
        for word in (word for word in words if not word.startswith(("-", "<"))):
            if isinstance(command, click.Group):
                command = command.commands[word]
            else:
                assert any(word in param.type.choices for param in command.params)  # type: ignore[attr-defined]
        offered = {option for param in command.params for option in param.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", " ".join(spans(" ".join(row))))) <= offered


# Variables.


def test_every_variable_that_the_readme_names_is_read() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in [*PACKAGE, *SCRIPTS, *EXAMPLES])
    named = set(VARIABLE.findall(README))
    settings = {name for name in named if name.startswith("HFPLUGIN_")} - NO_OVERRIDE  # built from their parts
    assert not {name for name in named - settings if name not in sources}


def test_every_variable_that_is_read_is_in_the_readme() -> None:
    constants = {text for path in PACKAGE for text in strings(path)}
    read = {text for text in constants if VARIABLE.fullmatch(text)}
    assert {"HF_PROVIDER_NAME", "PRO_CONF_DIR", "EGOSC_INSTANCE_HOST"} <= read
    assert read <= set(VARIABLE.findall(README))


@pytest.mark.parametrize(
    "variable", sorted({v for v in VARIABLE.findall(README) if "HFPLUGIN_" in v} - NO_OVERRIDE)
)
def test_every_override_that_the_readme_names_is_a_setting(variable: str) -> None:
    surroundings = dict.fromkeys(("HF_PROVIDER_NAME", "HF_CONFDIR", "HF_WORKDIR", "HF_LOGDIR"), "x")
    assert Environment({**surroundings, variable: ""}).overrides == [(variable, "")]
    name, _, key = variable.removeprefix("HFPLUGIN_").lower().partition("__")
    known = [field.name for field in fields(SECTIONS[name])] if key else ["installation"]
    assert (key or name) in known


# The configuration.


def test_the_configurations_own_keys_are_those_of_the_code() -> None:
    others = [camel(field.name) for field in fields(Settings) if field.name not in ("provider", *SECTIONS)]
    assert set(keys("Our form")) == set(others)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_keys_and_defaults_of_a_section_are_those_of_the_code(name: str) -> None:
    in_code = {camel(field.name): default_of(field) for field in fields(SECTIONS[name])}
    assert written_defaults([f"Section {name}"]) == in_code


def attributes_read(within: str = "") -> set[str]:
    """Every name that the package reads as an attribute, in files whose path begins so."""
    return {
        node.attr
        for path in PACKAGE
        if str(path.relative_to(ROOT)).startswith(within)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_the_settings_said_to_have_no_effect_are_those_that_nothing_reads(name: str) -> None:
    idle = {key for key, meaning in column(f"Section {name}", 3).items() if meaning == "No effect yet"}
    read = attributes_read()
    assert idle == {camel(field.name) for field in fields(SECTIONS[name]) if field.name not in read}


def known_to_convert() -> set[str]:
    """The keys of IBM's form among the texts of the module that converts it."""
    candidates = {text for text in strings(Path(ibm.__file__)) if re.fullmatch(r"[A-Za-z]+(_[A-Za-z]+)*", text)}
    return {text for text in candidates if converted(text) != "unknown"}


def converted(key: str) -> str:
    """What becomes of a key of IBM's form, in README's words."""
    try:
        ours, warnings = ibm.convert({key: "INFO" if key == "LogLevel" else "1"})
    except ConfigurationError as error:
        return "refused" if "not supported" in str(error) else str(error)
    if warnings:
        return "unknown" if "not a known key" in warnings[0] else "no effect"
    [(name, values)] = [(name, values) for name, values in ours.items() if name in SECTIONS]
    [key] = values
    return f"`{name}.{key}`"


def test_the_keys_of_ibms_form_are_those_of_the_code() -> None:
    assert set(keys("IBM's form")) == known_to_convert()


def test_the_keys_of_ibms_form_become_what_the_readme_says() -> None:
    said = column("IBM's form", 1)
    assert said == {key: converted(key) for key in said}


# Templates.


def test_the_keys_and_defaults_of_every_template_are_those_of_the_code() -> None:
    assert written_defaults(["Every template"]) == model_defaults(TemplateKeys)


def test_the_keys_and_defaults_of_an_aws_template_are_those_of_the_code() -> None:
    assert written_defaults(TEMPLATE_SECTIONS) == model_defaults(AWSTemplate)


def test_no_key_of_a_template_is_explained_twice() -> None:
    named = [key for title in ("Every template", *TEMPLATE_SECTIONS) for key in keys(title)]
    assert len(set(named)) == len(named)


def test_the_keys_of_a_region_override_are_those_of_the_code() -> None:
    text = section("Regions").partition("\n`regionOverrides` ")[2].partition("\n\n")[0]
    named = set(spans(text))
    assert named == set(model_defaults(RegionOverride))


def test_every_word_of_a_file_or_the_wire_that_the_readme_names_exists() -> None:
    named = {word for word in spans(without_fences(README)) if re.fullmatch(r"[a-z]+[A-Z]\w*", word)}
    written = {text for path in PACKAGE for text in strings(path)}
    kinds: list[type[Any]] = [Settings, *SECTIONS.values(), SimulatedSettings]
    settings = {camel(field.name) for kind in kinds for field in fields(kind)}
    models: tuple[type[BaseModel], ...] = (*MODELS, SimulatedTemplate, MachineType)
    models += (conformance.Settings, conformance.Hooks, conformance.Limits)
    assert named
    assert named <= written | settings | {key for kind in models for key in model_defaults(kind)}


def template_attributes_read() -> set[str]:
    """What the AWS provider reads of a template, by the names it gives one."""
    return {
        node.attr
        for path in PACKAGE
        if path.is_relative_to(ROOT / "hfplugin/providers/aws")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in ("template", "extension") or (node.value.id == "self" and path.stem == "template")
    }


def test_the_template_keys_said_to_have_no_effect_are_those_that_nothing_reads() -> None:
    read = template_attributes_read()
    idle = {field.alias or name for name, field in AWSTemplate.model_fields.items() if name not in read}
    assert set(keys("Accepted without effect")) == idle


# What an operator reads.


def strings(path: Path) -> Iterator[str]:
    """Every text of a module; of an f-string, its constant parts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def said() -> list[str]:
    return [text for path in PACKAGE for text in strings(path)] + [path.read_text() for path in SCRIPTS]


@pytest.mark.parametrize("message", keys("Messages"))
def test_every_message_that_the_readme_explains_is_in_the_code(message: str) -> None:
    parts = [part for part in re.split(r"<[^>]*>", message) if part.strip(" :;,()?")]
    assert parts
    texts = said()
    lost = [part for part in parts if not any(part in text or part.rstrip("?") in text for text in texts)]
    assert not lost


def logged(*levels: str) -> set[str]:
    """The events that the package writes at these levels."""
    return {
        first.value
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "log"
        for first in node.args[:1]
        if isinstance(first, ast.Constant) and isinstance(first.value, str)
    }


def explained(*levels: str) -> set[str]:
    rows = first_table("Log events")
    return {name for row in rows if any(level in row[1] for level in levels) for name in spans(row[0])}


def test_every_log_event_that_the_readme_explains_is_written() -> None:
    assert explained("") <= set(said())


def test_every_event_that_is_a_warning_or_worse_is_explained() -> None:
    assert logged("warning") <= explained("warning")
    assert logged("error", "exception") <= explained("error")


def test_the_state_that_the_readme_names_is_what_the_code_keeps() -> None:
    texts = {part for text in said() for part in text.split("/")}
    named = [spans(row[0])[0] for row in first_table("State and logs")]
    kept = [path.rstrip("/").split("/") for path in named if path[0] not in "*."]
    assert kept
    assert not [part for path in kept for part in path if part not in texts]


# The changelog.


def test_the_changelog_keeps_what_is_unreleased_first() -> None:
    assert re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)[0] == "[Unreleased]"


def test_the_changelog_says_what_was_added() -> None:
    unreleased = CHANGELOG.partition("## [Unreleased]")[2].partition("\n## ")[0]
    assert re.findall(r"^- \S", unreleased.partition("### Added")[2], re.MULTILINE)


@pytest.mark.parametrize("heading", re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
def test_the_changelogs_headings_are_those_of_keep_a_changelog(heading: str) -> None:
    assert heading in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
