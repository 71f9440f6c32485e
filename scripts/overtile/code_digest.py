"""A digest of what a script computes: of its code, and of all library code that it can reach.

It changes when the arithmetic of a used function does. It does not when people read something else
(comments, docstrings, messages, progress, type hints, command lines), when a function or module is
added that nothing here uses, or when another entry is chosen from a `Registry`.

Standard library only: the workflow reads this one file while it builds its rules.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

PACKAGE = "overtile"
NAMES = "code_names.tsv"
"""Beside this file: digests of code that gives the same results, and the name they share."""

# They decide how a computation is asked for, watched, kept and chosen, not what comes out.
# Settings are declarations: their values stand in the keys of results.
LEFT_OUT = frozenset(
    {
        f"{PACKAGE}.cli",
        f"{PACKAGE}.code_digest",
        f"{PACKAGE}.errors",
        f"{PACKAGE}.networks.gpu_policy",
        f"{PACKAGE}.networks.gpus",
        f"{PACKAGE}.outputs",
        f"{PACKAGE}.prediction.cluster",
        f"{PACKAGE}.progress",
        f"{PACKAGE}.provenance",
        f"{PACKAGE}.registry",
        f"{PACKAGE}.settings",
        f"{PACKAGE}.stores.checked",
        f"{PACKAGE}.stores.files",
        f"{PACKAGE}.stores.journal",
        f"{PACKAGE}.stores.run_log",
        f"{PACKAGE}.stores.scheduling",
        f"{PACKAGE}.system_errors",
    }
)
DESCRIBES = "describe"
"""Functions of this name put something into words for people: what they say does not count."""

ENTRY = "run"
"""The function of a script that computes; its parser and `main` only ask for it."""

TEXT_ARGUMENTS = frozenset({"label", "title", "hint", "explanation"})
"""Keywords of texts that people read: while they wait, and about a score."""

SPOKEN = frozenset({"print", "say", "say_device", "warn"})
"""Functions that tell people something: called as a statement of its own, they do not count."""

LOGS = frozenset({"logging", "logger", "log", "warnings"})
"""Names whose methods tell people something: their calls do not count either."""


def code_digest(script: str | Path, chosen: Iterable[str] = ()) -> str:
    """Digest of what a script computes, or the name of the digests that give the same results.

    chosen: names that are looked up in the registries which the script can reach. The library is
    the folder `overtile` beside the script.
    """
    script = Path(script)
    digest = raw_digest(script, frozenset(chosen))
    return _known_names(script.parent / PACKAGE / NAMES).get((script.name, digest), digest)


def first_name(script: str | Path) -> str:
    """The name that a script's results had when the first archives were made.

    Its own digest for one that is not in the table.
    """
    script = Path(script)
    known = _known_names(script.parent / PACKAGE / NAMES)
    return next((name for (of, _), name in known.items() if of == script.name), code_digest(script))


def registered_names(file: str | Path, registry: str) -> list[str]:
    """Names of the entries of a registry, from the source of its module."""
    return [name for found in _module(Path(file)).named(registry) for name in found.places]


@cache
def raw_digest(script: Path, chosen: frozenset[str] = frozenset()) -> str:
    """Digest of the code alone, whatever name it has.

    Taken over what definitions mean and how they refer to each other, not over the files that they
    stand in: a function that moves to another module changes nothing.
    """
    sha = hashlib.sha256()
    for text in sorted(reached(script, chosen).values()):
        sha.update(f"{text}\n".encode())
    return sha.hexdigest()[:16]


@cache
def _known_names(table: Path) -> dict[tuple[str, str], str]:
    """The name of each (script, digest) of the table; nothing without one."""
    if not table.is_file():
        return {}
    lines = table.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {(script, digest): name for script, digest, name, *_ in rows}


def reached(script: Path, chosen: frozenset[str] = frozenset()) -> dict[str, str]:
    """What each definition means that a script's `run` can reach, by "module file:name".

    A meaning names what the definition refers to: of the library by its own meaning, of other
    libraries by the import.
    """
    library = script.parent
    waiting = list(_module(script).named(ENTRY))
    found: dict[str, str] = {}
    while waiting:
        definition = waiting.pop()
        place = f"{definition.module.file.relative_to(library).as_posix()}:{definition.name}"
        if place in found:
            continue
        refers, foreign = _references(library, definition, chosen)
        lines = [definition.meaning, *foreign]
        lines += [f"{name} is {target.digest}" for name, target in refers]
        found[place] = "\n".join([lines[0], *sorted(lines[1:])])
        waiting += [target for _, target in refers]
        # What runs when a module is imported counts as soon as anything in it is used.
        waiting += definition.module.effects
    return found


def _references(
    library: Path, definition: "Definition", chosen: frozenset[str]
) -> tuple[list[tuple[str, "Definition"]], list[str]]:
    """What a definition refers to: (name, definition) of the library, and lines for all others."""
    module = definition.module
    refers: list[tuple[str, Definition]] = []
    foreign: list[str] = []
    for name, attributes in definition.names.items():
        target = definition.imports.get(name) or module.imports.get(name)
        if target is None:
            refers += [(name, found) for found in module.named(name)]
        elif target[0].split(".")[0] == PACKAGE:
            refers += [(name, found) for found in _imported(library, target, attributes)]
        else:
            foreign.append(f"{name} is {target[0]}:{target[1]}")
    for place in definition.registered(chosen):
        source, attribute = place.split(":")
        entries = _imported(library, (source, attribute), frozenset())
        refers += [("chosen", entry) for entry in entries]
    return refers, foreign


def _imported(
    library: Path, target: tuple[str, str | None], attributes: frozenset[str]
) -> list["Definition"]:
    """What an import of the library brings; of a module only the attributes that are used."""
    source, attribute = target
    if attribute is not None:
        own = _file_of(library, source)
        if own is not None and _module(own).named(attribute):
            return _module(own).named(attribute)
        if own is not None and attribute in _module(own).imports:
            return _imported(library, _module(own).imports[attribute], attributes)
        source = f"{source}.{attribute}"
    file = _file_of(library, source)
    if file is None:
        return []
    module = _module(file)
    wanted = [found for name in sorted(attributes) for found in module.named(name)]
    # A module that is handed on, or that packages are walked through for, counts whole.
    is_known = all(module.named(name) for name in attributes)
    return wanted if is_known else [d for same in module.definitions.values() for d in same]


def _file_of(library: Path, module: str) -> Path | None:
    """The file of a library module; None for others and for what is left out."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    if any(".".join(parts[: n + 1]) in LEFT_OUT for n in range(len(parts))):
        return None
    base = library.joinpath(*parts)
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


class Definition:
    """One top-level definition of a module: what it means, and which names it uses."""

    def __init__(self, module: "Module", name: str, node: ast.stmt):
        self.module, self.name, self._node = module, name, node

    @cached_property
    def _plain(self) -> ast.stmt:
        return without_texts(self._node)

    @cached_property
    def meaning(self) -> str:
        """Its code without what only people read; of a registry nothing but that it is one."""
        return canonical(self._plain) if self._registry is None else "Registry"

    @cached_property
    def digest(self) -> str:
        """Digest of its own meaning, without that of what it refers to."""
        return hashlib.sha256(self.meaning.encode()).hexdigest()[:16]

    @cached_property
    def imports(self) -> dict[str, tuple[str, str | None]]:
        """Imports inside it, by the name that they bind."""
        return _bindings(ast.walk(self._plain))

    @cached_property
    def names(self) -> dict[str, frozenset[str]]:
        """Names that it uses, with the attributes asked of them; "" where used as a whole."""
        found: dict[str, set[str]] = {}
        if self._registry is None:
            _collect_names(self._plain, found)
        return {name: frozenset(attributes) for name, attributes in found.items()}

    @property
    def _registry(self) -> ast.Call | None:
        """The call that makes a registry; None for anything else."""
        value = getattr(self._node, "value", None)
        is_registry = isinstance(value, ast.Call) and getattr(value.func, "id", "") == "Registry"
        return value if is_registry else None

    @property
    def places(self) -> dict[str, str]:
        """Where the entries of a registry are found, by name; nothing for anything else."""
        return {} if self._registry is None else ast.literal_eval(self._registry.args[0])

    def registered(self, chosen: frozenset[str]) -> list[str]:
        """Where entries of a registry are found: those chosen, and those that always count."""
        if self._registry is None:
            return []
        always = [k.value for k in self._registry.keywords if k.arg == "always"]
        wanted = chosen.union(*map(ast.literal_eval, always))
        return sorted({place for name, place in self.places.items() if name in wanted})


def _collect_names(node: ast.AST, found: dict[str, set[str]]) -> None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        found.setdefault(node.value.id, set()).add(node.attr)
        return
    if isinstance(node, ast.Name):
        found.setdefault(node.id, set()).add("")
    for child in ast.iter_child_nodes(node):
        _collect_names(child, found)


class Module:
    """The top level of a file."""

    def __init__(self, file: Path):
        self.file = file
        tree = ast.parse(file.read_text(encoding="utf-8"))
        self.imports = _bindings(tree.body)
        self.definitions: dict[str, list[Definition]] = {}
        self.effects: list[Definition] = []
        for number, node in enumerate(tree.body):
            for name in _bound(node):
                more = self.definitions.get(name, [])
                self.definitions[name] = [*more, Definition(self, f"{name} {len(more)}", node)]
            if _runs_at_import(node):
                self.effects.append(Definition(self, f"statement {number}", node))

    def named(self, name: str) -> list[Definition]:
        """The definition of a name, all if it is defined again, or none."""
        return self.definitions.get(name, [])


@cache
def _module(file: Path) -> Module:
    return Module(file)


def _bound(node: ast.stmt) -> list[str]:
    """Names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [part for target in targets for part in ast.walk(target)]
        is_plain = all(isinstance(p, ast.Name | ast.Tuple | ast.expr_context) for p in parts)
        return [p.id for p in parts if isinstance(p, ast.Name)] if is_plain else []
    return []


NEVER_COUNTED = ("TYPE_CHECKING", "__name__ == '__main__'")
"""Conditions of top-level blocks that no import of the module runs."""


def _runs_at_import(node: ast.stmt) -> bool:
    """Whether a top-level statement does something, besides defining or importing names."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in NEVER_COUNTED:
        return False
    is_import = isinstance(node, ast.Import | ast.ImportFrom)
    return not (is_import or is_text(node) or _bound(node))


def _bindings(nodes: Iterable[ast.AST]) -> dict[str, tuple[str, str | None]]:
    """Names that imports among some nodes bind: (module, attribute or None)."""
    found: dict[str, tuple[str, str | None]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                found[name] = (alias.name if alias.asname else alias.name, None)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                found[alias.asname or alias.name] = (node.module, alias.name)
    return found


def canonical(node: object) -> str:
    """A syntax tree as text that is the same in all versions of Python, as `ast.dump`'s is not.

    Fields that are empty are left out: new versions add such ones. So are imports: what they bring
    counts where it is used.
    """
    if isinstance(node, ast.AST):
        values = ((name, getattr(node, name, None)) for name in node._fields)
        parts = [f"{name}={canonical(v)}" for name, v in values if v is not None and v != []]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        kept = [part for part in node if not isinstance(part, ast.Import | ast.ImportFrom)]
        return f"[{','.join(map(canonical, kept))}]"
    return repr(node)


def without_texts(node: ast.stmt) -> ast.stmt:
    """A definition that holds nothing but what it computes; the node given is changed."""
    plain = _Plain().visit(node)
    while _drop_unused_texts(plain):
        pass
    return plain


def is_text(node: ast.AST) -> bool:
    """Whether a statement is only a text: a docstring, or one after a constant."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


class _Plain(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for block in ("body", "orelse", "finalbody"):
            statements = getattr(node, block, None)
            if isinstance(statements, list) and statements != []:
                kept = [c for c in statements if not (is_text(c) or isinstance(c, ast.Pass))]
                setattr(node, block, kept or ([ast.Pass()] if block == "body" else []))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        if node.name == DESCRIBES:
            node.body = [ast.Pass()]
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A field or variable without its type."""
        value = self.visit(node.value) if node.value else ast.Constant(None)
        return ast.Assign([self.visit(node.target)], value, lineno=0)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Which exception counts, not what it says."""
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(kind and self.visit(kind), None)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if isinstance(call, ast.Call):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            if name in SPOKEN or getattr(getattr(call.func, "value", None), "id", "") in LOGS:
                return ast.Pass()
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [k for k in node.keywords if k.arg not in TEXT_ARGUMENTS]
        return self.generic_visit(node)


def _drop_unused_texts(tree: ast.AST) -> bool:
    """Take away, in place, texts assigned to names which nothing reads; tell if there was any."""
    read = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)
    }
    changed = False
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            for block in ("body", "orelse", "finalbody"):
                statements = getattr(node, block, None)
                if not isinstance(statements, list):
                    continue
                kept = [s for s in statements if not _is_unused_text(s, read)]
                if len(kept) < len(statements):
                    changed = True
                    setattr(node, block, kept or ([ast.Pass()] if block == "body" else []))
    return changed


def _is_unused_text(node: ast.AST, read: set[str]) -> bool:
    if not isinstance(node, ast.Assign) or not _makes_text(node.value):
        return False
    return all(isinstance(t, ast.Name) and t.id not in read for t in node.targets)


def _makes_text(node: ast.AST) -> bool:
    """Whether an expression is put together from texts alone."""
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return _makes_text(node.left) or _makes_text(node.right)
    if isinstance(node, ast.IfExp):
        return _makes_text(node.body) and _makes_text(node.orelse)
    if isinstance(node, ast.Call):  # "text".join(...), "text".format(...)
        return isinstance(node.func, ast.Attribute) and _makes_text(node.func.value)
    return False
