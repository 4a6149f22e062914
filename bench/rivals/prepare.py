"""What the rivals need of a subject once: python prepare.py FOLDER

8-bit networks by ONNX Runtime (static, QDQ, per channel) and by OpenVINO's nncf, calibrated on FOLDER/calibration.bin, which
are training images; earlyon's exits. Prints one JSON document: what was made, and what could not be and why.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
folder = Path(sys.argv[1])
subject = json.loads((folder / "subject.json").read_text())
calibration = np.fromfile(folder / "calibration.bin", np.float32).reshape(-1, *subject["input"])


def int8_onnxruntime():
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(np.array_split(calibration, len(calibration) // 32))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    prepared, made = folder / "prepared.onnx", folder / "int8-onnxruntime.onnx"
    quant_pre_process(str(folder / "original.onnx"), str(prepared))
    quantize_static(
        str(prepared),
        str(made),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Without VNNI sums of products of full 8-bit numbers saturate: ONNX Runtime's advice is 7 bits there.
        reduce_range=not subject["hasVnni"],
    )
    prepared.unlink()
    return {"file": made.name}


def int8_openvino():
    import nncf
    import openvino

    model = openvino.Core().read_model(str(folder / "original.onnx"))
    data = nncf.Dataset([image[None] for image in calibration])
    quantised = nncf.quantize(model, data, subset_size=len(calibration))
    openvino.save_model(quantised, str(folder / "int8-openvino.xml"), compress_to_fp16=False)
    return {"file": "int8-openvino.xml"}


def earlyon():
    from earlyon_exits import train

    return train(subject, folder, subject["drops"])


found = {}
for name, make in {"int8-onnxruntime": int8_onnxruntime, "int8-openvino": int8_openvino, "earlyon": earlyon}.items():
    if name == "earlyon" and not (folder / "train.safetensors").exists():
        continue
    try:
        found[name] = make()
    except Exception as error:
        found[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
print("RESULT " + json.dumps(found))
