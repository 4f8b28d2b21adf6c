"""The committed JSON Schemas, judged by another program: they are valid JSON Schema 2020-12, every shipped
manifest fits, and what the parser refuses does not. Needs python3-jsonschema."""

import datetime
import json
import pathlib
import sys
import tomllib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]


def as_json(value):
    """TOML as editors hand it to a schema: moments are strings."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def validator(kind):
    schema = json.loads((ROOT / f"docs/schema/{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


WRONG = [
    "packges = []",
    "packages = 'libc6'",
    "packages = ['LibC6']",
    "dependencies = 'some'",
    "[[directories]]\npath = '/a'\nmode = 0o10000",
    "[[directories]]\nmode = 0o755",
    "[[directories]]\npath = '/a/../b'",
    "[globs]\nexclude = ['usr/**']",
    "[limits]\nlayer-size = '4 mib'",
    "[generate]\nca-certificates = 'all'",
]


def main():
    validators = {kind: validator(kind) for kind in ("archive", "tier")}
    manifests = sorted(ROOT.glob("manifests/*/*.toml"))
    for path in manifests:
        kind = "archive" if path.name == "archive.toml" else "tier"
        for error in validators[kind].iter_errors(as_json(tomllib.loads(path.read_text()))):
            sys.exit(f"{path}: {error.json_path}: {error.message}")
    for text in WRONG:
        if validators["tier"].is_valid(as_json(tomllib.loads(text))):
            sys.exit(f"the schema takes {text!r}")
    print(f"{len(manifests)} manifests fit, {len(WRONG)} wrong ones do not")


main()
