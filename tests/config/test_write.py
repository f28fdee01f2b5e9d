"""What kiribi writes into jobs.toml is valid, and what stands there stays as it is."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kiribi_cli.config import write
from kiribi_cli.config.read import check, read
from kiribi_cli.core.params import filled_and_troubles
from kiribi_cli.errors import Code, KiribiError


@pytest.mark.parametrize("minimal", [True, False])
@pytest.mark.parametrize("zone", ["Europe/Berlin", None])
def test_the_starter_file_has_no_problems(tmp_path: Path, minimal: bool, zone: str | None) -> None:
    path = write.init(tmp_path, minimal=minimal, zone=zone)

    assert check(path, strict=True) == []
    assert "Hello" in read(path).definitions
    assert read(path).timezone == zone
    assert (tmp_path / ".kiribi" / ".gitignore").read_text() == "*\n"
    assert (tmp_path / ".kiribi").stat().st_mode & 0o777 == 0o700


def test_the_examples_in_the_starter_file_are_valid_too(tmp_path: Path) -> None:
    text = write.starter(zone="UTC")
    begin = text.index("# shell: values")
    examples = "\n".join(
        line.removeprefix("# ") for line in text[begin:].split("\n") if " = " in line or line.startswith("# [")
    )
    path = tmp_path / "jobs.toml"
    path.write_text(text[:begin] + examples)

    problems = [problem for problem in check(path) if not problem.here_only]
    assert problems == []
    assert {"Sync", "Mail"} <= set(read(path).definitions)


def test_init_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text("# mine")

    with pytest.raises(KiribiError) as refused:
        write.init(tmp_path, minimal=True, zone=None)
    assert refused.value.code is Code.CONFLICT
    assert (tmp_path / "jobs.toml").read_text() == "# mine"


@pytest.mark.parametrize("before", ["", "# no line end", "[jobs]\nA = 'true'\n", "[jobs.A]\r\nshell = 'true'\r\n"])
def test_a_definition_is_appended_and_every_byte_before_it_stays(jobs_toml: Path, before: str) -> None:
    jobs_toml.write_bytes(before.encode())
    table = {"command": ["echo", 'a"b', "{payload.x}"], "timeout": "5m", "tags": ["é"]}
    write.add_definition(read(jobs_toml), "New", table)

    assert jobs_toml.read_bytes().startswith(before.encode())
    added = read(jobs_toml).definitions["New"]
    assert (added.command, added.timeout_ms, added.tags) == (("echo", 'a"b', "{payload.x}"), 300_000, ("é",))


@pytest.mark.parametrize(
    ("name", "table", "code"),
    [
        ("A", {"command": ["true"]}, Code.CONFLICT),
        ("1x", {"command": ["true"]}, Code.USAGE),
        ("B", {"command": ["echo", "{env.X}"]}, Code.CONFIG),
        ("B", {"command": ["true"], "timeout": "soon"}, Code.CONFIG),
        ("B", {"command": [None]}, Code.USAGE),
    ],
)
def test_a_definition_that_would_not_be_valid_is_not_written(
    reading: Any, jobs_toml: Path, name: str, table: dict[str, Any], code: Code
) -> None:
    config = reading("[jobs]\nA = 'true'\n")

    with pytest.raises(KiribiError) as refused:
        write.add_definition(config, name, table)
    assert refused.value.code is code
    assert jobs_toml.read_text() == "[jobs]\nA = 'true'\n"


def test_a_file_changed_meanwhile_is_not_written(reading: Any, jobs_toml: Path) -> None:
    config = reading("[jobs]\nA = 'true'\n")
    jobs_toml.write_text("[jobs]\nA = 'true'\nNew = 'false'\n")

    with pytest.raises(KiribiError) as refused:
        write.add_definition(config, "New", {"command": ["true"]})
    assert refused.value.code is Code.CONFLICT


def test_jobs_that_stand_in_one_line_cannot_be_appended_to(reading: Any, jobs_toml: Path) -> None:
    config = reading("jobs = { A = 'true' }\n")

    with pytest.raises(KiribiError) as refused:
        write.add_definition(config, "New", {"command": ["true"]})
    assert refused.value.code is Code.CONFIG


def test_the_zone_of_the_machine_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "zoneinfo" / "Europe").mkdir(parents=True)
    (tmp_path / "zoneinfo" / "Europe" / "Berlin").touch()
    (tmp_path / "localtime").symlink_to(tmp_path / "zoneinfo" / "Europe" / "Berlin")

    assert write.machine_zone({}, tmp_path / "localtime") == "Europe/Berlin"
    assert write.machine_zone({"TZ": ":Asia/Tokyo"}, tmp_path / "localtime") == "Asia/Tokyo"
    assert write.machine_zone({"TZ": "CET-1CEST"}, tmp_path / "nowhere") is None


def test_the_schema_of_the_file_takes_what_is_valid_and_refuses_what_is_not() -> None:
    schema = write.file_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    json.dumps(schema)
    assert validator.is_valid(tomllib.loads(write.starter(zone="UTC")))
    for text in ("x = 1", "[jobs.A]\nretrys = 1", "[jobs.A]\ntimeout = 5", "[jobs.'1']", "[schedules.x]\njob = 'A'"):
        assert not validator.is_valid(tomllib.loads(text)), text


def test_the_schema_of_a_payload_says_the_same_as_its_params(reading: Any) -> None:
    definition = reading("""
        [jobs.A]
        command = ["true"]
        [jobs.A.params]
        user = "integer"
        name = { type = "string", min = 2, max = 3, pattern = "^[a-z]+$", required = false }
        mode = { type = "string", choices = ["fit", "fill"], default = "fit" }
        files = { type = "array", items = "string", min = 1, default = ["a"] }
    """).definitions["A"]
    validator = Draft202012Validator(write.payload_schema(definition))

    payloads: list[Any] = [
        {}, {"user": 1}, {"user": "1"}, {"user": 1, "x": 1}, {"user": 1, "name": "ab"}, {"user": 1, "name": "a"},
        {"user": 1, "name": "abcd"}, {"user": 1, "name": "AB"}, {"user": 1, "mode": "fit"}, {"user": 1, "mode": "x"},
        {"user": 1, "files": []}, {"user": 1, "files": ["a"]}, {"user": 1, "files": [1]}, {"user": None},
        {"user": 1, "name": None}, [],
    ]  # fmt: skip
    for value in payloads:
        assert validator.is_valid(value) == (not filled_and_troubles(definition.params, value)[1]), value
