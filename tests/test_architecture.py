"""The house rule: imports run downwards, heavy libraries enter in few places, every package says what belongs there."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

SRC = ROOT / "src"
# From top to bottom. A module imports from lower lines only, and from its own package.
LINES = [
    {"api"},
    {"inference", "reports", "training", "extraction"},
    {"evaluation", "classifiers"},
    {"splits", "encoders", "corpora"},
    {"artifacts"},
    {"speakers", "visualization", "audio"},
    {"cli", "labels", "layers", "huggingface"},
    {"metrics", "compiled", "processes", "terminal", "paths", "errors"},
]
LEVEL = {name: level for level, names in enumerate(LINES) for name in names}
ONLY_IN = {
    "torch": ("encoders", "classifiers/logistic", "classifiers/mlp", "classifiers/superb", "classifiers/torch_layers"),
    "matplotlib": ("visualization",),
    "seaborn": ("visualization",),
    "huggingface_hub": ("huggingface", "corpora/hub", "encoders/pretrained"),
    "datasets": ("huggingface", "corpora/hub", "encoders/pretrained"),
    "jinja2": ("reports/page/build",),
    "umap": ("visualization/projection",),
    "ray": ("extraction/cluster",),
    "fsspec": ("audio/remote",),
    "librosa": ("audio/augmentation",),  # it and umap call `compiled.share_cache` first
}


def imported(file: Path, whole: bool = True) -> set[str]:
    """Every module that a file imports, by its full name: anywhere in it, or else only when it is itself imported."""
    tree, found = ast.parse(file.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree) if whole else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def broken(src: Path) -> list[str]:
    """What breaks the rule in `src`, one line each."""
    faults = []
    for file in sorted((src / "speechemb").rglob("*.py")):
        place = file.relative_to(src / "speechemb").with_suffix("").as_posix()
        own = place.split("/")[0]
        for name in sorted(imported(file)):
            first, second = [*name.split("."), ""][:2]
            if (
                first == "speechemb"
                and own != "__init__"
                and second != own
                and (LEVEL[second] <= LEVEL[own] or second == "cli")
            ):
                faults.append(f"{place} imports {name}")
            if first in ONLY_IN and not place.startswith(ONLY_IN[first]):
                faults.append(f"{place} imports {name}")
    return faults


def circles(src: Path) -> list[str]:
    """Modules that cannot be ordered so that each is imported before those that import it."""
    names = {}
    for file in src.rglob("*.py"):
        names[file.relative_to(src).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")] = file
    # `from a import b` needs the module a.b where there is one, and else a name inside a
    needed = {}
    for name, file in names.items():
        modules = {i if i in names else i.rpartition(".")[0] for i in imported(file, whole=False)}
        needed[name] = modules & set(names)
    while leaves := {name for name, others in needed.items() if not others}:
        needed = {name: others - leaves for name, others in needed.items() if name not in leaves}
    return sorted(needed)


def test_imports_run_downwards_and_heavy_libraries_stay_in_their_rooms():
    assert broken(SRC) == []


def test_there_is_no_circle():
    assert circles(SRC) == []


@pytest.mark.parametrize("package", sorted(path.parent.name for path in SRC.glob("speechemb/*/__init__.py")))
def test_every_package_says_what_belongs_there(package):
    doc = ast.get_docstring(ast.parse((SRC / "speechemb" / package / "__init__.py").read_text()))
    assert doc and len(doc.splitlines()[0]) <= 120


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("metrics/classification", "from speechemb.artifacts import storage"),  # upwards
        ("reports/text", "from speechemb.training import run"),  # sideways
        ("artifacts/npz", "def f():\n    import speechemb.encoders"),  # inside a function
        ("inference", "from speechemb import cli"),  # for scripts and tools only
        ("reports/text", "import torch"),
        ("evaluation/scores", "from matplotlib.figure import Figure"),
    ],
)
def test_a_planted_wrong_import_is_found(tmp_path, place, line):
    file = tmp_path / "speechemb" / f"{place}.py"
    file.parent.mkdir(parents=True)
    file.write_text(line + "\n")
    assert len(broken(tmp_path)) == 1


def test_a_planted_circle_is_found(tmp_path):
    (tmp_path / "speechemb").mkdir()
    (tmp_path / "speechemb" / "a.py").write_text("from speechemb import b\n")
    (tmp_path / "speechemb" / "b.py").write_text("from speechemb.a import x\n")
    assert circles(tmp_path) == ["speechemb.a", "speechemb.b"]


def test_functions_and_modules_stay_short():
    for file in sorted(SRC.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                doc = ast.get_docstring(node, clean=False)
                n_doc = len(doc.splitlines()) if doc else 0
                assert node.end_lineno - node.lineno + 1 - n_doc <= 40, f"{file.name}: {node.name}"


def test_the_package_describes_its_own_order():
    """The docstring of `speechemb` lists every package and module, line by line as LINES has them."""
    blocks = ast.get_docstring(ast.parse((SRC / "speechemb" / "__init__.py").read_text())).split("\n\n")[2:]
    listed = [line.split()[0] for block in blocks for line in block.splitlines()]
    assert sorted(listed) == sorted(LEVEL)
    assert [LEVEL[name] for name in listed] == sorted(LEVEL.values())
    inside = {path.stem for path in (SRC / "speechemb").iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert inside == set(LEVEL)
