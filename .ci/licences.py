"""Prints what installing hardneg installs, without extras: a line of a requirements file each, with its licence.

Exit status 1 where a licence is none of those below.
"""

import re
from importlib.metadata import metadata, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT",
    "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""All let anyone use and pass on a package as it is. MPL-2.0 wants changes of its own files to be published."""
CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}


def installed(package: str) -> list[str]:
    """The names of all that a package needs on this machine, directly or not."""
    found: set[tuple[str, str]] = set()
    waiting = [(package, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) not in found:
            found.add((name, extra))
            for wanted in map(Requirement, requires(name) or []):
                if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                    waiting += [(canonicalize_name(wanted.name), e) for e in ("", *wanted.extras)]
    return sorted({name for name, _ in found} - {package})


def licences(name: str) -> list[str]:
    """A package's licences, by their SPDX names where that can be told."""
    told = metadata(name)
    classes = [text.split(" :: ")[-1] for text in told.get_all("Classifier") or [] if text.startswith("License ::")]
    named = [CLASSIFIED.get(text, text) for text in classes if text != "OSI Approved"]
    if not named or "License-Expression" in told:
        named = re.split(
            r" AND | OR |, ", (told.get("License-Expression") or told.get("License") or "none").strip("()")
        )
    return [re.sub(r"^Apache 2\.0$", "Apache-2.0", text) for text in named]


def main() -> int:
    """The exit status."""
    strange = 0
    for name in installed("hardneg"):
        found = licences(name)
        refused = [text for text in found if text not in ALLOWED]
        strange += bool(refused)
        print(f"{name}=={version(name)}  # {', '.join(found)[:60]}{'  NOT ALLOWED' if refused else ''}")
    return int(strange > 0)


if __name__ == "__main__":
    raise SystemExit(main())
