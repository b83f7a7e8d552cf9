"""The verb scripts, run as HostFactory runs them but beside a stand-in package: never hfplugin itself."""

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
VERBS = (
    "getAvailableTemplates",
    "requestMachines",
    "requestReturnMachines",
    "getRequestStatus",
    "getReturnRequests",
)
INSTALL = "python3 -m venv .venv && .venv/bin/pip install ."

ECHO = """
import json, sys
def main(argv):
    print(json.dumps({"argv": argv, "stdin": sys.stdin.read(), "root": sys.path[0]}))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A plug-in whose package echoes what it was given, with an interpreter of its own."""
    root = tmp_path / "a plug-in"
    shutil.copytree(SCRIPTS, root / "scripts")
    write_main(root, ECHO)
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    return root


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "hf in"
    file.write_text('{"from": "the file"}')
    return file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory


def write_main(root: Path, source: str) -> None:
    package = root / "hfplugin"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(source)


def write_program(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(source)
    path.chmod(0o755)
    return path


def write_interpreter(path: Path, prelude: str) -> Path:
    """An interpreter in which the prelude runs before the code that a script hands over."""
    command = f'exec {shlex.quote(sys.executable)} -I -c {shlex.quote(prelude)}"$3" "${{@:4}}"'
    return write_program(path, f"#!/bin/bash\n{command}\n")


def script(root: Path, verb: str = "requestMachines") -> Path:
    return root / "scripts" / f"{verb}.sh"


def run(
    *command: str | Path,
    cwd: Path | None = None,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run in an environment that holds a system's PATH and what is given, nothing else."""
    return subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        env={"PATH": "/usr/bin:/bin"} | dict(env or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def answer(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object of a call that succeeded, which left stderr empty."""
    assert (result.returncode, result.stderr) == (0, "")
    return object_in(result.stdout)


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The message of a call that failed as HostFactory expects it."""
    assert result.returncode == 1
    answered = object_in(result.stdout)
    assert answered.keys() == {"message"}
    message = answered["message"]
    assert isinstance(message, str)
    return message


def object_in(stdout: str) -> dict[str, Any]:
    parsed = json.loads(stdout)
    assert isinstance(parsed, dict)
    return parsed


@pytest.mark.parametrize("verb", VERBS)
def test_each_script_passes_its_verb_as_an_argument_and_the_file_on_stdin(
    root: Path, request_file: Path, verb: str
) -> None:
    assert answer(run(script(root, verb), "-f", request_file)) == {
        "argv": [verb],
        "stdin": '{"from": "the file"}',
        "root": str(root),
    }


def test_no_arguments_leave_the_callers_stdin_to_python(root: Path) -> None:
    answered = answer(run(script(root), stdin="{}"))
    assert (answered["argv"], answered["stdin"]) == (["requestMachines"], "{}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f"],
        ["-f", "missing.json"],
        ["-f", "a directory"],
        ["-f", "dangling"],
        ["-f", ""],
        ["-f", "readable.json", "--verbose"],
        ["--file", "readable.json"],
        ["readable.json"],
        ["--help"],
        ["a b", "*", ""],
    ],
    ids=" ".join,
)
def test_anything_but_one_readable_file_is_left_to_python(
    root: Path, elsewhere: Path, arguments: list[str]
) -> None:
    (elsewhere / "readable.json").write_text("from the file")
    (elsewhere / "a directory").mkdir()
    (elsewhere / "dangling").symlink_to("nothing")
    answered = answer(run(script(root), *arguments, cwd=elsewhere, stdin="from the caller"))
    assert (answered["argv"], answered["stdin"]) == (["requestMachines", *arguments], "from the caller")


def test_a_file_without_read_permission_is_left_to_python(root: Path, request_file: Path) -> None:
    request_file.chmod(0)
    if os.access(request_file, os.R_OK):
        pytest.skip("this user may read every file")
    answered = answer(run(script(root), "-f", request_file))
    assert answered["argv"] == ["requestMachines", "-f", str(request_file)]


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_exit_status_is_that_of_main(root: Path, status: int) -> None:
    write_main(root, f"def main(argv): return {status}")
    assert run(script(root)).returncode == status


def test_relative_paths_start_at_the_callers_directory(root: Path, elsewhere: Path) -> None:
    (elsewhere / "in.json").write_text("{}")
    answered = answer(run("../a plug-in/scripts/requestMachines.sh", "-f", "in.json", cwd=elsewhere))
    assert answered == {"argv": ["requestMachines"], "stdin": "{}", "root": str(root)}


def test_python_keeps_the_callers_directory(root: Path, elsewhere: Path) -> None:
    write_main(root, "import os\ndef main(argv): print(os.getcwd())")
    assert run(script(root), cwd=elsewhere).stdout == f"{elsewhere}\n"


def test_a_directory_that_is_gone_can_be_called_from(root: Path, elsewhere: Path) -> None:
    leave_nothing = 'cd "$1" && rmdir "$1" && exec "$2"'
    result = run("bash", "-c", leave_nothing, "bash", elsewhere, script(root))
    assert object_in(result.stdout)["root"] == str(root)


def test_bash_runs_it_by_its_bare_name_in_its_own_directory(root: Path) -> None:
    answered = answer(run("bash", "getAvailableTemplates.sh", cwd=root / "scripts"))
    assert (answered["argv"], answered["root"]) == (["getAvailableTemplates"], str(root))


def test_cdpath_leads_nowhere_else(root: Path, elsewhere: Path) -> None:
    (elsewhere / "scripts").mkdir()
    answered = answer(run("scripts/requestMachines.sh", cwd=root, env={"CDPATH": str(elsewhere)}))
    assert answered["root"] == str(root)


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_a_home_that_is_unset_or_missing_does_not_matter(root: Path, home: str | None) -> None:
    environment = {} if home is None else {"HOME": home}
    assert answer(run(script(root), env=environment))["argv"] == ["requestMachines"]


def test_an_unwritable_home_stays_empty(root: Path, elsewhere: Path) -> None:
    elsewhere.chmod(0o500)
    answer(run(script(root), env={"HOME": str(elsewhere)}))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["requestMachines.sh", "another-name", "getRequestStatus.sh"])
def test_a_link_with_any_name_runs_the_verb_of_the_script_it_leads_to(
    root: Path, elsewhere: Path, name: str
) -> None:
    link = elsewhere / name
    link.symlink_to(script(root))
    answered = answer(run(link))
    assert (answered["argv"], answered["root"]) == (["requestMachines"], str(root))


def test_a_chain_of_relative_links_leads_to_the_plugin(root: Path, elsewhere: Path) -> None:
    (elsewhere / "first").symlink_to("deeper/second")
    (elsewhere / "deeper").mkdir()
    (elsewhere / "deeper/second").symlink_to("../../a plug-in/scripts/requestMachines.sh")
    assert answer(run("./first", cwd=elsewhere))["root"] == str(root)
    assert answer(run("bash", "first", cwd=elsewhere))["root"] == str(root)


@pytest.mark.parametrize("target", ["a plug-in", "a plug-in/scripts"])
def test_the_root_is_the_real_directory_when_a_directory_is_a_link(
    root: Path, tmp_path: Path, target: str
) -> None:
    link = tmp_path / "current"
    link.symlink_to(target)
    found = link / script(root).relative_to(tmp_path / target)
    assert answer(run(found))["root"] == str(root)
    assert answer(run("bash", found.name, cwd=found.parent))["root"] == str(root)


def interpreters(root: Path, directory: Path) -> dict[str, str]:
    """The environment of a plug-in that finds three interpreters, each of which prints its name."""
    write_program(root / ".venv/bin/python", "#!/bin/sh\necho .venv\n")
    write_program(directory / "python3", "#!/bin/sh\necho PATH\n")
    variable = write_program(directory / "my python", "#!/bin/sh\necho HFPLUGIN_PYTHON\n")
    return {"HFPLUGIN_PYTHON": str(variable), "PATH": str(directory)}


def test_hfplugin_python_comes_first(root: Path, elsewhere: Path) -> None:
    assert run(script(root), env=interpreters(root, elsewhere)).stdout == "HFPLUGIN_PYTHON\n"


@pytest.mark.parametrize("variable", [{}, {"HFPLUGIN_PYTHON": ""}], ids=["unset", "empty"])
def test_the_plugins_venv_comes_second(root: Path, elsewhere: Path, variable: dict[str, str]) -> None:
    path = interpreters(root, elsewhere)["PATH"]
    assert run(script(root), env={"PATH": path} | variable).stdout == ".venv\n"


def test_python3_on_the_path_comes_last(root: Path, elsewhere: Path) -> None:
    path = interpreters(root, elsewhere)["PATH"]
    shutil.rmtree(root / ".venv")
    assert run(script(root), env={"PATH": path}).stdout == "PATH\n"


def test_an_environment_whose_python_was_removed_is_passed_over(root: Path, elsewhere: Path) -> None:
    path = interpreters(root, elsewhere)["PATH"]
    (root / ".venv/bin/python").unlink()
    (root / ".venv/bin/python").symlink_to("/nonexistent/python3")
    assert run(script(root), env={"PATH": path}).stdout == "PATH\n"


@pytest.mark.parametrize("wrong", ["missing", "a directory", "not executable", 'a "quoted\\\n" name'])
def test_a_wrong_hfplugin_python_is_an_error(root: Path, elsewhere: Path, wrong: str) -> None:
    (elsewhere / "a directory").mkdir()
    (elsewhere / "not executable").touch()
    message = refusal(run(script(root), env={"HFPLUGIN_PYTHON": str(elsewhere / wrong)}))
    assert message.startswith(f"HFPLUGIN_PYTHON is '{elsewhere}/")
    assert "set it to a Python 3.11 or newer, or unset it" in message


def test_no_interpreter_at_all_is_answered_with_the_remedy(root: Path, elsewhere: Path) -> None:
    shutil.rmtree(root / ".venv")
    message = refusal(run(script(root), env={"PATH": str(elsewhere)}))
    assert message.startswith("no .venv in the plug-in and no python3 on PATH; ")
    assert f"run in {root}, with Python 3.11 or newer: {INSTALL}" in message


def test_an_interpreter_that_does_not_start_is_answered_with_the_remedy(root: Path) -> None:
    python = write_program(root / ".venv/bin/python", "#!/nonexistent/python3\n")
    message = refusal(run(script(root)))
    assert message.startswith(f"{python} does not start; ")
    assert INSTALL in message


def test_an_interpreter_that_is_too_old_is_answered_with_the_remedy(root: Path) -> None:
    write_interpreter(root / ".venv/bin/python", "import sys; sys.version_info = (3, 10, 19, 'final', 0)")
    message = refusal(run(script(root)))
    assert "cannot run hfplugin: Python 3.10 is too old; " in message
    assert f"run in {root}, with Python 3.11 or newer: {INSTALL}" in message


def test_the_code_handed_over_parses_on_the_oldest_python_3_there_may_be(root: Path) -> None:
    write_program(root / ".venv/bin/python", '#!/bin/sh\nprintf %s "$3"\n')
    handed_over = run(script(root)).stdout
    assert "hfplugin.__main__" in handed_over
    ast.parse(handed_over, feature_version=(3, 4))


def test_a_package_that_cannot_be_imported_is_named_with_the_remedy(root: Path) -> None:
    write_main(root, "import a_package_that_is_not_there")
    message = refusal(run(script(root)))
    assert "cannot run hfplugin: No module named 'a_package_that_is_not_there'; " in message
    assert f"run in {root}, with Python 3.11 or newer: {INSTALL}" in message


def test_the_tree_beside_the_scripts_wins_over_an_installed_one(root: Path, elsewhere: Path) -> None:
    write_main(elsewhere, "def main(argv): print('installed')")
    write_interpreter(root / ".venv/bin/python", f"import sys; sys.path.insert(0, {str(elsewhere)!r})")
    assert answer(run(script(root)))["root"] == str(root)


def test_an_installed_package_serves_when_the_tree_is_not_there(root: Path, elsewhere: Path) -> None:
    write_main(elsewhere, "def main(argv): print('installed')")
    shutil.rmtree(root / "hfplugin")
    write_interpreter(root / ".venv/bin/python", f"import sys; sys.path.insert(0, {str(elsewhere)!r})")
    assert run(script(root)).stdout == "installed\n"


def test_nothing_is_imported_from_pythonpath_or_the_working_directory(root: Path, elsewhere: Path) -> None:
    (elsewhere / "json.py").write_text("raise SystemExit('not mine')")
    answered = answer(run(script(root), cwd=elsewhere, env={"PYTHONPATH": str(elsewhere)}))
    assert answered["argv"] == ["requestMachines"]


def test_a_call_by_its_real_path_needs_no_other_program(root: Path, request_file: Path) -> None:
    answered = answer(run(script(root), "-f", request_file, env={"PATH": "/nonexistent"}))
    assert answered["argv"] == ["requestMachines"]


def test_a_call_imports_nothing_but_the_plugin(root: Path) -> None:
    list_modules = "print(*sys.modules, sep='\\n')"
    bare = run(root / ".venv/bin/python", "-I", "-c", f"import sys; {list_modules}").stdout.split()
    write_main(root, f"import sys\ndef main(argv): {list_modules}")
    assert set(run(script(root)).stdout.split()) - set(bare) == {"hfplugin", "hfplugin.__main__"}
