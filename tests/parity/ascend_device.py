"""A device of AscendCL by ctypes: memory, tensors made from numpy arrays, calls of aclnn operators.

For ascend_operators_parity.py, which runs it on the emulator's libraries; nothing here knows that they are emulated.
"""
import ctypes

import numpy as np

DTYPES = {"f32": 0, "f16": 1, "i8": 2, "i32": 3, "u8": 4, "i64": 9, "bool": 12, "bf16": 27, "i4": 29}
NUMPY = {"f32": np.float32, "f16": np.float16, "i8": np.int8, "i32": np.int32, "u8": np.uint8, "i64": np.int64,
         "bool": np.bool_, "bf16": np.uint16}
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2


def rounded(values, dtype):
    """float64 values as `dtype` (f32, f16, bf16) holds them, to nearest even, as float64."""
    values = np.asarray(values, np.float64)
    if dtype != "bf16":
        with np.errstate(over="ignore"):
            return values.astype(NUMPY[dtype]).astype(np.float64)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bits = narrow.view(np.uint32)
    up = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    return np.where(np.isnan(narrow), np.nan, up.view(np.float32)).astype(np.float64)


def stored(values, dtype):
    """The array whose bytes a tensor of `dtype` has."""
    if dtype == "i4":
        flat = np.asarray(values, np.int64).reshape(-1) & 15
        return (flat[0::2] | flat[1::2] << 4).astype(np.uint8)
    if dtype == "bf16":
        return np.ascontiguousarray(rounded(values, "bf16").astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return np.ascontiguousarray(np.asarray(values).astype(NUMPY[dtype]))


def loaded(array, dtype):
    """The reverse, floats as float64."""
    if dtype == "bf16":
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64) if dtype in ("f32", "f16") else array


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status


class Tensor:
    """A view of memory on the device; views of a tensor keep its memory."""

    def __init__(self, device, dtype, dims, strides, offset, address, n_stored, owner=None):
        self.device, self.dtype, self.dims, self.strides, self.offset = device, dtype, tuple(dims), tuple(strides), offset
        self.address, self.n_stored, self.owner = address, n_stored, owner
        integers = lambda values: (ctypes.c_int64 * max(1, len(values)))(*values)
        self.handle = device.base.aclCreateTensor(integers(self.dims), len(self.dims), DTYPES[dtype], integers(self.strides), offset, 2,
                                                  integers((n_stored,)), 1, address)
        if not self.handle:
            raise Refused(0, device.message())

    def view(self, dims, strides, offset=0):
        return Tensor(self.device, self.dtype, dims, strides, self.offset + offset, self.address, self.n_stored, self)

    def transposed(self):
        """[k, n] over the memory of [n, k]."""
        return self.view(self.dims[::-1], self.strides[::-1])

    def read(self):
        """All elements, floats as float64; waits for the device."""
        self.device.synchronize()
        flat = np.empty(self.n_stored, NUMPY[self.dtype])
        self.device.check(self.device.acl.aclrtMemcpy(flat.ctypes.data, flat.nbytes, self.address, flat.nbytes, DEVICE_TO_HOST))
        size = flat.itemsize
        view = np.lib.stride_tricks.as_strided(flat[self.offset:], self.dims, [stride * size for stride in self.strides])
        return loaded(view.copy(), self.dtype)


class Device:
    def __init__(self, folder):
        libraries = [ctypes.CDLL(f"{folder}/{name}", ctypes.RTLD_GLOBAL) for name in ("libascendcl.so", "libnnopbase.so", "libopapi.so")]
        self.acl, self.base, self.ops = libraries
        self.acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
        for name in ("aclrtMalloc", "aclrtFree", "aclrtMemcpy", "aclrtSynchronizeStream"):
            getattr(self.acl, name).argtypes = {
                "aclrtMalloc": [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int],
                "aclrtFree": [ctypes.c_void_p],
                "aclrtMemcpy": [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int],
                "aclrtSynchronizeStream": [ctypes.c_void_p]}[name]
        pointer, unsigned = ctypes.c_void_p, ctypes.c_uint64
        self.base.aclCreateTensor.argtypes = [pointer, unsigned, ctypes.c_int, pointer, ctypes.c_int64, ctypes.c_int, pointer, unsigned, pointer]
        for name in ("aclCreateTensor", "aclCreateScalar", "aclCreateIntArray", "aclCreateTensorList"):
            getattr(self.base, name).restype = pointer
        self.check(self.acl.aclInit(None))
        self.check(self.acl.aclrtSetDevice(0))
        self.stream = pointer()
        self.check(self.acl.aclrtCreateStreamWithConfig(ctypes.byref(self.stream), 0, 3))
        self.workspace, self.workspace_bytes = pointer(), 0

    def message(self):
        return (self.acl.aclGetRecentErrMsg() or b"").decode()

    def check(self, status):
        if status != 0:
            raise Refused(status, self.message())

    def synchronize(self):
        self.check(self.acl.aclrtSynchronizeStream(self.stream))

    def allocate(self, n_bytes):
        address = ctypes.c_void_p()
        self.check(self.acl.aclrtMalloc(ctypes.byref(address), max(1, n_bytes), 0))
        return address

    def tensor(self, values, dtype, dims=None):
        """A dense tensor with these values."""
        array = stored(values, dtype)
        dims = np.shape(values) if dims is None else dims
        address = self.allocate(array.nbytes)
        self.check(self.acl.aclrtMemcpy(address, array.nbytes, array.ctypes.data, array.nbytes, HOST_TO_DEVICE))
        strides = [int(np.prod(dims[i + 1:], dtype=np.int64)) for i in range(len(dims))]
        return Tensor(self, dtype, dims, strides, 0, address, int(np.prod(dims, dtype=np.int64)))

    def empty(self, dims, dtype):
        return self.tensor(np.zeros(dims), dtype)

    def free(self, *tensors):
        for tensor in tensors:
            self.acl.aclrtFree(tensor.address)

    def scalar(self, value, dtype="f32"):
        array = stored(np.array([value]), dtype)
        self.base.aclCreateScalar.argtypes = [ctypes.c_void_p, ctypes.c_int]
        return ctypes.c_void_p(self.base.aclCreateScalar(array.ctypes.data, DTYPES[dtype]))

    def integers(self, values):
        if values is None:
            return None
        array = (ctypes.c_int64 * len(values))(*values)
        return ctypes.c_void_p(self.base.aclCreateIntArray(array, ctypes.c_uint64(len(values))))

    def tensors(self, items):
        array = (ctypes.c_void_p * len(items))(*[item.handle for item in items])
        return ctypes.c_void_p(self.base.aclCreateTensorList(array, ctypes.c_uint64(len(items))))

    def call(self, name, *arguments):
        """Both phases. Python floats are doubles, ints are int64, bools are bool; others as ctypes makes them."""
        converted = []
        for argument in arguments:
            if isinstance(argument, Tensor):
                argument = ctypes.c_void_p(argument.handle)
            elif isinstance(argument, bool):
                argument = ctypes.c_bool(argument)
            elif isinstance(argument, int):
                argument = ctypes.c_int64(argument)
            elif isinstance(argument, float):
                argument = ctypes.c_double(argument)
            elif argument is None:
                argument = ctypes.c_void_p()
            converted.append(argument)
        needed, executor = ctypes.c_uint64(), ctypes.c_void_p()
        self.check(getattr(self.ops, f"aclnn{name}GetWorkspaceSize")(*converted, ctypes.byref(needed), ctypes.byref(executor)))
        if needed.value > self.workspace_bytes:
            self.synchronize()
            if self.workspace_bytes:
                self.acl.aclrtFree(self.workspace)
            self.workspace, self.workspace_bytes = self.allocate(needed.value), needed.value
        space = self.workspace if needed.value else ctypes.c_void_p()
        self.check(getattr(self.ops, f"aclnn{name}")(space, needed, executor, self.stream))
