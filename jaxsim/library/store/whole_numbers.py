"""A matrix of whole numbers whose products with many vectors are fast: ONNX Runtime's, and exact.

Its kernels multiply unsigned by signed bytes, with the instructions that processors have for
neural networks; a vector's numbers are therefore raised by 128, which the product takes back.
"""

import functools
import os

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8  # which every runtime reads
RAISED = 128
THREADS = min(4, os.cpu_count() or 1)
ERRORS = 3  # the level below which the runtime is silent


class WholeNumbers:
    """An int8 matrix [M, E], held once, in the order that the products read it in."""

    def __init__(self) -> None:
        self._parts: list[onnxruntime.InferenceSession] = []

    def append(self, rows: np.ndarray) -> None:
        """Adds rows, int8 [m, E]; many at a time, since each time is a pass of its own."""
        self._parts.append(_session(rows, _precision()))

    def products(self, vectors: np.ndarray) -> np.ndarray:
        """int32 inner products [Q, M] of every row with vectors, int8 [Q, E].

        Python's lock is free meanwhile; any number of threads may call it.
        """
        found = [_multiply(part, vectors) for part in self._parts]
        if len(found) == 1:
            return found[0]
        return np.concatenate([np.zeros((len(vectors), 0), np.int32), *found], axis=1)


def _multiply(session: onnxruntime.InferenceSession, vectors: np.ndarray) -> np.ndarray:
    raised = (vectors.astype(np.int16) + RAISED).astype(np.uint8)
    (found,) = session.run(None, {"vectors": raised})
    return found


def _session(numbers: np.ndarray, precision: str) -> onnxruntime.InferenceSession:
    """Multiplies by the transpose of an int8 matrix [M, E]."""
    columns = np.ascontiguousarray(numbers.T)
    matrix = TensorProto(
        name="matrix",
        data_type=TensorProto.INT8,
        dims=columns.shape,
        data_location=TensorProto.EXTERNAL,  # so that the runtime keeps its own order of it alone
    )
    where = {"location": "memory", "offset": "0", "length": str(columns.nbytes)}
    for key, value in where.items():
        matrix.external_data.add(key=key, value=value)
    raised = numpy_helper.from_array(np.array(RAISED, np.uint8), "raised")
    asked = helper.make_tensor_value_info("vectors", TensorProto.UINT8, ["Q", len(columns)])
    found = helper.make_tensor_value_info("found", TensorProto.INT32, ["Q", len(numbers)])
    product = helper.make_node("MatMulInteger", ["vectors", "matrix", "raised"], ["found"])
    graph = helper.make_graph([product], "products", [asked], [found], [matrix, raised])
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS
    options.intra_op_num_threads = THREADS
    options.enable_cpu_mem_arena = False  # what a pass has needed is free after it
    # Threads that wait in a busy loop would take the processors from other requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", precision)
    memory = onnxruntime.OrtValue.ortvalue_from_numpy(columns)
    options.add_external_initializers(["matrix"], [memory])
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@functools.cache
def _precision() -> str:
    """The runtime's setting with which products are exact on this machine.

    x86 processors without VNNI add pairs of products in sixteen bits, which the largest ones do not
    fit into; the runtime's other way is exact there, and slower elsewhere.
    """
    largest = np.full((64, 64), 127, np.int8)
    is_exact = (_multiply(_session(largest, "0"), largest) == 64 * 127 * 127).all()
    return "0" if is_exact else "1"
