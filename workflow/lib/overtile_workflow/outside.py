"""Files from outside the results, and whether they were replaced, whatever their dates say.

Snakemake notices a file that is newer than what was made of it. It does not notice one that was
replaced by an older one, as `rsync -a` or a restored backup does.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkstemp

UNNOTED = Path()
"""A parameter that Snakemake does not note: it notes no paths."""


@dataclass
class OutsideFiles:
    """What is known of files by their paths: size, date, and a token that stands for the content.

    ledger: file that keeps it from run to run. The token is a parameter of the rule that reads the
    file. It changes when size or date do, unless the content is the one that was read; it is None
    for what was read before there was a ledger, as long as that stays as it is.
    """

    ledger: Path
    _known: dict[str, dict] = field(init=False)
    _has_changed: bool = False

    def __post_init__(self) -> None:
        # With --directory Snakemake works in that folder, and goes back before it ends.
        self.ledger = self.ledger.absolute()
        self._known = _read(self.ledger)

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
        known = self._known.get(path)
        if known is not None and facts.items() <= known.items():
            return known.get("token")
        self._has_changed = True
        token = f"{facts['size']} bytes of {facts['mtime_ns']} ns"
        of_content: dict[str, str | None] = {}
        if known is None:
            token = None if os.path.exists(made) else token
        elif (read := _digest_read(path, record)) is not None:
            # What was read has the token that it had; a content that comes back, its own one.
            of_content = {read: known.get("token"), **known.get("of_content", {})}
            digest = _digest(path)
            token = of_content.setdefault(digest, digest)
        self._known[path] = {**facts, "token": token, "of_content": of_content}
        return token

    def keep(self) -> None:
        """Write down what is known, if it has changed."""
        if not self._has_changed:
            return
        # ASSUME: where two runs end at once, what one of them noted is looked at again.
        with suppress(OSError):
            self.ledger.parent.mkdir(parents=True, exist_ok=True)
            number, part = mkstemp(prefix=f"{self.ledger.name}.", dir=self.ledger.parent)
            with open(number, "w", encoding="utf-8") as file:
                json.dump({**_read(self.ledger), **self._known}, file)
            os.replace(part, self.ledger)


def _read(ledger: Path) -> dict[str, dict]:
    """What a ledger holds; nothing of one that is missing or damaged."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        known = json.loads(ledger.read_text(encoding="utf-8"))
        return {path: dict(entry) for path, entry in known.items()}
    return {}


def _digest_read(path: str, record: str) -> str | None:
    """SHA-256 of a file as the run of a record has read it; None if that is not known."""
    try:
        known = json.loads(Path(record).read_text(encoding="utf-8"))
        digest = (known.get("runs") or [known])[-1]["inputs"][str(Path(path).resolve())]
        return digest if isinstance(digest, str) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
