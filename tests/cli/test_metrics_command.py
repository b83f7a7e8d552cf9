"""`hfplugin metrics`: on standard output, or as a file for a node exporter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from front_door import call, modules
from player import HostFactory
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance that was called once."""
    player = HostFactory(tmp_path / "site")
    player.configure({"providerType": "aws"})
    player.offer({"templateId": "small", "maxNumber": 5, "imageId": "ami-1", "vmType": "m5.large"})
    player.templates()
    return player


def calls(text: str) -> float:
    read: Iterable[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return sum(
        each.value for family in read for each in family.samples if each.name == "hfplugin_verb_calls_total"
    )


def test_metrics_are_printed_for_the_provider_instance(site: HostFactory) -> None:
    done = call("metrics", environment=site.environment)
    assert (done.status, done.stderr) == (0, "")
    assert calls(done.stdout) == 1
    assert 'provider="awsinst"' in done.stdout


def test_metrics_are_written_into_the_state(site: HostFactory) -> None:
    done = call("metrics", "--write", environment=site.environment)
    path = site.state / "metrics" / "hfplugin.prom"
    assert (done.status, done.stdout) == (0, f"Written: {path}\n")
    assert calls(path.read_text()) == 1


def test_metrics_are_written_into_a_file_that_everybody_can_read(site: HostFactory, tmp_path: Path) -> None:
    path = tmp_path / "collected" / "awsinst.prom"
    path.parent.mkdir()
    path.write_text("old")
    assert call("metrics", "--write", path, environment=site.environment).status == 0
    assert calls(path.read_text()) == 1
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_said(site: HostFactory, tmp_path: Path) -> None:
    done = call("metrics", "--write", tmp_path / "nowhere" / "x.prom", environment=site.environment)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith("hfplugin: cannot write ")


def test_without_a_state_nothing_is_made(tmp_path: Path) -> None:
    site = HostFactory(tmp_path)
    assert call("metrics", environment=site.environment).status == 0
    assert call("metrics", "--write", environment=site.environment).status == 1
    assert not site.state.exists()


def test_reading_metrics_loads_nothing_of_the_cloud(site: HostFactory) -> None:
    loaded = {module.partition(".")[0] for module in modules("metrics", environment=site.environment)}
    assert not loaded & {"boto3", "botocore", "pydantic", "moto", "rich"}
