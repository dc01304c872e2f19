"""The JSON Schema that editors use accepts what Wherry reads and says what is wrong with the rest."""

import re

import pytest
from conftest import ROOT

jsonschema = pytest.importorskip("jsonschema")
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def validator(run):
    result = run("ops", "--schema")
    assert result.code == 0, result.err
    jsonschema.Draft202012Validator.check_schema(result.json)
    return jsonschema.Draft202012Validator(result.json)


def as_json(value):
    """YAML's keys may be numbers; JSON's are words."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


def faults(validator, text):
    return [error.message for error in validator.iter_errors(as_json(yaml.safe_load(text)))]


@pytest.mark.parametrize("file", sorted([*ROOT.glob("models/*.yaml"), *ROOT.glob("library/*.yaml")]), ids=lambda file: file.stem)
def test_accepts_what_comes_with_wherry(validator, file):
    assert faults(validator, file.read_text()) == []


def test_accepts_the_specifications_models(validator):
    models = re.findall(r"^```yaml model\n(.*?)^```", (ROOT / "docs/format.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(models) > 5
    for text in models:
        assert faults(validator, text) == []


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("{op: conv9d}", "'conv9d' is not one of"),
        ("{op: conv2d, in: 3, out: 8}", "'kernel_size' is a required property"),
        ("{op: conv2d, in: 3, out: 8, kernel_size: 3, strde: 2}", "'strde' was unexpected"),
        ("{op: conv2d, in: 3.5, out: 8, kernel_size: 3}", "3.5 is not valid under any of the given schemas"),
        (
            "{op: conv2d, in: 3, out: 8, kernel_size: 3, padding: smae}",
            "'smae' is not valid under any of the given schemas",
        ),
        ("{op: relu, block: B}", "is valid under each of"),
        ("{}", "is not valid under any of the given schemas"),
    ],
)
def test_says_what_is_wrong(validator, layer, message):
    text = f'{{wherry: 1, model: {{inputs: {{x: "float32[1, 3, 8, 8]"}}, layers: {{a: {layer}}}}}}}'
    assert any(message in fault for fault in faults(validator, text)), faults(validator, text)
