"""Who may use whom, what the compiler may do, and what importing cbp may load: DESIGN.md, Floors.

The source tree is read as text, so every file present is checked, compiled or not. `ROOMS` are the
rooms that the design allows around the core; not all of them are built.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cbp"
KERNEL_FOLDER = ROOT / "src_c"

# Floor 1, lowest first: each uses only what stands before it.
FLOOR_1 = ["_kernels", "_runtime", "_dense", "_functions", "_backprop", "_small", "_training"]
# Rooms around the core: the core never enters them.
ROOMS = {
    "__main__", "datasets", "diagnostics", "distributed", "explain", "loggers", "sklearn",
}  # fmt: skip
# Third-party packages the core may try inside a function, never at import.
LAZY_IN_CORE = {"matplotlib", "tqdm"}
REFERENCE_MAY_USE = {"__future__", "dataclasses", "math", "numpy", "typing"}

# No math.h: libm's bits differ between versions.  Neither Python.h nor omp.h, nor any allocator.
C_HEADERS = {
    "arm_neon.h", "emmintrin.h", "float.h", "immintrin.h", "limits.h", "stddef.h", "stdint.h",
    "string.h", "xmmintrin.h",
}  # fmt: skip
FORBIDDEN_FLAGS = [
    "-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-fassociative-math",
    "-freciprocal-math", "-ffinite-math-only", "-march=native", "-mtune=native",
    "-ffp-contract=fast", "-ffp-contract=on",
]  # fmt: skip


def module_name(file: Path) -> str:
    """'cbp.reference.core' for cbp/reference/core.py."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """'reference' for 'cbp.reference.core', '' for the door."""
    return (module.split(".") + [""])[1]


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def cython_files() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")])


def absolute(module: str | None, level: int, file: Path) -> str:
    """The full name of a possibly relative import in `file`."""
    if level == 0:
        return module or ""
    package = list(file.relative_to(ROOT).parent.parts)
    package = package[: len(package) - (level - 1)]
    return ".".join([*package, module] if module else package)


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """(full module name, whether at module level) of each import that can run in a .py file."""

    def visit(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.module, node.level, file)
            for alias in node.names:
                inner = PACKAGE.joinpath(*base.split(".")[1:], alias.name)
                known = base.split(".")[0] == "cbp" and (
                    inner.is_dir() or any(inner.parent.glob(alias.name + ".py*"))
                )
                yield (f"{base}.{alias.name}" if known else base), top
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, top and not inside)

    yield from visit(ast.parse(file.read_text()), True)


CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)"
    r"|c?import[ \t]+(?P<plain>[\w., \t]+))",
    re.MULTILINE,
)


def cython_imports(file: Path) -> Iterator[str]:
    """Full names of the modules that a .pyx or .pxd imports or cimports."""
    text = re.sub(r"#[^\n]*", "", file.read_text())
    text = re.sub(r'"""[\s\S]*?"""', '""', text)
    for found in CYTHON_IMPORT.finditer(text):
        if found["plain"]:
            yield from (name.split()[0] for name in found["plain"].split(",") if name.strip())
            continue
        dots = len(found["base"]) - len(found["base"].lstrip("."))
        base = absolute(found["base"].lstrip(".") or None, dots, file)
        for name in found["names"].strip("()").split(","):
            word = name.split()[0] if name.split() else ""
            yield f"{base}.{word}" if base == "cbp" else base


def test_the_readers_of_imports_see_everything(tmp_path, monkeypatch):
    """The tests below would pass on anything if the import readers were blind."""
    package = tmp_path / "cbp"
    (package / "inner").mkdir(parents=True)
    (package / "other.py").touch()
    module = package / "inner" / "mod.py"
    module.write_text(
        "import a.b, c\nfrom .. import other\nfrom ..other import thing\nfrom . import x\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import unseen\n"
        "class C:\n    def f(self):\n        import lazy\n"
    )
    cython = package / "_mod.pyx"
    cython.write_text(
        '"""\nimport not_this\n"""\nimport os\ncimport numpy as np\nfrom libc.math cimport exp\n'
        "from . cimport _kernels\nfrom cbp cimport (\n    _dense,  # why\n    _other)\n"
        "from ._runtime cimport a, b\ndef f():\n    from cbp import network\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "PACKAGE", package)
    assert list(imports(module)) == [
        ("a.b", True), ("c", True), ("cbp.other", True), ("cbp.other", True),
        ("cbp.inner", True), ("typing", True), ("lazy", False),
    ]  # fmt: skip
    assert list(cython_imports(cython)) == [
        "os", "numpy", "libc.math", "cbp._kernels", "cbp._dense", "cbp._other",
        "cbp._runtime", "cbp._runtime", "cbp.network",
    ]  # fmt: skip


# --- floor 0: C ----------------------------------------------------------------------------------


def test_c_uses_its_own_headers_and_few_of_libc():
    """src_c knows neither Python nor OpenMP, neither libm nor an allocator."""
    for file in [*KERNEL_FOLDER.glob("*.[ch]"), *KERNEL_FOLDER.glob("*.inc")]:
        for mark, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', file.read_text(), re.M):
            if mark == '"':
                assert (KERNEL_FOLDER / name).is_file(), f"{file.name} includes {name}"
            else:
                assert name in C_HEADERS, f"{file.name} includes <{name}>"


def test_c_has_no_openmp_and_allows_the_compiler_no_freedom():
    """Threads are Cython's; pragmas and attributes must not loosen the arithmetic."""
    banned = r"\bomp_\w|_OPENMP|pragma\s+omp|\b(m|c|re)alloc\s*\(|optimize\s*\(|FP_CONTRACT\s+ON"
    for file in KERNEL_FOLDER.glob("*.[ch]"):
        code = re.sub(r"/\*[\s\S]*?\*/|//[^\n]*", "", file.read_text())
        assert not re.findall(banned, code), file.name


def test_only_runtime_links_the_kernels():
    """A second module that linked src_c would get its own copy of the chosen instruction set."""
    lists = {}
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in ("extension", "Extension")
            and isinstance(node.args[0], ast.Constant)
        ):
            lists[node.args[0].value] = ast.unparse(node.args[1])
    assert {f"cbp.{name}" for name in FLOOR_1[1:]} < set(lists)
    linking = [name for name, text in lists.items() if "KERNELS" in text or "src_c" in text]
    assert linking == ["cbp._runtime"]


@pytest.mark.parametrize("name", ["setup.py", "pyproject.toml", "Makefile", ".ci/run"])
def test_no_build_file_lets_the_compiler_change_results(name):
    """No fast-math in any form and no machine-dependent code."""
    text = (ROOT / name).read_text()
    assert [flag for flag in FORBIDDEN_FLAGS if flag in text] == []


def test_contraction_is_off():
    """a*b+c is fused exactly where the source says fma."""
    assert "-ffp-contract=off" in (ROOT / "setup.py").read_text()


# --- floor 1: Cython -----------------------------------------------------------------------------


def test_cython_imports_run_downwards():
    """_training -> _backprop -> _dense -> _runtime -> _kernels.pxd, and never a floor up."""
    for file in cython_files():
        assert file.stem in FLOOR_1, f"{file.name} has no place in floor 1"
        lower = FLOOR_1[: FLOOR_1.index(file.stem)]
        for name in cython_imports(file):
            first, *rest = name.split(".")
            if first == "cbp":
                assert rest and (rest[0] in lower or rest[0] == file.stem), (
                    f"{file.name} imports {name}"
                )
            else:
                known = first in sys.stdlib_module_names | {"cython", "cpython", "libc", "numpy"}
                assert known, f"{file.name} imports {name}"


def test_cython_needs_no_numpy_to_build():
    """Typed memoryviews suffice, so that one wheel serves every NumPy; `import numpy` is fine."""
    for file in cython_files():
        found = re.findall(
            r"cimport[ \t]+numpy|from[ \t]+numpy[\w.]*[ \t]+cimport", file.read_text()
        )
        assert found == [], file.name


# --- floors 2 and 3: Python ----------------------------------------------------------------------


def test_core_imports_numpy_and_the_standard_library_only():
    """Anything else is optional: imported inside the room, or the function, that needs it."""
    for file in python_files():
        for name, top in imports(file):
            first = name.split(".")[0]
            if first in sys.stdlib_module_names or first in ("numpy", "cbp"):
                continue
            if room(module_name(file)) in ROOMS:
                assert not top or room(module_name(file)) == "sklearn", (
                    f"{file} imports {name} at import"
                )
            else:
                assert not top and first in LAZY_IN_CORE, f"{file} imports {name}"


def test_core_never_enters_a_room():
    """explain, sklearn, datasets, the command line and the like lean on the core, not it on them.

    The door may open a room when it is first asked for (a module-level __getattr__).
    """
    for file in python_files():
        own = room(module_name(file))
        if own in ROOMS:
            continue
        for name, top in imports(file):
            if name.split(".")[0] == "cbp" and room(name) in ROOMS:
                assert own == "" and not top, f"{file} imports {name}"


def test_nobody_imports_the_door():
    """Inside the package names are imported from where they live; only rooms use the door."""
    for file in python_files():
        if room(module_name(file)) not in ROOMS | {""}:
            assert "cbp" not in [name for name, _ in imports(file)], file


def test_the_door_only_re_exports():
    """cbp/__init__.py holds no class, and no function but a lazy __getattr__ and __dir__."""
    door = PACKAGE / "__init__.py"
    defined = [
        node.name
        for node in ast.walk(ast.parse(door.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    assert set(defined) <= {"__getattr__", "__dir__"}


def test_reference_stands_alone():
    """The reference certifies the compiled core, so it shares nothing with it."""
    for file in sorted((PACKAGE / "reference").rglob("*.py")):
        for name, _ in imports(file):
            own = name == "cbp.reference" or name.startswith("cbp.reference.")
            assert own or name.split(".")[0] in REFERENCE_MAY_USE, f"{file} imports {name}"


def test_no_circles():
    """The imports inside the package, lazy ones of the door excepted, form no circle."""
    graph: dict[str, set[str]] = {}
    for file in python_files():
        graph.setdefault(module_name(file), set()).update(
            name
            for name, top in imports(file)
            if name.split(".")[0] == "cbp" and (top or module_name(file) != "cbp")
        )
    for file in cython_files():
        own = module_name(file)
        graph.setdefault(own, set()).update(
            name for name in cython_imports(file) if name.startswith("cbp.") and name != own
        )
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            # A subpackage's own __init__ re-exports its parts; the parts import each other.
            for target in sorted(graph.get(module, ())):
                walk(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        walk(module, ())


def test_openmp_appears_in_floor_1_only():
    """In Python only one module, the one that loads _runtime, knows OpenMP's variables."""
    knows = set()
    for file in python_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(r"(G?OMP|KMP)_[A-Z_]+", node.value):
                    knows.add(module_name(file))
            name = getattr(node, "id", getattr(node, "attr", ""))
            assert not re.match(r"omp_", str(name)), f"{file} uses {name}"
    assert len(knows) <= 1, knows
    for module in knows:
        file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        assert "cbp._runtime" in [name for name, _ in imports(file)], module


# --- what is installed ---------------------------------------------------------------------------


def test_import_loads_numpy_and_nothing_else():
    """`import cbp` loads no optional package and enters no room."""
    child = (
        "import json, sys, numpy; before = set(sys.modules); import cbp; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", child], cwd=ROOT / "tests", capture_output=True, text=True
    )
    assert run.returncode == 0 and run.stderr == "", run.stderr
    loaded = json.loads(run.stdout)
    assert "cbp._training" in loaded
    first = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    # Cython's own: its runtime's, and a second name of cbp._cyutility.
    assert {n for n in first if not re.match(r"_?cython_|_cyutility$", n)} <= {"cbp", "numpy"}
    assert {room(n) for n in loaded if n.startswith("cbp.")} & ROOMS == set()


def installed() -> Path:
    import cbp

    return Path(cbp.__file__).parent


def test_installed_package_is_complete_and_holds_no_sources():
    """Wheels carry modules, stubs, py.typed and the digits: no .pyx, .pxd, .c or .h."""
    folder = installed()
    if folder == PACKAGE:
        pytest.skip("an editable install uses the source tree")
    names = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert [n for n in names if n.endswith((".pyx", ".pxd", ".c", ".h"))] == []
    expected = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi"), *(PACKAGE / "data").iterdir()]
    assert {str(f.relative_to(PACKAGE)) for f in expected} | {"py.typed"} <= names


TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "DESIGN.md", "LICENSE", "MANIFEST.in",
    "Makefile", "README.md", "benchmarks", "cbp", "docs", "examples", "pyproject.toml", "setup.py",
    "src_c", "tests",
}  # fmt: skip


def test_nothing_strays_into_the_repository(repo_root):
    """The top level holds what belongs there, and no file is large: what tests leave is not kept."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo_root, capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = [Path(name.decode()) for name in listed.stdout.split(b"\0") if name]
    assert {path.parts[0] for path in tracked} == TOP
    there = [repo_root / path for path in tracked if (repo_root / path).exists()]
    assert max(path.stat().st_size for path in there) < 250_000


def test_every_compiled_module_has_a_stub():
    """Type checkers see no signature in a compiled module."""
    for file in PACKAGE.glob("*.pyx"):
        assert file.with_suffix(".pyi").is_file(), f"{file.name} has no .pyi"


def test_version_is_told_once():
    """cbp.__version__ and the package's metadata agree."""
    import cbp

    assert cbp.__version__ == importlib.metadata.version("cbp")


@pytest.mark.no_sanitizer
def test_no_approximate_reciprocals_in_the_binary():
    """rcpps, rsqrtps and their kin give other bits on other makers' CPUs."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed")
    files = sorted(installed().glob("_*.so"))
    assert files
    for file in files:
        run = subprocess.run(["objdump", "-d", file], capture_output=True, text=True, check=True)
        assert "<" in run.stdout
        found = re.findall(r"\bv?r(?:cp|sqrt)(?:14|28)?[ps][sd]\b|\bfr(?:ecp|sqrt)e\b", run.stdout)
        assert found == [], file.name
