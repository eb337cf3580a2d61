"""The models and clients that common generators make of our schemas compile, and have the types that we name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.contracts.models import published_models
from schemas.events import EVENTS
from tests.contract.guide import SCHEMAS
from tests.contract.installed import compiles_java, need, require, runs

GENERATORS = Path(__file__).parent / "generators"
OPENAPI = SCHEMAS / "openapi.json"
NAMES = sorted(published_models())
COMPONENTS = sorted(json.loads(OPENAPI.read_text(encoding="utf-8"))["components"]["schemas"])

_STEP_SECONDS = 300.0

slow = pytest.mark.slow
_SLOW_ONES = [pytest.param(f"json/{event.type}.json", marks=slow) for event in EVENTS]
pytestmark = pytest.mark.timeout(900)  # generators are installed, and compiled


def run(*command: str | Path, within: Path | None = None) -> str:
    """Run a generator or a compiler, and return its output."""
    run = subprocess.run(
        list(map(str, command)), cwd=within, capture_output=True, text=True, timeout=_STEP_SECONDS, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def copied(names: Sequence[str], folder: Path) -> Path:
    """Copy files of the generators to a folder of the test."""
    for name in names:
        shutil.copy(GENERATORS / name, folder)
    return folder


@pytest.fixture(scope="module", name="packages")
def _packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the generators of npm; return the folder of their programs."""
    require(lambda: runs("npm", "--version"), "Node with npm")
    folder = copied(["package.json", "package-lock.json"], tmp_path_factory.mktemp("generators"))
    run("npm", "ci", "--no-audit", "--no-fund", within=folder)
    return folder / "node_modules" / ".bin"


@pytest.mark.parametrize("name", [*_SLOW_ONES, "openapi.json"])
def test_datamodel_code_generator(name: str, tmp_path: Path) -> None:
    """Its pydantic models can be imported, and accept the contract's example."""
    kind = "openapi" if name == "openapi.json" else "jsonschema"
    made = tmp_path / "models.py"
    options: list[str | Path] = [
        "--formatters",
        "builtin",
        "--output-model-type",
        "pydantic_v2.BaseModel",
        "--output",
        made,
    ]
    run(
        Path(sys.executable).with_name("datamodel-codegen"),
        "--input",
        SCHEMAS / name,
        "--input-file-type",
        kind,
        *options,
    )

    asked = {event.model.__name__: event.example for event in EVENTS if kind == "openapi" or event.type in name}
    code = f"import models; [getattr(models, name)(**data) for name, data in {asked!r}.items()]; print(*dir(models))"
    found = run(sys.executable, "-W", "error", "-c", code, within=tmp_path)

    assert [] == [name for name in (COMPONENTS if kind == "openapi" else asked) if name not in found.split()]


@slow
def test_json_schema_to_typescript(packages: Path, tmp_path: Path) -> None:
    """Its types compile in strict mode."""
    for name in NAMES:
        run(packages / "json2ts", "-i", SCHEMAS / "json" / f"{name}.json", "-o", tmp_path / f"{name}.ts")

    run(packages / "tsc", "--noEmit", "--strict", *tmp_path.glob("*.ts"))


@slow
def test_openapi_typescript(packages: Path, tmp_path: Path) -> None:
    """Its types compile in strict mode, and it makes one of each component."""
    made = tmp_path / "openapi.ts"
    run(packages / "openapi-typescript", OPENAPI, "-o", made)

    run(packages / "tsc", "--noEmit", "--strict", made)

    schemas = made.read_text(encoding="utf-8").partition("\n    schemas: {")[2].partition("\n    };")[0]
    assert COMPONENTS == sorted(re.findall(r"^ {8}(\w+): \{", schemas, re.MULTILINE))


@slow
def test_quicktype_for_go(packages: Path, tmp_path: Path) -> None:
    """Its structs compile."""
    require(lambda: runs("go", "version"), "Go")
    (tmp_path / "go.mod").write_text("module models\n\ngo 1.22\n", encoding="utf-8")
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        made = ("-l", "go", "--package", "model", "-t", "Model", "-o", folder / "model.go")
        run(packages / "quicktype", "-s", "schema", SCHEMAS / "json" / f"{name}.json", *made)

    run("go", "vet", "./...", within=tmp_path)


@slow
def test_quicktype_for_java(packages: Path, tmp_path: Path) -> None:
    """Its classes compile."""
    need(compiles_java, "default-jdk-headless")
    for name in NAMES:
        folder = tmp_path / re.sub(r"\W", "_", name)
        folder.mkdir()
        made = ("-l", "java", "--just-types", "--package", folder.name, "-t", "Model", "-o", folder / "Model.java")
        run(packages / "quicktype", "-s", "schema", SCHEMAS / "json" / f"{name}.json", *made)

    run("javac", "-d", tmp_path / "classes", *tmp_path.rglob("*.java"))


@slow
def test_oapi_codegen(tmp_path: Path) -> None:
    """Its client compiles, and it makes one type of each component."""
    require(lambda: runs("go", "version"), "Go")
    copied(["go.mod", "go.sum"], tmp_path)
    made = tmp_path / "client.go"
    run(
        "go",
        "tool",
        "oapi-codegen",
        "-generate",
        "types,client",
        "-package",
        "client",
        "-o",
        made,
        OPENAPI,
        within=tmp_path,
    )

    run("go", "vet", "-mod=mod", ".", within=tmp_path)

    types = set(re.findall(r"^type (\w+) ", made.read_text(encoding="utf-8"), re.MULTILINE))
    assert [] == [name for name in COMPONENTS if name not in types]
