"""The plugin PowerSchool installs: valid by the published rules, plugin.xml at the root of the zip."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from sds_daemon.errors import ConfigurationError
from sds_daemon.sources.powerschool import plugin

NAMESPACE = "{http://plugin.powerschool.pearson.com}"


@pytest.fixture
def manifest() -> ElementTree.Element:
    return ElementTree.parse(plugin.plugin_folder() / "plugin.xml").getroot()


def test_the_manifest_keeps_the_rules(manifest: ElementTree.Element) -> None:
    assert manifest.tag == f"{NAMESPACE}plugin"
    assert 1 <= len(manifest.get("name", "")) <= 40
    assert 1 <= len(manifest.get("version", "")) <= 20
    assert len(manifest.get("description", "")) <= 256
    tags = [child.tag for child in manifest]
    assert len(tags) == len(set(tags))
    assert set(tags) <= {f"{NAMESPACE}{name}" for name in ("oauth", "access_request", "links", "publisher")}


def test_the_manifest_asks_for_credentials_and_v1_reading_and_no_more(manifest: ElementTree.Element) -> None:
    oauth = manifest.find(f"{NAMESPACE}oauth")
    assert oauth is not None
    assert oauth.attrib == {"accessLevelV1Api": "READ"}
    assert not [field for field in manifest.iter(f"{NAMESPACE}field") if field.get("access") != "ViewOnly"]


def test_the_publisher_can_be_written_to(manifest: ElementTree.Element) -> None:
    publisher = manifest.find(f"{NAMESPACE}publisher")
    assert publisher is not None
    assert 1 <= len(publisher.get("name", "")) <= 100
    contact = publisher.find(f"{NAMESPACE}contact")
    assert contact is not None
    assert 1 <= len(contact.get("email", "")) <= 40


def test_the_zip_has_the_manifest_at_its_root_and_is_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    plugin.build_zip(first)
    plugin.build_zip(second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as package:
        assert package.testzip() is None
        assert "plugin.xml" in package.namelist()
        assert not [name for name in package.namelist() if name.startswith((".", "/", "plugin/"))]
        assert package.read("plugin.xml") == (plugin.plugin_folder() / "plugin.xml").read_bytes()


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        plugin.build_zip(tmp_path / "no" / "folder.zip")


def test_a_damaged_installation_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sds_daemon.__file__", str(tmp_path / "x" / "__init__.py"))
    with pytest.raises(ConfigurationError, match=r"plugin\.xml is missing"):
        plugin.build_zip(tmp_path / "a.zip")
