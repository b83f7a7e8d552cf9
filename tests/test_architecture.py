"""The arrows between the parts, by their imports; what is written once, or nowhere; where things lie."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hfplugin"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# What whoever works on records with a provider may import.
CORE = {"site", "store", "model", "clock", "logs", "providers.base"}

# What each part may import of the others, beside itself and what every part may: `errors`, `providers` (names of
# the built-in ones) and the package's version. Longest prefix counts. Nothing imports back up this list.
ARROWS = {
    "__main__": {"hostfactory", "cli"},
    "cli": CORE
    | {
        "hostfactory",
        "housekeeping",
        "recovery",
        "roster",
        "task",
        "locks",
        "codec",
        "environment",
        "compiler",
        "catalog",
        "config",
        "spending",
        "files",
        "wording",
        "metrics",
        "emulator",
        "conformance",
    },
    "hostfactory": CORE
    | {"environment", "broker", "housekeeping", "marks", "catalog", "wording", "document", "metrics"},
    "broker": CORE
    | {
        "reclaims",
        "spending",
        "fulfilment",
        "returns",
        "recovery",
        "sources",
        "look",
        "marks",
        "locks",
        "wording",
    },
    "reclaims": CORE | {"returns", "roster", "sources", "look", "metrics.tally", "marks", "locks", "wording"},
    "roster": {"marks", "store", "model", "wording", "logs"},
    "spending": {"site", "store", "model", "wording", "clock", "providers.base"},
    "brake": {"files", "locks", "wording", "clock", "logs"},
    "launching": CORE | {"brake", "spending", "sources", "metrics.tally"},
    "fulfilment": CORE | {"launching", "sources", "wording"},
    "housekeeping": CORE
    | {
        "fulfilment",
        "returns",
        "recovery",
        "sources",
        "strays",
        "task",
        "look",
        "marks",
        "metrics.tally",
        "locks",
        "wording",
    },
    "strays": CORE | {"recovery", "sources", "task", "look", "locks", "wording"},
    "recovery": CORE | {"locks"},
    "look": {"site", "model", "logs", "providers.base"},
    "marks": {"files"},
    "task": set(),
    "returns": CORE | {"recovery", "sources", "marks", "metrics.tally", "wording"},
    "sources": CORE | {"metrics.tally", "locks"},
    "metrics": {"files", "locks", "store", "model", "providers.base"},
    "metrics.tally": set(),
    "site": {"catalog", "logs", "providers.base"},
    "compiler": {"catalog", "templates", "faults", "document", "environment", "config", "model", "providers.base"},
    "templates": {"faults", "document", "config", "model", "providers.base"},
    "catalog": {"compiler", "files", "config", "model", "logs", "providers.base"},
    "store": {"brake", "codec", "files", "locks", "marks", "model"},
    "codec": {"model"},
    "emulator": set(),
    "conformance": set(),
    "providers.aws": {"providers.base", "metrics.tally", "files", "model", "config", "logs"},
    "providers.simulated": {"providers.base", "files", "locks", "clock", "model", "config"},
    "providers.simulated.__main__": {"providers.simulated", "environment", "catalog", "compiler", "clock"},
    "providers.base.contract": {"providers.base", "model"},
    "providers.base": {"files", "locks", "clock", "logs", "model"},
    "wording": {"model"},
    "faults": set(),
    "document": set(),
    "config": set(),
    "model": set(),
    "locks": {"files"},
    "files": set(),
    "clock": set(),
    "environment": set(),
    "logs": set(),
    "errors": set(),
    "providers": set(),
}
ANYBODY_MAY = {"", "errors", "providers"}

# Who may speak to AWS.
AWS_LIBRARIES = {"boto3", "botocore", "s3transfer", "mypy_boto3_ec2", "moto"}

# A runtime dependency and the parts that may import it.
DEPENDENCIES = {
    "annotated_types": {"config", "providers.aws", "providers.simulated"},
    "boto3": {"providers.aws"},
    "botocore": {"providers.aws"},
    "click": {"cli"},
    "moto": {"emulator"},
    "pydantic": {
        "compiler",
        "templates",
        "faults",
        "providers.aws",
        "providers.simulated",
        "emulator",
        "conformance",
    },
    "pytest": {"providers.base.contract"},
    "rich": {"cli"},
    "structlog": {"logs"},
    "tenacity": {"providers.aws", "providers.base"},
    "werkzeug": {"emulator"},  # moto brings it
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    """Give a file's module name below the package: `providers.aws.client`, empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def part(module: str) -> str:
    """Give the part of hfplugin that a module belongs to: the longest name that the arrows know."""
    known = [known for known in ARROWS if module == known or module.startswith(f"{known}.")]
    return max(known, key=len, default="")


MODULES = {name(path) for path in SOURCES}


def imports(node: ast.AST) -> Iterator[str]:
    """Give every module that is imported when the code runs, also inside functions: not for type checks alone."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for other in child.orelse:
                    yield from imports(other)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                below = [f"{module}.{alias.name}" for alias in names]
                yield from (one if one.removeprefix("hfplugin.") in MODULES else module for one in below)
            case _:
                yield from imports(child)


def own(path: Path) -> set[str]:
    """Give the modules of hfplugin that a file imports."""
    return {
        module.removeprefix("hfplugin").lstrip(".")
        for module in imports(tree(path))
        if module.partition(".")[0] == "hfplugin"
    }


def foreign(path: Path) -> set[str]:
    """Give the top-level names of what a file imports from elsewhere."""
    return {module.partition(".")[0] for module in imports(tree(path))} - {"hfplugin"} - sys.stdlib_module_names


def ids(path: Path) -> str:
    return name(path) or "the package"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_imports_follow_the_arrows(path: Path) -> None:
    here = part(name(path))
    allowed = ARROWS.get(here, set()) | ANYBODY_MAY | {here}
    assert {module for module in own(path) if (part(module) or module) not in allowed} == set()


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_a_dependency_is_imported_where_it_belongs(path: Path) -> None:
    here = part(name(path))
    emulates = name(path).startswith("emulator")
    allowed = {library for library, parts in DEPENDENCIES.items() if here in parts}
    if here == "providers.aws" or emulates:
        allowed |= AWS_LIBRARIES
    assert foreign(path) <= allowed


def test_the_arrows_never_lead_back() -> None:
    # The catalog compiles when a file has changed; that is the one circle, and it is imported when it is needed.
    arrows = {source: targets - {"compiler"} for source, targets in ARROWS.items()}
    while arrows:
        ends = {source for source, targets in arrows.items() if not targets & arrows.keys()}
        assert ends, f"a circle among {sorted(arrows)}"
        arrows = {source: targets for source, targets in arrows.items() if source not in ends}


def test_every_part_that_the_arrows_name_exists() -> None:
    assert {known for known in ARROWS if not any(part(module) == known for module in MODULES)} == set()


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_nothing_outside_of_it_knows_the_aws_provider(path: Path) -> None:
    if part(name(path)) == "providers.aws":
        return
    assert {module for module in own(path) if module.startswith("providers.aws")} == set()
    words = {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and node.value == "aws"}
    assert words == set() or name(path) == "providers"


def handlers(path: Path) -> Iterator[ast.ExceptHandler]:
    """Give what catches everything: `except:`, `except Exception`, `except BaseException`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or (isinstance(kind, ast.Name) and kind.id in CATCH_ALL) for kind in kinds):
                yield node


CATCH_ALL = {"Exception", "BaseException"}


def test_everything_is_caught_once_at_the_edge() -> None:
    catchers = [name(path) for path in SOURCES for handler in handlers(path) if not reraises(handler)]
    assert catchers == [
        "emulator.front",
        "hostfactory.verbs",  # a verb has two ends: its answer, and what it does after that
        "hostfactory.verbs",
        "providers.base.boundary",  # a provider's code may be anybody's
        "providers.base.contract.bench",
        "providers.base.third_party",
    ]


def reraises(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None


def test_nothing_prints() -> None:
    printers = {
        name(path)
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printers == {"emulator.__main__"}


def test_only_the_edge_reads_the_environment_and_the_standard_streams() -> None:
    readers = {
        f"{name(path)}: {node.value.id}.{node.attr}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if (node.value.id, node.attr) in {("os", "environ"), ("sys", "stdin"), ("sys", "stdout"), ("sys", "argv")}
    }
    assert readers <= {
        "__main__: os.environ",
        "__main__: sys.argv",
        "cli.commands: os.environ",
        "cli.repairs: os.environ",
        "emulator.__main__: os.environ",  # moto's own settings
        "emulator.__main__: sys.argv",
        "emulator.__main__: sys.stdin",
        "hostfactory.verbs: sys.stdin",
        "providers.aws.client: os.environ",  # the standard AWS variables
        "providers.simulated.__main__: os.environ",
        "providers.simulated.__main__: sys.argv",
        "providers.simulated.__main__: sys.stdout",
    }


def test_the_top_level_holds_what_the_layout_names() -> None:
    kept = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "scripts", "config", "tests", "hfplugin"}
    made = {"build", "dist", "__pycache__"}
    found = {entry.name for entry in os.scandir(ROOT) if not entry.name.startswith(".")}
    assert {entry for entry in found if not entry.endswith(".egg-info")} - made <= kept
    assert {"README.md", "LICENSE", "pyproject.toml", "scripts", "tests", "hfplugin"} <= found


def test_the_package_has_the_folders_that_the_layout_names() -> None:
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in SOURCES if path.parent != PACKAGE}
    assert folders <= {"hostfactory", "cli", "model", "providers", "emulator", "conformance", "metrics"}


@pytest.mark.parametrize(
    "verb",
    [
        "getAvailableTemplates",
        "requestMachines",
        "requestReturnMachines",
        "getRequestStatus",
        "getReturnRequests",
    ],
)
def test_a_verb_has_a_script_that_can_be_run(verb: str) -> None:
    assert os.access(ROOT / "scripts" / f"{verb}.sh", os.X_OK)
