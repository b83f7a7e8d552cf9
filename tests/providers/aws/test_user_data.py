"""User data: the script, and the variables that it exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_ec2 import IMAGE

from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws import user_data
from hfplugin.providers.aws.template import AWSTemplate


def composed(**keys: Any) -> str:
    return user_data.compose(AWSTemplate.model_validate({"imageId": IMAGE, "vmType": "m5.large", **keys}))


def test_variables_are_exported_after_the_first_line() -> None:
    found = composed(userDataScript="#!/bin/bash\necho $zone\n", userData="zone=us east;pricing=spot;")
    assert found == "#!/bin/bash\nexport zone='us east'\nexport pricing=spot\necho $zone\n"


def test_variables_are_exported_where_a_script_of_lsf_has_their_place(tmp_path: Path) -> None:
    script = tmp_path / "user_data.sh"
    script.write_text("#!/bin/sh\nlog\n%EXPORT_USER_DATA%\nstart\n")
    found = composed(userDataScript=str(script), userData="a=1;b=2")
    assert found == "#!/bin/sh\nlog\nexport a=1\nexport b=2\nstart\n"
    assert composed(userDataScript=str(script)) == "#!/bin/sh\nlog\n\nstart\n"


@pytest.mark.parametrize("value", ["$(reboot)", "`reboot`", "a'b", 'a"b', "a b", "a&b"])
def test_a_value_is_never_run(value: str) -> None:
    import subprocess

    script = composed(userDataScript='#!/bin/sh\nprintf %s "$x"\n', userData=f"x={value}")
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


@pytest.mark.parametrize("text", ["zone=a;b=c", "plain text", '{"json": true}'])
def test_without_a_script_the_text_is_the_user_data(text: str) -> None:
    assert composed(userData=text) == text


def test_an_inline_script_is_no_path() -> None:
    assert composed(userDataScript="#!/bin/sh\necho\n") == "#!/bin/sh\necho\n"


@pytest.mark.parametrize("first", ["#cloud-config\n", "#!/usr/bin/python3\n", "<powershell>\n"])
def test_variables_have_no_place_in_what_is_no_shell_script(first: str) -> None:
    with pytest.raises(ConfigurationError, match="does not begin as a shell script"):
        composed(userDataScript=first, userData="a=1")


@pytest.mark.parametrize("first", ["#!/bin/sh", "#!/bin/bash -x", "#!/usr/bin/env bash", "#! /bin/ksh"])
def test_a_shell_is_known_by_the_first_line(first: str) -> None:
    assert composed(userDataScript=f"{first}\n", userData="a=1") == f"{first}\nexport a=1\n"


def test_text_beside_a_script_is_a_fault_of_the_template() -> None:
    with pytest.raises(ValueError, match="userData beside userDataScript has to be variables"):
        composed(userDataScript="#!/bin/sh\n", userData="some text")


def test_the_limit_counts_the_variables_too() -> None:
    with pytest.raises(ConfigurationError, match="larger than EC2's limit of 16384 bytes"):
        composed(userDataScript="#!/bin/sh\n" + "#" * 16370, userData="a=1")
