"""The official validator of RO-Crates, without a network. The tests run it, in its own environment.

    python tests/crates.py FOLDER

Prints one line per violation; ends with exit code 1 if there is any. What is required and what is
recommended counts alike, but for recommendations that the workflow knows nothing about (UNKNOWN).
The context of RO-Crate 1.1 is the copy that the package rocrate 0.14 has.
"""

import sys
from importlib.resources import files

from requests import Response
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester

CONTEXTS = {"https://w3id.org/ro/crate/1.1/context": "data/ro-crate.jsonld"}
PROFILE = "workflow-run-crate"

UNKNOWN = {
    "process-run-crate-0.5_3.2": "address of a script's home page",
    "process-run-crate-0.5_5.1": "asks that the terms of schema.org be instances of themselves",
    "process-run-crate-0.5_8.6": "person who ran a step",
    "ro-crate-1.1_22.1": "licence as an entity: it may be a sentence",
    "ro-crate-1.1_22.2": "author of the results",
    "ro-crate-1.1_22.3": "publisher of the results",
    "workflow-ro-crate-1.0_6.1": "a README.md, which results need not have",
    "workflow-ro-crate-1.0_6.2": "the same",
}
"""Recommendations that are not followed, and what they ask for."""


def answer(requester: HttpRequester, url: str, **options: object) -> Response:
    """What a web server would answer: a context that lies here, or else not found."""
    response = Response()
    response.url, response.status_code = url, 200 if url in CONTEXTS else 404
    if url in CONTEXTS:
        response.headers["Content-Type"] = "application/ld+json"
        response._content = files("rocrate").joinpath(CONTEXTS[url]).read_bytes()
    return response


def main(folder: str) -> int:
    """Validate the crate in a folder."""
    HttpRequester.get = answer
    settings = ValidationSettings(
        rocrate_uri=folder,
        profile_identifier=PROFILE,
        requirement_severity=Severity.RECOMMENDED,
        disable_check_for_duplicates=True,
    )
    found = [
        issue
        for issue in services.validate(settings).get_issues()
        if issue.severity is Severity.REQUIRED or issue.check.identifier not in UNKNOWN
    ]
    for issue in found:
        print(issue.severity.name, issue.check.identifier, issue.message, issue.violatingEntity)
    print(f"{folder}: {len(found)} violations of {PROFILE}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
