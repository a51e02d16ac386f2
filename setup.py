"""Builds the compiled modules of cbp; everything that is not compiled stands in pyproject.toml.

One shared object, cbp._runtime, holds the C kernels of src_c/: each instruction set is a file of
its own with its own compiler flags, and the choice is made when cbp is imported.  The other
modules are Cython only and reach the kernels through _runtime.

Environment variables:
    CBP_NO_OPENMP=1   build single-threaded, whatever the compiler can do
    CBP_WERROR=1      warnings in src_c are errors
    CBP_DEBUG=1       keep debug information and symbols
    CC CFLAGS LDFLAGS have their usual meaning; CFLAGS come last, so they win.
"""

import os
import shlex
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

KERNELS = sorted(glob("src_c/*.c"))
HEADERS = sorted(glob("src_c/*.h") + glob("cbp/*.h") + glob("cbp/*.pxd"))

# No flag here may let the compiler change a result: no contraction, no reassociation.
# -Werror=incompatible-pointer-types turns a .pxd that disagrees with its header into an error.
EVERY_FILE = ["-g0", "-ffp-contract=off", "-Werror=incompatible-pointer-types"]
CYTHON_FILE = ["-O2"]
KERNEL_FILE = [
    "-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Wvla", "-Wframe-larger-than=16384",
]  # fmt: skip
X86_64_ONLY = {
    "kernels_avx2.c": ["-mavx2", "-mfma"],
    "kernels_avx512.c": [
        "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma",
        "-mprefer-vector-width=512",
    ],
}  # fmt: skip

# (compile, link): gcc and clang; Apple's clang, alone and with the usual homes of libomp.
OPENMP_FLAGS = [(["-fopenmp"], ["-fopenmp"])] + [
    (
        ["-Xpreprocessor", "-fopenmp"] + ([f"-I{home}/include"] if home else []),
        ([f"-L{home}/lib"] if home else []) + ["-lomp"],
    )
    for home in ("", os.environ.get("CONDA_PREFIX"), "/opt/homebrew/opt/libomp",
                 "/usr/local/opt/libomp")
    if home is not None
]  # fmt: skip
OPENMP_PROGRAM = """
#include <omp.h>
int cbp_probe(void) { int n = 0;
#pragma omp parallel
{ if (omp_get_thread_num() == 0) n = omp_get_num_threads(); }
return n; }
"""
X86_64_PROGRAM = """
#ifndef __x86_64__
#error "not x86-64"
#endif
int cbp_probe(void) { return 0; }
"""


def switched_on(name):
    """Whether the environment variable `name` is set to anything but "" or "0"."""
    return os.environ.get(name, "0") not in ("", "0")


class BuildKernels(build_ext):
    """build_ext with flags per file, OpenMP where it works, and Cython's shared utility module."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self):
        from Cython.Build import cythonize

        translated = cythonize(
            [
                Extension(ext.name, [s for s in ext.sources if s not in KERNELS])
                for ext in self.extensions
            ],
            build_dir="build/cython",
            # One copy of Cython's memoryview code for all modules, not one for each.
            shared_utility_qualified_name="cbp._cyutility",
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
                "embedsignature": True,
            },
        )
        sources = {ext.name: ext.sources for ext in translated}
        for ext in self.extensions:
            ext.depends += [s for s in ext.sources if s.endswith(".pyx")]
            ext.sources = sources[ext.name] + [s for s in ext.sources if s in KERNELS]
        super().run()

    def build_extensions(self):
        if self.compiler.compiler_type != "unix":
            raise CompileError("cbp is built with gcc or clang; set CC to one of them.")
        user = shlex.split(os.environ.get("CFLAGS", ""))
        every = list(EVERY_FILE)
        if switched_on("CBP_DEBUG"):
            every.remove("-g0")
            every.append("-g")
        strip = [] if switched_on("CBP_DEBUG") or os.uname().sysname != "Linux" else ["-Wl,-s"]
        openmp_compile, openmp_link = self.find_openmp()
        x86_64 = self.builds(X86_64_PROGRAM)
        self.kernel_flags = {}
        for source in KERNELS:
            isa = X86_64_ONLY.get(Path(source).name, []) if x86_64 else []
            werror = ["-Werror"] if switched_on("CBP_WERROR") else []
            self.kernel_flags[source] = every + KERNEL_FILE + isa + werror + user
        for ext in self.extensions:
            ext.extra_compile_args = every + CYTHON_FILE + openmp_compile + user
            ext.extra_link_args = openmp_link + strip
        # setuptools rebuilds when a file is newer, not when a flag changed: make flags a file.
        flags = Path(self.build_temp, "flags.txt")
        of_extensions = [(e.name, e.extra_compile_args, e.extra_link_args) for e in self.extensions]
        compiler = (self.compiler.compiler_so, self.compiler.linker_so)
        used = repr((compiler, self.kernel_flags, of_extensions))
        if not flags.exists() or flags.read_text() != used:
            flags.parent.mkdir(parents=True, exist_ok=True)
            flags.write_text(used)
        self.every_depends = [*HEADERS, str(flags)]
        for ext in self.extensions:
            ext.depends.append(str(flags))
        super().build_extensions()

    def build_extension(self, ext):
        """Compiles each kernel file with its own flags, then lets setuptools do the rest."""
        kernels = [s for s in ext.sources if s in KERNELS]
        ext.sources = [s for s in ext.sources if s not in KERNELS]
        ext.depends += kernels
        with ThreadPoolExecutor(self.parallel) as pool:
            ext.extra_objects += pool.map(self.compile_kernel, kernels)
        super().build_extension(ext)

    def compile_kernel(self, source):
        """The object file of one kernel file, compiled anew if anything it depends on changed."""
        (built,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
        if self.force or newer_group([source, *self.every_depends], built, "newer"):
            self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=["src_c"],
                extra_postargs=self.kernel_flags[source],
            )
        return built

    def find_openmp(self):
        """(compile flags, link flags) that build an OpenMP program here, or ([], [])."""
        if not switched_on("CBP_NO_OPENMP"):
            for compile_flags, link_flags in OPENMP_FLAGS:
                if self.builds(OPENMP_PROGRAM, compile_flags, link_flags):
                    return compile_flags, link_flags
            print("cbp: this compiler has no OpenMP; building single-threaded.")
        return [], []

    def builds(self, program, compile_flags=(), link_flags=()):
        """Whether `program` compiles and links into a shared object."""
        user = shlex.split(os.environ.get("CFLAGS", ""))
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=[*compile_flags, *user]
                )
                self.compiler.link_shared_object(
                    objects, str(Path(folder, "probe.so")), extra_postargs=list(link_flags)
                )
            except (CompileError, LinkError):
                return False
        return True


def extension(name, sources):
    """One compiled module; it is rebuilt whenever a C header or a .pxd changed."""
    return Extension(name, sources, include_dirs=["src_c", "cbp"], depends=list(HEADERS))


setup(
    cmdclass={"build_ext": BuildKernels},
    ext_modules=[
        # The only module that links the kernels: a second one would get its own copy of the
        # chosen instruction set.
        extension("cbp._runtime", ["cbp/_runtime.pyx", *KERNELS]),
        extension("cbp._dense", ["cbp/_dense.pyx"]),
        extension("cbp._functions", ["cbp/_functions.pyx"]),
        extension("cbp._backprop", ["cbp/_backprop.pyx"]),
        extension("cbp._small", ["cbp/_small.pyx"]),
        extension("cbp._training", ["cbp/_training.pyx"]),
        extension("cbp._cyutility", []),  # written by Cython
    ],
)
