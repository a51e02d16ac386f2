# One-word commands.  Each does all of its own set-up, from nothing but Python and a C compiler;
# what it sets up lives in .venv/ and build/, and is renewed when a source file changed.

PYTHON ?= python3
PYTEST_ARGS ?=

TAG := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(TAG),)
$(error PYTHON=$(PYTHON) does not run: name a Python >= 3.10, as in `make test PYTHON=python3.11`)
endif
VENVS := .venv/$(TAG)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# Directories too: a removed file changes its folder.
SOURCES := setup.py pyproject.toml MANIFEST.in \
	$(shell find src_c cbp -not -name '*.so' -not -name '*.pyc' -not -name __pycache__)

# Which tests run under a sanitizer.
ASAN_TESTS ?= tests
TSAN_TESTS ?= tests/test_processes.py tests/test_training.py tests/test_backprop.py \
	tests/test_determinism.py
ASAN_SELECT ?= not slow and not exhaustive and not peers and not no_sanitizer
TSAN_SELECT ?= not slow and not exhaustive and not peers and not no_sanitizer

# Python starts with -I: it must find the installed package, not the source folder beside it.
RUN_DEMO = $(VENVS)/demo/bin/python -I
RUN_TEST = $(VENVS)/test/bin/python

.PHONY: help demo test exhaustive asan tsan bench test-peers wheel clean

help:
	@echo "make demo         train a digits classifier and show what it learnt"
	@echo "make test         run the tests (PYTEST_ARGS='-k digits' and the like are passed on)"
	@echo "make exhaustive   check the float32 functions at every one of 2^32 inputs"
	@echo "make asan         run the tests under AddressSanitizer and UBSanitizer (gcc)"
	@echo "make tsan         run the tests of threads under ThreadSanitizer (clang-19)"
	@echo "make test-peers   run the comparisons with PyTorch (a large download)"
	@echo "make bench        time cbp beside NumPy and scikit-learn"
	@echo "make wheel        build a wheel into dist/"
	@echo "make clean        remove all that the commands above have made"
	@echo "PYTHON=python3.12 chooses the interpreter; now $(PYTHON) ($(TAG))"

demo: $(VENVS)/demo/installed
	@$(RUN_DEMO) -m cbp demo

test: $(VENVS)/test/installed
	$(RUN_TEST) -m pytest $(PYTEST_ARGS)

exhaustive: $(VENVS)/test/installed
	$(RUN_TEST) -m pytest -m exhaustive $(PYTEST_ARGS)

bench: $(VENVS)/test/installed
	$(RUN_TEST) benchmarks/bench.py $(BENCH_ARGS)

test-peers: $(VENVS)/peers/installed
	$(VENVS)/peers/bin/python -m pytest -m peers $(PYTEST_ARGS)

wheel: $(VENVS)/test/installed
	$(NO_STALE_COPIES)
	$(RUN_TEST) -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist

clean:
	rm -rf build dist .venv cbp.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find cbp tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

# setuptools never removes a deleted module from its build folders: the copies go before each build.
NO_STALE_COPIES = if [ -d build ]; then find build -path '*/cbp/*' -name '*.py*' -delete; fi

define install
@echo "building cbp in $(@D) (about a minute) ..."
@$(@D)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(@D)
@$(NO_STALE_COPIES)
endef

$(VENVS)/demo/installed: $(SOURCES)
	$(install)
	@$(@D)/bin/python $(PIP_INSTALL) .
	@touch $@

$(VENVS)/test/installed: $(SOURCES)
	$(install)
	@$(@D)/bin/python $(PIP_INSTALL) '.[test]'
	@touch $@

$(VENVS)/peers/installed: $(SOURCES)
	$(install)
	@$(@D)/bin/python $(PIP_INSTALL) '.[test]' torch==2.13.0
	@touch $@

# --- sanitizers -------------------------------------------------------------------------------
# The instrumented package is built into build/asan or build/tsan and found through PYTHONPATH,
# before the installed one.  Python's own flags carry -fwrapv, which would hide signed overflow
# from UBSan, hence -fno-wrapv.  Guarded variables make frames larger.  CPython and NumPy leak on
# purpose at exit: leaks are not counted.

$(VENVS)/test/build-tools: $(VENVS)/test/installed
	@$(RUN_TEST) $(PIP_INSTALL) 'setuptools>=77' 'Cython>=3.2,<4'
	@touch $@

ASAN_FLAGS := -O1 -g -fno-wrapv -fno-omit-frame-pointer -Wno-frame-larger-than \
	-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all

asan: $(VENVS)/test/build-tools
	$(NO_STALE_COPIES)
	CC=gcc CBP_DEBUG=1 CFLAGS='$(ASAN_FLAGS)' LDFLAGS='-fsanitize=address,undefined' \
		$(RUN_TEST) setup.py --quiet build --build-lib build/asan --build-temp build/asan-objects
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/asan \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$(RUN_TEST) -m pytest -m '$(ASAN_SELECT)' $(ASAN_TESTS) $(PYTEST_ARGS)

# gcc's libgomp is not instrumented and gives false reports; clang's OpenMP has archer, which
# tells ThreadSanitizer about its barriers.
LLVM := /usr/lib/llvm-19/lib
SYMBOLIZER := /usr/lib/llvm-19/bin/llvm-symbolizer
TSAN_FLAGS := -fsanitize=thread -shared-libsan -fopenmp

tsan: $(VENVS)/test/build-tools
	@if ! command -v clang-19 >/dev/null || ! [ -e $(LLVM)/libarcher.so ]; then \
		echo "make tsan needs clang-19 with OpenMP: apt-get install clang-19 libomp-19-dev" \
			"libclang-rt-19-dev llvm-19  (SKIP=1 lets this pass without)."; \
		[ -n "$(SKIP)" ]; exit; \
	fi; \
	set -e; set -x; $(NO_STALE_COPIES); \
	CC=clang-19 LDSHARED='clang-19 -shared' CBP_DEBUG=1 CFLAGS='-O1 -g $(TSAN_FLAGS)' \
	LDFLAGS='$(TSAN_FLAGS) -L$(LLVM) -Wl,-rpath,$(LLVM)' \
		$(RUN_TEST) setup.py --quiet build --build-lib build/tsan --build-temp build/tsan-objects; \
	LD_PRELOAD=$$(clang-19 -print-file-name=libclang_rt.tsan-$$(uname -m).so) \
	OMP_TOOL_LIBRARIES=$(LLVM)/libarcher.so OPENBLAS_NUM_THREADS=1 \
	PYTHONPATH=$(CURDIR)/build/tsan \
	TSAN_OPTIONS="ignore_noninstrumented_modules=1:external_symbolizer_path=$(SYMBOLIZER)" \
		$(RUN_TEST) -m pytest -m '$(TSAN_SELECT)' $(TSAN_TESTS) $(PYTEST_ARGS)
