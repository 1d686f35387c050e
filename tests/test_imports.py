"""The house rules of who may import whom, and that `import fastnn` brings nothing but NumPy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

PACKAGE = Path(fastnn.__file__).parent
KERNELS = Path(__file__).parents[1] / "csrc" / "kernels"

# Lowest first. A module imports modules of lower lines alone, none of its own: no layer knows its sibling.
LEVELS = """
    checks
    arguments
    random _core reference.elementwise
    reference.*
    reference
    backend
    nn.module optim.base data.batches data.cells
    nn.joint nn.kernel data.columns nn.containers
    nn.* optim.* data.*
    nn optim data
    program.recorder program.explicit program.freezing
    program.layouts
    program.branching
    program.planes
    program.samples
    program.tables
    program.tape
    program.build
    program.step program.inference
    program
    compat.naming
    compat.module
    compat.weights
    compat.linear compat.images compat.activations compat.normalization compat.criterions compat.optimizers
    compat.torch7 compat.torch7_2017 compat.snake compat.plain compat.seminar
    compat.migration.sources compat.migration.evidence
    compat.migration.project compat.migration.serving
    compat.migration.cautions
    compat.migration.trials
    compat.migration.comparison
    compat.migration.inspection
    compat.migration.porter
    compat.migration.porting
    compat.migration.verification
    compat.migration
    compat
    metrics.rows
    metrics.classification metrics.regression metrics.plot
    metrics
    summary
    serialization
    checkpoint.files
    checkpoint.parts
    checkpoint
    interrupts progress
    callbacks.base
    callbacks.monitors callbacks.logs
    callbacks.rates callbacks.saving
    callbacks
    interop.packages interop.graph
    interop.layers interop.torch_containers
    interop.images
    interop.torch interop.onnx
    interop.torch_training
    interop
    history passes
    trainer
    sklearn.rows sklearn.documentation
    sklearn.network
    sklearn.lbfgs sklearn.stochastic
    sklearn.base
    sklearn.classifier sklearn.regressor
    sklearn
    fastnn
    cli.architectures cli.options cli.preparation cli.report cli.bench_worker
    cli.tables cli.network cli.scores
    cli.common cli.sources
    cli.missing cli.fitting
    cli.saved
    cli.port cli.predict cli.train cli.evaluate cli.info cli.bench cli.convert
    cli
    __main__
"""
LEVEL = {name: number for number, line in enumerate(LEVELS.split("\n")) for name in line.split()}
THIRD_PARTY = {"numpy"}  # at the top of a module; anything else is imported by the function that needs it
# Packages and modules of ours that exist for another package, and import it.
OF_PACKAGES = {"sklearn": {"sklearn", "scipy"}, "interop.torch_containers": {"torch"}}


def name_of(path):
    """The dotted name of a file below the package; "fastnn" is the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "fastnn"


def level(name):
    family = name.rpartition(".")[0] + ".*"
    assert name in LEVEL or family in LEVEL, f"{name} has no place in LEVELS of this test"
    return LEVEL.get(name, LEVEL.get(family))


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imports(name):
    """What a module imports when it is imported: (dotted names within the package, names of other packages)."""
    own, others = set(), set()
    package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    package = [] if name == "fastnn" else package

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            others.update(alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            if node.level == 0:
                others.add(node.module.partition(".")[0])
            else:
                base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
                base = ".".join(part for part in base if part)
                for alias in node.names:
                    inner = f"{base}.{alias.name}" if base else alias.name
                    own.add(inner if inner in MODULES or inner == "_core" else base or "fastnn")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    return own, others


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_import_lower_ones_alone(name):
    own, others = imports(name)
    for other in own:
        assert level(other) < level(name), f"{name} imports {other}"
    owner = name if name in OF_PACKAGES else name.partition(".")[0]
    assert others <= set(sys.stdlib_module_names) | THIRD_PARTY | OF_PACKAGES.get(owner, set())


def test_the_graph_is_read_rightly():
    assert imports("nn.linear")[0] == {"backend", "arguments", "checks", "random", "nn.module"}
    assert {"nn", "optim", "backend", "trainer"} <= imports("fastnn")[0]


@pytest.mark.skipif(not KERNELS.is_dir(), reason="the sources of the kernels are not here")
def test_kernels_include_neither_python_nor_blas_nor_each_other():
    sources = sorted(KERNELS.glob("*.c"))
    assert len(sources) > 5
    for source in sources:
        included = set(re.findall(r'#include\s+["<](.*?)[">]', source.read_text()))
        local = {name for name in included if (KERNELS.parent / name).exists()}
        assert included - local <= {"float.h", "math.h", "stdint.h", "stddef.h", "string.h"}, source.name
        assert not any(name.endswith(".c") or "kernels/" in name for name in included), source.name
    everything = [*KERNELS.glob("*.c"), *KERNELS.parent.glob("*.[ch]")]
    assert not [path.name for path in everything if "Python.h" in path.read_text()]
    assert [path.name for path in everything if "cblas_" in path.read_text()] == ["blas.c"]


def test_importing_fastnn_imports_numpy_and_nothing_else():
    code = """if True:
        import sys, numpy, importlib.metadata
        before = set(sys.modules)
        import fastnn, fastnn.cli
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        new = {name for name in new if "cython_" not in name}  # Cython registers modules of its own, for NumPy too
        private = {"_missing_stdlib_info"}  # of the standard library from 3.15 on, which does not name it
        print(sorted(new - set(sys.stdlib_module_names) - private - {"fastnn", "numpy"}))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_fastnn_is_quick():
    """Not the time, which a busy machine stretches, but what takes long: modules that wait until they are needed."""
    code = "import sys, numpy; before = set(sys.modules); import fastnn; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    new = set(done.stdout.split())
    slow = {"argparse", "asyncio", "email", "fastnn.cli", "fastnn.compat", "html", "http", "importlib.resources"}
    slow |= {"logging", "multiprocessing", "numpy.random", "secrets", "socket", "subprocess", "tempfile", "unittest"}
    assert "fastnn.nn.linear" in new
    assert not new & slow
