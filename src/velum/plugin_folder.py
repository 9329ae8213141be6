"""Techniques from a folder: each file in it brings one or more, without a package or an entry point.

A technique is a class of the file with a method `hide`; its name in plans is that of the class in lower case. Classes
and files whose names start with `_` are left out, files with a leading dot too. Files are read when the folder is
opened, so that mistakes show at the start, but none is run before a plan names what is in it. They are run as they were
read, one by one: none sees the others, the folder is not searched for imports, and nothing is written into it.
"""

import ast
import importlib.abc
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from velum.errors import BadPlan, PluginFault, Unavailable
from velum.parts import names

_NAME = re.compile(r"[a-z]\w*", re.ASCII)
_ATTRIBUTES = ("destroys", "labels")


class FolderTechniques(Mapping[str, Callable[..., Any]]):
    """The techniques of a folder, by name, for `RuntimeConfig.techniques`. Safe to share between threads.

    Raises `BadPlan` for a folder that is not there, and naming the file: for one that is not Python, that has no
    technique in it, or whose technique has the name of another. Taking a technique runs its file, which raises
    `Unavailable` when a library that it imports is not installed, and `PluginFault` when it fails otherwise.
    """

    def __init__(self, folder: Path) -> None:
        self._places: dict[str, _TechniqueSource] = {}
        self._modules: dict[Path, ModuleType] = {}
        self._lock = threading.Lock()
        installed = names("velum.techniques")
        for file in _files(folder):
            for name, place in _techniques(file).items():
                if name in installed:
                    raise BadPlan(f"{file}: technique {name!r} is installed already; give the class another name")
                if name in self._places:
                    raise BadPlan(f"{file}: technique {name!r} is in {self._places[name].file} too; remove one of them")
                self._places[name] = place

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places  # without running the file

    def __getitem__(self, name: str) -> Callable[..., Any]:
        place = self._places[name]
        with self._lock:
            if place.file not in self._modules:
                self._modules[place.file] = _run(place)
        return _check_class(getattr(self._modules[place.file], place.kind, None), name, place)


@dataclass(frozen=True, slots=True)
class _TechniqueSource:
    """The source of a technique: the name of its class, and its file as it was read."""

    file: Path
    kind: str
    source: str
    code: CodeType


class _SourceLoader(importlib.abc.InspectLoader):
    """Runs a file as it was read: the folder is not read again, and no bytecode is written into it."""

    def __init__(self, place: _TechniqueSource) -> None:
        self._place = place

    def get_source(self, _fullname: str) -> str:
        return self._place.source

    def get_code(self, _fullname: str) -> CodeType:
        return self._place.code


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix == ".py" and file.name[0] not in "._")
    except OSError as error:
        raise BadPlan(
            f"the folder of techniques {folder} cannot be read: {error.strerror or error}; "
            "mount it, or leave VELUM_TECHNIQUES empty"
        ) from error


def _techniques(file: Path) -> dict[str, _TechniqueSource]:
    """Return the techniques of a file by name, without running it. Raises `BadPlan`."""
    try:
        raw = file.read_bytes()
        tree = ast.parse(raw, str(file))
        code = compile(tree, str(file), "exec", dont_inherit=True)
        source = importlib.util.decode_source(raw)
    except OSError as error:
        raise BadPlan(
            f"{file} cannot be read: {error.strerror or error}; let the user of this process read it"
        ) from error
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # the last two: nested too deep
        raise BadPlan(f"{file} is not Python {sys.version_info[0]}.{sys.version_info[1]}: {error}") from error
    kinds = [kind for kind in _with_hide(tree) if not kind.startswith("_")]
    if not kinds:
        raise BadPlan(
            f"{file} has no technique in it; write a class with a method 'hide', or start the file's name with '_'"
        )
    sources: dict[str, _TechniqueSource] = {}
    for kind in kinds:
        name = kind.lower()
        if not _NAME.fullmatch(name) or name in sources:
            raise BadPlan(f"{file}: class {kind} cannot be technique {name!r}; its name must be plain, and there once")
        sources[name] = _TechniqueSource(file, kind, source, code)
    return sources


def _with_hide(tree: ast.Module) -> list[str]:
    """Return the classes that have a method `hide`, of their own or from a class above them in the file."""
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            own = any(isinstance(item, ast.FunctionDef) and item.name == "hide" for item in node.body)
            if own or any(isinstance(base, ast.Name) and base.id in names for base in node.bases):
                names.append(node.name)
    return names


def _run(place: _TechniqueSource) -> ModuleType:
    # Registered under a name that no import statement can mean, because dataclasses look their module up.
    name = f"{place.file.stem}@{sha256(str(place.file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, place.file, loader=_SourceLoader(place))
    if spec is None or spec.loader is None:
        raise PluginFault(f"{place.file} cannot be run as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[name]
        raise Unavailable(
            f"{place.file} needs a library that is not installed ({error}); install it next to velum, "
            "or take the file out of the folder"
        ) from error
    except Exception as error:
        del sys.modules[name]
        raise PluginFault(f"{place.file} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _check_class(kind: object, name: str, place: _TechniqueSource) -> Callable[..., Any]:
    if not inspect.isclass(kind):
        raise PluginFault(f"{place.file}: {place.kind} is no class; technique {name!r} must be one")
    attributes = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    if lacking := [attribute for attribute in _ATTRIBUTES if attribute not in attributes]:
        raise PluginFault(
            f"{place.file}: technique {name!r} has no {' and no '.join(lacking)}; "
            "it must say whether it destroys, and its labels or None"
        )
    return kind
