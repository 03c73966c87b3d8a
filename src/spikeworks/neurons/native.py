"""From LLVM assembly to a running kernel: compile, keep on disk, call on torch's own threads.

llvmlite carries LLVM, so no compiler is needed on the user's machine. Objects are cached under ``$SPIKEWORKS_CACHE``
(default ``~/.cache/spikeworks``), one file per kernel and processor, written aside and renamed, so that processes
may compile at the same time; a damaged file is recompiled.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import tempfile
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from .assembly import Math
from .trace import said

_SLEEF = {  # the functions eager torch uses, so that transcendental neurons agree with it to the last bit
    "exp": "expf{}_u10", "expm1": "expm1f{}_u10", "log": "logf{}_u10", "log1p": "log1pf{}_u10", "sin": "sinf{}_u35",
    "cos": "cosf{}_u35", "tanh": "tanhf{}_u10", "erf": "erff{}_u10", "pow": "powf{}_u10",
}  # fmt: skip


def constant_when_compiled(function: Any) -> Any:
    """Have ``torch.compile`` take the result as a constant: ``torch.compiler.assume_constant_result``, which would
    import ``torch._dynamo`` (over a second) to set the same mark."""
    function._dynamo_marked_constant = True
    return function


def aside(function: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own, free of the modes and keys that compilers and transforms leave on the
    calling thread; its result is returned, its exception raised here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@constant_when_compiled
def unavailable() -> str | None:
    """Why kernels cannot be compiled here; ``None`` if they can."""
    return _unavailable()


@cache
def _unavailable() -> str | None:
    try:
        _engine()
    except Exception as error:  # any failure of a compiler we do not control means: run eagerly
        return f"LLVM is not usable here ({said(error)})"
    return None


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    base = os.environ.get("SPIKEWORKS_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spikeworks"


def load(text: str) -> int:
    """The address of the function ``@kernel`` of an LLVM module."""
    import llvmlite
    import llvmlite.binding as llvm

    engine, machine = _engine()
    about = f"{llvmlite.__version__} {llvm.llvm_version_info} {machine.triple} {_cpu()}\n"
    digest = hashlib.sha256((about + text).encode()).hexdigest()[:32]
    with _LOCK:
        if digest not in _LINKED:
            _LINKED[digest] = _link(text, digest, engine, machine)
        return int(_LINKED[digest][f"k{digest}"])


def _link(text: str, digest: str, engine: Any, machine: Any) -> Any:
    import llvmlite.binding as llvm

    path = cache_folder() / f"{digest}.o"
    binary = _read(path)
    if binary is None:
        binary = _compile(text.replace("@kernel", f"@k{digest}"), machine)
        _write(path, binary)
    library = llvm.JITLibraryBuilder().add_object_img(binary).add_current_process().export_symbol(f"k{digest}")
    for name, address in _symbols().items():
        library.import_symbol(name, address)
    return library.link(engine, digest)


def call(kernel: int, fields: Sequence[int], threads: int) -> Sequence[int]:
    """Run a kernel on up to ``threads`` threads of the pool that torch uses; returns the fields as it left them."""
    table = array("q", fields)  # quicker to fill than a ctypes array
    address, _ = table.buffer_info()
    if threads > 1 and (parallel := _parallel()) is not None:
        parallel(kernel, address, threads, 0)
    else:
        _FUNCTION(kernel)(address)
    return table


@cache
def vector_math() -> Math:
    """The vector functions of torch's own SLEEF for this processor; without them libm serves, one float at a time."""
    features = _cpu()[1]
    width = 16 if "+avx512f" in features else 8 if "+avx2" in features else 4
    library = _torch_library()
    names = {op: f"Sleef_{name.format(width)}" for op, name in _SLEEF.items()}
    found = {op: name for op, name in names.items() if library is not None and hasattr(library, name)}
    return Math(width, found)


_LOCK = Lock()  # threads that meet a kernel at once must link it once, into one engine
_LINKED: dict[str, Any] = {}  # linked code lives as long as its handle
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _engine() -> tuple[Any, Any]:
    with _LOCK:
        return _only_engine()


@cache
def _only_engine() -> tuple[Any, Any]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _cpu()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu, features, opt=3, reloc="pic", codemodel="jitdefault")
    return llvm.create_lljit_compiler(machine), machine


@cache
def _symbols() -> dict[str, int]:
    """What kernels call: the thread's number and torch's vector functions."""
    openmp, library = _openmp(), _torch_library()
    functions = {n: getattr(openmp, n) for n in _ALONE} if openmp is not None else dict(_ALONE)
    functions |= {name: getattr(library, name) for name in vector_math().names.values()}
    return {name: ctypes.cast(f, ctypes.c_void_p).value or 0 for name, f in functions.items()}


_ALONE = {
    "omp_get_thread_num": ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0),
    "omp_get_num_threads": ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1),
}


@cache
def _cpu() -> tuple[str, str]:
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def _torch_library() -> ctypes.CDLL | None:
    suffix = {"Darwin": "dylib"}.get(platform.system(), "so")
    return _open(str(Path(torch.__file__).parent / "lib" / f"libtorch_cpu.{suffix}"))


@cache
def _openmp() -> ctypes.CDLL | None:
    # torch has loaded its libgomp already; asking by name gives the same library and so the same thread pool
    return _open("libgomp.so.1")


def _open(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


@cache
def _parallel() -> Any:
    library = _openmp()
    if library is None:
        return None
    library.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    library.GOMP_parallel.restype = None
    return library.GOMP_parallel


def _compile(text: str, machine: Any) -> bytes:
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    seal, binary = data[:32], data[32:]
    return binary if hashlib.sha256(binary).digest() == seal else None


def _write(path: Path, binary: bytes) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written costs a recompilation, nothing else
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(binary).digest() + binary)
        Path(name).replace(path)
