"""Which errors are shortages of memory, and what becomes of them and of all others."""

import pytest
import torch

from mtl_seg_depth.system.errors import OutOfMemoryError
from mtl_seg_depth.system.memory import shortage_told

CPU = torch.device("cpu")

SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError(),
    MemoryError("Unable to allocate 8.00 GiB for an array with shape (1073741824,) and data type float64"),
    OSError(12, "Cannot allocate memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("unable to mmap 4096 bytes from file </weights.pt>: Cannot allocate memory (12)"),
]

OTHERS = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing"),
    torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
    torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy or unavailable"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    torch._dynamo.exc.TorchDynamoException("out of memory is not what went wrong"),
    NotImplementedError("no such kernel"),
    RecursionError("maximum recursion depth exceeded"),
    OSError(28, "No space left on device"),
    ValueError("can't allocate memory"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
def test_a_shortage_of_memory_is_a_message_that_names_what_was_too_large(error: BaseException) -> None:
    words = r"batch_size=4: cpu is out of memory .*; take smaller ones"
    with pytest.raises(OutOfMemoryError, match=words) as told, shortage_told("batch_size=4", CPU):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_any_other_error_comes_out_as_itself(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, shortage_told("batch_size=4", CPU):
        raise error
    assert raised.value is error
