"""The schema's own text against the runtime's reader: every number that stands in the file is the public one."""

import inspect
import re
from pathlib import Path

import pytest

reader = pytest.importorskip("ai_edge_litert.schema_py_generated")

TEXT = (Path(__file__).parents[2] / "src/tflite_schema/schema.fbs").read_text()
PLAIN = re.sub(r"//.*|\(force_align: 16\)", "", TEXT)


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", name).lower().replace("options_2", "options2")


def enums():
    for kind in ("enum", "union"):
        for name, body in re.findall(kind + r" (\w+)[^{]*\{([^}]*)\}", PLAIN):
            yield name, {word: int(value) for word, value in re.findall(r"(\w+) = (\d+)", body)}


def tables():
    for name, body in re.findall(r"table (\w+) \{([^}]*)\}", PLAIN):
        yield name, [(field, kind) for field, kind in re.findall(r"(\w+): ([^;=(]+)", body)]


def numbered(fields):
    """Field numbers in order; a union takes two, its type's first."""
    unions = {name for name, _ in enums()} & set(re.findall(r"union (\w+)", PLAIN))
    number = 0
    for field, kind in fields:
        if kind.strip() in unions:
            yield field.replace("options_2", "options2") + "_type", number
            number += 1
        yield field.replace("options_2", "options2"), number
        number += 1


def their_fields(table):
    """Field number and default by name, as the reader's builder functions have them."""
    out = {}
    for name, function in inspect.getmembers(reader, inspect.isfunction):
        if not name.startswith(table + "Add"):
            continue
        slot = re.search(r"Slot\((\d+), .*, (\S+)\)", inspect.getsource(function))
        if slot:
            out[snake(name[len(table) + 3 :])] = (int(slot[1]), slot[2])
    return out


@pytest.mark.parametrize(("name", "ours"), list(enums()), ids=lambda value: value if isinstance(value, str) else "")
def test_enum_values(name, ours):
    theirs = {word: value for word, value in vars(getattr(reader, name)).items() if isinstance(value, int)}
    assert ours and not {word: value for word, value in ours.items() if theirs.get(word) != value}


def test_every_operator_is_named():
    ours = dict(enums())["BuiltinOperator"]
    theirs = {word for word, value in vars(reader.BuiltinOperator).items() if isinstance(value, int)}
    assert set(ours) == theirs


@pytest.mark.parametrize(("name", "fields"), list(tables()), ids=lambda value: value if isinstance(value, str) else "")
def test_field_numbers(name, fields):
    theirs = their_fields(name)
    wrong = {
        field: (number, theirs.get(field))
        for field, number in numbered(fields)
        if not field.startswith("unused") and (field not in theirs or theirs[field][0] != number)
    }
    assert not wrong


def test_defaults():
    for name, body in re.findall(r"table (\w+) \{([^}]*)\}", PLAIN):
        theirs = their_fields(name)
        ours = dict(re.findall(r"(\w+): \w+ = (-?\w+);", body))
        words = {"true": "1", "false": "0"}
        for field, (_, default) in theirs.items():
            ours_field = field.replace("options2", "options_2")
            if re.search(rf"\b{ours_field}:", body) and not ours_field.endswith("_type"):
                mine = ours.get(ours_field, "0")
                assert float(words.get(mine, mine)) == float(default), (name, field)
