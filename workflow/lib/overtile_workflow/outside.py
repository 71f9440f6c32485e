"""Files from outside the results, and whether they were replaced, whatever their dates say.

Snakemake notices a file that is newer than what was made of it. It does not notice one that was
replaced by an older one, as `rsync -a` or a restored backup does.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from overtile_workflow.records import last_run

UNNOTED = Path()
"""A parameter that Snakemake does not note: it notes no paths."""


@dataclass
class OutsideFiles:
    """What is known of files: size, date, and a token that stands for the content.

    Noted by what is made of a file: several workflows may make something of one, each at its time.
    ledger: file that keeps it from run to run, a line for each change, written at once: a run may
    be killed. is_kept: whether this process may write there; those of single jobs only read. The
    token is a parameter of the rule that reads the file. It changes when size or date do, unless
    the content is the one that was read; it is None for what was read before there was a ledger, as
    long as that stays as it is.
    """

    ledger: Path
    is_kept: bool = True

    def __post_init__(self) -> None:
        # Snakemake changes folders before it ends.
        self.ledger = Path(self.ledger).absolute()

    def token(self, path: str, made: str, record: str) -> str | Path:
        """The token of a file, as a parameter; `UNNOTED` without one.

        made: what the rule makes of it. record: file of the run that made it, with the digests of
        what it read.
        """
        with suppress(OSError):
            status = os.stat(path)
            facts = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            return self._token(path, facts, made, record) or UNNOTED
        return UNNOTED  # it is missing, which Snakemake tells

    def _token(self, path: str, facts: dict, made: str, record: str) -> str | None:
        known = self._known.get(made)
        if known is not None and facts.items() <= known.items():
            return known.get("token")
        token: str | None = f"{facts['size']} bytes of {facts['mtime_ns']} ns"
        of_content: dict[str, str | None] = {}
        if known is None:
            token = None if os.path.exists(made) else token
        elif (read := _digest_read(path, record)) is not None:
            # What was read has the token that it had; a content that comes back, its own one.
            of_content = dict(known.get("of_content", {}))
            if read not in of_content:  # it came while a run was about to read another one
                noted = known.get("token")
                of_content = {d: t for d, t in of_content.items() if t != noted} | {read: noted}
            digest = _digest(path)
            is_free = digest not in of_content.values()
            token = of_content.setdefault(digest, digest if is_free else f"{digest}, {token}")
        self._known[made] = {**facts, "token": token, "of_content": of_content}
        self._keep(made)
        return token

    @cached_property
    def _known(self) -> dict[str, dict]:
        """The last line of each result."""
        with suppress(OSError):
            lines = self.ledger.read_text(encoding="utf-8", errors="replace").splitlines()
            entries = [entry for entry in map(_entry, lines) if entry is not None]
            return {entry.pop("made"): entry for entry in entries}
        return {}

    def _keep(self, made: str) -> None:
        with suppress(OSError):
            if self._file is not None:
                line = json.dumps({"made": made, **self._known[made]})
                # In one piece: two runs may write. A line that a kill has cut short ends here.
                os.write(self._file, f"\n{line}".encode())

    @cached_property
    def _file(self) -> int | None:
        """Descriptor of the ledger, to append to; None if nothing can be written there."""
        with suppress(OSError):
            if self.is_kept:
                self.ledger.parent.mkdir(parents=True, exist_ok=True)
                if self.ledger.is_symlink():
                    self.ledger.unlink()
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
                return os.open(self.ledger, flags, 0o666)
        return None


def _entry(line: str) -> dict | None:
    """What a line of a ledger holds; None for one that is empty or damaged."""
    with suppress(ValueError):
        entry = json.loads(line)
        if isinstance(entry, dict) and isinstance(entry.get("made"), str):
            return entry if isinstance(entry.get("of_content", {}), dict) else None
    return None


def _digest_read(path: str, record: str) -> str | None:
    """SHA-256 of a file as the run of a record has read it; None if that is not known."""
    inputs = last_run(record).get("inputs")
    digest = inputs.get(str(Path(path).resolve())) if isinstance(inputs, dict) else None
    return digest if isinstance(digest, str) else None


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
