"""python bench/forms.py FILE.onnx FOLDER [FORM...]

The forms in which people pass an ONNX classifier on, written as FOLDER/<name>.<form>.onnx: for one image, simplified, in
other opsets, out of ONNX Runtime's optimisers, quantised, in other numbers, with other inputs and outputs. Prints those that
a tool refuses to write. The file takes one input [n, channels, height, width] of float32. Needs onnx, onnxruntime,
onnxconverter-common, onnxsim. `npx tsx bench/wild-onnx.ts` runs them.
"""

import copy
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType


class Noise(CalibrationDataReader):
    def __init__(self, model):
        value = images_of(model)
        sizes = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        rng = np.random.default_rng(0)
        self.feeds = iter([{value.name: rng.uniform(-2, 2, sizes).astype(np.float32)} for _ in range(8)])

    def get_next(self):
        return next(self.feeds, None)


def images_of(model):
    weights = {tensor.name for tensor in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in weights)


def batch_of(count):
    def form(model):
        for value in [images_of(model), *model.graph.output]:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = count
        del model.graph.value_info[:]
        return model

    return form


def simplified(model):
    import onnxsim

    return onnxsim.simplify(model)[0]


def one_simplified(model):
    return simplified(batch_of(1)(model))


def opset(version):
    return lambda model: onnx.version_converter.convert_version(model, version)


def optimised(level):
    def form(model):
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath = "/tmp/forms-optimised.onnx"
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load("/tmp/forms-optimised.onnx")

    return form


def transformer(kind):
    def form(model):
        from onnxruntime.transformers.optimizer import optimize_model

        onnx.save(model, "/tmp/forms-in.onnx")
        return optimize_model("/tmp/forms-in.onnx", kind, num_heads=0, hidden_size=0, opt_level=0).model

    return form


def half_transformer(model):
    from onnxruntime.transformers.onnx_model import OnnxModel

    fused = OnnxModel(transformer("vit")(model))
    fused.convert_float_to_float16(keep_io_types=False)
    return fused.model


def quantised(**options):
    def form(model):
        onnx.save(model, "/tmp/forms-in.onnx")
        options_ = {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantization.quantize_static(
            "/tmp/forms-in.onnx", "/tmp/forms-out.onnx", Noise(model), **{**options_, **options}
        )
        return onnx.load("/tmp/forms-out.onnx")

    return form


def dynamic(**options):
    def form(model):
        onnx.save(model, "/tmp/forms-in.onnx")
        quantization.quantize_dynamic("/tmp/forms-in.onnx", "/tmp/forms-out.onnx", **options)
        return onnx.load("/tmp/forms-out.onnx")

    return form


def weights_of(bits, quant_format):
    def form(model):
        from onnxruntime.quantization import matmul_nbits_quantizer as nbits

        config = nbits.DefaultWeightOnlyQuantConfig(block_size=32, bits=bits, quant_format=quant_format)
        quantizer = nbits.MatMulNBitsQuantizer(model, algo_config=config)
        quantizer.process()
        return quantizer.model.model

    return form


def half(**options):
    def form(model):
        from onnxconverter_common.float16 import convert_float_to_float16

        return convert_float_to_float16(model, **options)

    return form


def half_weights(model):
    """Weights are stored as float16 and cast on loading."""
    kept = []
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + "_half"))
        casts.append(helper.make_node("Cast", [tensor.name + "_half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return model


def numbers_of(kind):
    """All float32 numbers, images and results too, become numbers of another type."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def tensor_of(tensor):
        if tensor.data_type != TensorProto.FLOAT:
            return tensor
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name)

    def form(model):
        tensors = [tensor_of(tensor) for tensor in model.graph.initializer]
        del model.graph.initializer[:]
        model.graph.initializer.extend(tensors)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    attribute.t.CopyFrom(tensor_of(attribute.t))
                if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                    attribute.i = kind
        for value in [*model.graph.input, *model.graph.output]:
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = kind
        del model.graph.value_info[:]
        return model

    return form


def renamed(model, old, new):
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def with_front(dims, kind, write):
    """Another input, and nodes that make the old one of it. `dims`: batch, channels, height, width by letters."""

    def form(model):
        value = images_of(model)
        name = value.name
        sizes = dict(zip("nchw", value.type.tensor_type.shape.dim))
        nodes, tensors = write(name, {key: sizes[key].dim_value for key in "chw"})
        shape = [
            "batch" if letter == "n" else int(np.prod([sizes[key].dim_value for key in letter])) for letter in dims
        ]
        value.CopyFrom(helper.make_tensor_value_info("images", kind, shape))
        rest = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*nodes, *rest])
        model.graph.initializer.extend(numpy_helper.from_array(data, key) for key, data in tensors.items())
        return model

    return form


def bytes_in(name, _):
    mean, std = (np.array(v, np.float32) for v in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]))
    return [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], [name], perm=[0, 3, 1, 2]),
    ], {"mean": mean, "std": std}


def channels_last(name, _):
    return [helper.make_node("Transpose", ["images"], [name], perm=[0, 3, 1, 2])], {}


def flat(name, sizes):
    shape = np.array([-1, sizes["c"], sizes["h"], sizes["w"]], np.int64)
    return [helper.make_node("Reshape", ["images", "unflat"], [name])], {"unflat": shape}


def grey(axes):
    """One channel, repeated for a network of three."""

    def write(name, _):
        unsqueezed = [helper.make_node("Unsqueeze", ["images", "one"], ["maps"])] if axes == 3 else []
        source = "maps" if unsqueezed else "images"
        return [*unsqueezed, helper.make_node("Concat", [source] * 3, [name], axis=1)], {"one": np.array([1], np.int64)}

    return write


def with_end(*ends):
    """Nodes behind the logits. `more`: keeps the logits as an output of their own."""

    def form(model):
        output = model.graph.output[0]
        classes = output.type.tensor_type.shape.dim[-1].dim_value or "classes"
        name = output.name
        renamed(model, name, "logits_inside")
        node, shape, kind = (TensorProto.FLOAT,) * 3
        for i, (op, attributes, shape, kind) in enumerate(ends):
            result = name if i == 0 else f"{op.lower()}_{i}"
            inputs = ["logits_inside"]
            if op == "Unsqueeze":
                model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.int64), "last_axes"))
                inputs.append("last_axes")
            node = helper.make_node(op, inputs, [result], **attributes)
            sizes = [{"n": "batch", "c": classes, "1": 1}[letter] for letter in shape]
            info = helper.make_tensor_value_info(result, kind, sizes)
            model.graph.node.append(node)
            if i == 0:
                output.CopyFrom(info)
            else:
                model.graph.output.append(info)
        return model

    return form


def open_sizes(model):
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        images_of(model).type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    return model


def listed_inputs(model):
    """As exporters of IR version 3 did: weights are inputs too."""
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return model


F, U8, F16 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.FLOAT16
FORMS = {
    "plain": lambda model: model,
    "one": batch_of(1),
    "four": batch_of(4),
    "simplified": simplified,
    "one-simplified": one_simplified,
    **{f"opset{version}": opset(version) for version in (7, 8, 9, 10, 11, 12, 18, 19, 21, 23, 25)},
    **{f"optimised-{level[10:].lower()}": optimised(level) for level in ("ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED")},
    "optimised-all": optimised("ORT_ENABLE_ALL"),
    "vit": transformer("vit"),
    "bert": transformer("bert"),
    "vit-half": half_transformer,
    "qdq": quantised(),
    "qdq-int8": quantised(activation_type=QuantType.QInt8),
    "qdq-channel": quantised(per_channel=True),
    "qdq-channel-int8": quantised(per_channel=True, activation_type=QuantType.QInt8),
    "qdq-symmetric": quantised(
        activation_type=QuantType.QInt8, extra_options={"ActivationSymmetric": True, "WeightSymmetric": True}
    ),
    "qdq-int16": quantised(
        activation_type=QuantType.QUInt16, extra_options={"UseQDQContribOps": True}
    ),
    "qdq-two-pairs": quantised(extra_options={"DedicatedQDQPair": True, "QDQKeepRemovableActivations": True}),
    "qoperator": quantised(quant_format=QuantFormat.QOperator),
    "qoperator-channel": quantised(quant_format=QuantFormat.QOperator, per_channel=True),
    "dynamic": dynamic(weight_type=QuantType.QUInt8),
    "dynamic-int8": dynamic(weight_type=QuantType.QInt8),
    "dynamic-channel": dynamic(weight_type=QuantType.QInt8, per_channel=True, reduce_range=True),
    "weights-4": weights_of(4, QuantFormat.QOperator),
    "weights-8": weights_of(8, QuantFormat.QOperator),
    "weights-4-qdq": weights_of(4, QuantFormat.QDQ),
    "weights-8-qdq": weights_of(8, QuantFormat.QDQ),
    "half-inside": half(keep_io_types=True),
    "half": half(keep_io_types=False),
    "half-weights": half_weights,
    "bfloat16": numbers_of(TensorProto.BFLOAT16),
    "double": numbers_of(TensorProto.DOUBLE),
    "bytes": with_front("nhwc", U8, bytes_in),
    "last": with_front("nhwc", F, channels_last),
    "flat": with_front(("n", "chw"), F, flat),
    "grey": with_front(("n", "h", "w"), F, grey(3)),
    "softmax": with_end(("Softmax", {"axis": 1}, "nc", F)),
    "logsoftmax": with_end(("LogSoftmax", {"axis": 1}, "nc", F)),
    "sigmoid": with_end(("Sigmoid", {}, "nc", F)),
    "maps": with_end(("Unsqueeze", {}, "nc11", F)),
    "two": with_end(("Softmax", {"axis": -1}, "nc", F), ("ArgMax", {"axis": 1, "keepdims": 0}, "n", TensorProto.INT64)),
    "three": with_end(("Identity", {}, "nc", F), ("Softmax", {"axis": -1}, "nc", F), ("LogSoftmax", {}, "nc", F)),
    "class": with_end(("ArgMax", {"axis": 1, "keepdims": 0}, "n", TensorProto.INT64)),
    "open-sizes": open_sizes,
    "listed": listed_inputs,
}


def main():
    path, folder, *chosen = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    name = os.path.basename(path).removesuffix(".onnx").replace(".", "-")
    base = onnx.load(path)
    for form in chosen or FORMS:
        out = f"{folder}/{name}.{form}.onnx"
        if os.path.exists(out):  # of an earlier run
            continue
        try:
            onnx.save(FORMS[form](copy.deepcopy(base)), out)
        except Exception as error:  # the tool's own refusal
            print(out, "not written:", str(error).split("\n")[0][:150], flush=True)


if __name__ == "__main__":
    main()
