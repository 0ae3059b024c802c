"""The files beside the package say what pyproject.toml says: versions, requirements, Pythons."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import skdnn

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ADDRESS = PROJECT["urls"]["Homepage"]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def lower_bounds(requirements):
    return {r.name: str(r.specifier) for r in map(Requirement, requirements)}


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load(read("CITATION.cff"))
    said = [citation[key] for key in ("title", "version", "license", "abstract")]
    assert said == [
        PROJECT["name"],
        skdnn.__version__,
        PROJECT["license"],
        PROJECT["description"] + ".",
    ]


def test_the_citation_names_the_paper():
    (paper,) = yaml.safe_load(read("CITATION.cff"))["references"]
    assert paper["title"] == "Gradients in a deep neural network and their Python implementations"


def test_the_recipe_is_of_this_version():
    recipe = yaml.safe_load(read("conda/recipe.yaml"))
    assert recipe["context"]["name"] == PROJECT["name"]
    assert recipe["context"]["version"] == skdnn.__version__


def test_the_recipe_describes_what_the_project_does():
    about = yaml.safe_load(read("conda/recipe.yaml"))["about"]
    assert about["summary"] == PROJECT["description"]
    assert about["license"] == PROJECT["license"]
    assert (ROOT / about["license_file"]).is_file()


def test_the_recipe_requires_what_the_project_requires():
    recipe = yaml.safe_load(read("conda/recipe.yaml"))
    _, *run = recipe["requirements"]["run"]
    assert lower_bounds(run) == lower_bounds(PROJECT["dependencies"])
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]


def test_the_pythons_that_are_tested_are_those_that_are_promised():
    tested = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]["tests"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert tested["strategy"]["matrix"]["python"] == promised


def test_the_hooks_hold_the_formatter_to_the_release_that_the_project_does():
    (pinned,) = (r for r in PROJECT["optional-dependencies"]["dev"] if r.startswith("ruff"))
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    (rev,) = (hook["rev"] for hook in hooks if "ruff" in hook["repo"])
    assert Requirement(pinned).specifier.contains(rev.removeprefix("v"))
    assert f">={rev.removeprefix('v')}" in pinned


@pytest.mark.parametrize("path", ["pyproject.toml", "docs/conf.py"])
def test_the_address_stands_in_one_place(path):
    assert read(path).count(ADDRESS) == 1
    assert read(path).count("example.org") == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_what_its_schema_asks_for(path):
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
