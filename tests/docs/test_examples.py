"""Every example of the documentation runs as it is printed, against a development broker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flumebeam.broker import DevelopmentBroker
from flumebeam.cli.main import app
from flumebeam.pipelines import registry
from flumebeam.testing import running_broker
from flumebeam.transforms.runner_settings import FlinkSettings
from tests.integration.broker.certificates import Authority
from tests.integration.client.test_secure import TokenServer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
]

YAML = [
    pytest.param(block, id=f"yaml-{number}")
    for number, block in enumerate(
        re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "yaml.md").read_text(encoding="utf-8"), re.M | re.S)
    )
]


@pytest.fixture(scope="module")
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as broker:
        broker.create_queue("logs", subscriptions=["logs/>"])
        yield broker


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What stands for hosts and files that nobody who runs the tests has: a broker with TLS, a token server, files."""
    directory = tmp_path_factory.mktemp("secure")
    authority, tokens = Authority(directory), TokenServer()
    certificate, key = authority.issue("server")
    token, secret = directory / "token", directory / "secret"
    token.write_text("from the file\n")
    secret.write_text("geheim\n")

    def username(given: str) -> str | None:
        return "default" if given == "from the file" or tokens.username(given) else None

    with running_broker(tls_port=0, tls_certificate=certificate, tls_key=key, oauth_username=username) as broker:
        broker.create_queue("logs", subscriptions=["logs/>"])
        broker.create_vpn("logs", {"default": None})
        yield {
            "tcps://first.example:55443,tcps://second.example:55443": broker.tls_url,
            "https://login.example/token": tokens.url,
            'client_id="ingest"': 'client_id="me"',
            "/run/secrets/token": str(token),
            "/run/secrets/ingest": str(secret),
            "/etc/ssl/company.pem": authority.certificate,
        }
    tokens.close()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_it_is_printed(
    example: str, broker: DevelopmentBroker, places: dict[str, str], tmp_path: Path
) -> None:
    # The only change: nobody who runs the tests has hosts and files of those names.
    program = example
    for printed, real in {"hdfs://namenode/logs": str(tmp_path), **places}.items():
        program = program.replace(printed, real)
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "SOLACE_HOST": broker.url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("example", YAML)
def test_a_yaml_pipeline_runs_as_it_is_printed(example: str, broker: DevelopmentBroker, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(example, encoding="utf-8")
    (tmp_path / "a.log").write_text("INFO one\n", encoding="utf-8")

    run = subprocess.run(
        [sys.executable, "-m", "flumebeam", "yaml", "pipeline.yaml"],
        cwd=tmp_path,
        env={**os.environ, "SOLACE_HOST": broker.url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr


def test_the_java_program_of_the_page_is_the_one_that_is_tested() -> None:
    program = (ROOT / "tests" / "foreign" / "programs" / "ReadPacks.java").read_text(encoding="utf-8")

    assert f"```java\n{program}```" in (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def test_every_option_of_the_pages_exists() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    commands = [[command.name] for command in app.registered_commands if command.name != "run"]
    commands += [
        ["hdfs", "start"],
        ["hdfs", "ddl"],
        ["commits", "show"],
        ["commits", "repair"],
        ["cluster", "flink"],
        ["cluster", "spark"],
    ]
    shown = "".join(CliRunner().invoke(app, [*command, "--help"]).output for command in commands)
    shown += "".join(f"--{name} " for name in FlinkSettings([]).get_all_options())
    programs = [["tests.bench"], ["tests.torture"], *(["flumebeam", "run", name] for name in registry.summaries())]
    for program in programs:
        helped = subprocess.run(
            [sys.executable, "-m", *program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        shown += helped.stdout
    mentioned = set(re.findall(r"(?<![\w-])(--[a-z][a-z_-]+)", text))

    assert {option for option in mentioned if not re.search(rf"{option}\b", shown)} <= {
        *("--help", "--version"),
        "--no-cache-dir",  # of pip, in a container file
    }


def test_every_command_is_told_of_in_the_readme_or_the_pages() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)

    names = [command.name for command in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        names += [
            f"{group.name} {command.name or command.callback.__name__}"
            for command in group.typer_instance.registered_commands
        ]

    for name in names:
        assert f"flumebeam {name}" in text or f"make {name}" in text


def test_every_pipeline_has_its_row() -> None:
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")

    assert [name for name in registry.summaries() if f"| `{name}` |" not in page] == []
