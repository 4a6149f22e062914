import protobuf from 'protobufjs';
import { Budget } from '../json.js';

/** The part of ONNX's schema that dgate reads and writes, from onnx.proto (github.com/onnx/onnx). */
const schema = `
syntax = "proto2";
package onnx;
message ModelProto {
  optional int64 ir_version = 1;
  optional string producer_name = 2;
  optional string producer_version = 3;
  optional string doc_string = 6;
  optional GraphProto graph = 7;
  repeated OperatorSetIdProto opset_import = 8;
  repeated StringStringEntryProto metadata_props = 14;
}
message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
message StringStringEntryProto { optional string key = 1; optional string value = 2; }
message GraphProto {
  repeated NodeProto node = 1;
  optional string name = 2;
  repeated TensorProto initializer = 5;
  repeated ValueInfoProto input = 11;
  repeated ValueInfoProto output = 12;
  repeated ValueInfoProto value_info = 13;
}
message NodeProto {
  repeated string input = 1;
  repeated string output = 2;
  optional string name = 3;
  optional string op_type = 4;
  repeated AttributeProto attribute = 5;
  optional string domain = 7;
}
message AttributeProto {
  optional string name = 1;
  optional float f = 2;
  optional int64 i = 3;
  optional bytes s = 4;
  optional TensorProto t = 5;
  optional GraphProto g = 6;
  repeated float floats = 7;
  repeated int64 ints = 8;
  repeated bytes strings = 9;
  optional int32 type = 20;
}
message TensorProto {
  repeated int64 dims = 1;
  optional int32 data_type = 2;
  repeated float float_data = 4 [packed = true];
  repeated int32 int32_data = 5 [packed = true];
  repeated int64 int64_data = 7 [packed = true];
  optional string name = 8;
  optional bytes raw_data = 9;
  repeated double double_data = 10 [packed = true];
  repeated uint64 uint64_data = 11 [packed = true];
  optional int32 data_location = 14;
}
message ValueInfoProto { optional string name = 1; optional TypeProto type = 2; }
message TypeProto {
  message Tensor { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; }
  optional Tensor tensor_type = 1;
}
message TensorShapeProto {
  message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
  repeated Dimension dim = 1;
}
`;

/** TensorProto.DataType. */
export const dataTypes = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  double: 11,
  bfloat16: 16,
} as const;
export type DataType = keyof typeof dataTypes;

/** AttributeProto.AttributeType. */
export const attributeTypes = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const;

/** TensorProto.DataLocation of a tensor whose data lie in another file. */
export const EXTERNAL = 1;

export interface TensorMessage {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data_type: number;
  readonly raw_data: Uint8Array;
  /** Instead of raw bytes. */
  readonly float_data?: readonly number[];
  readonly double_data?: readonly number[];
  readonly int32_data?: readonly number[];
  readonly int64_data?: readonly (number | { toNumber(): number })[];
  /** {@link EXTERNAL} or absent. */
  readonly data_location?: number;
}
export interface AttributeMessage {
  readonly name: string;
  readonly type: number;
  readonly f?: number;
  readonly i?: number;
  readonly s?: Uint8Array;
  readonly ints?: readonly number[];
  readonly floats?: readonly number[];
  readonly g?: GraphMessage;
  readonly t?: TensorMessage;
}
export interface NodeMessage {
  readonly op_type: string;
  readonly name: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly AttributeMessage[];
  /** '' or absent: ONNX's own operators. */
  readonly domain?: string;
}
export interface ValueInfoMessage {
  readonly name: string;
  readonly type: {
    readonly tensor_type: {
      readonly elem_type: number;
      readonly shape: { readonly dim: readonly ({ dim_value: number } | { dim_param: string })[] };
    };
  };
}
export interface GraphMessage {
  readonly name: string;
  readonly node: readonly NodeMessage[];
  readonly initializer: readonly TensorMessage[];
  readonly input: readonly ValueInfoMessage[];
  readonly output: readonly ValueInfoMessage[];
  /** Of intermediate values. */
  readonly value_info?: readonly ValueInfoMessage[];
}
export interface ModelMessage {
  readonly ir_version: number;
  readonly producer_name: string;
  readonly producer_version: string;
  readonly opset_import: readonly { readonly domain: string; readonly version: number }[];
  readonly graph: GraphMessage;
  readonly metadata_props: readonly { readonly key: string; readonly value: string }[];
}

let parsed: protobuf.Type | undefined;

function modelType(): protobuf.Type {
  parsed ??= protobuf.parse(schema, { keepCase: true }).root.resolveAll().lookupType('onnx.ModelProto');
  return parsed;
}

export function encodeModel(model: ModelMessage): Uint8Array {
  return modelType()
    .encode(model as unknown as protobuf.Message)
    .finish();
}

/**
 * Reads the fields of an ONNX file that the schema covers.
 *
 * @param budget spent on memory: empty messages take a hundred times their bytes
 * @throws Error if the bytes are not a protocol buffer of this kind; InputError if the budget is spent
 */
export function decodeModel(
  bytes: Uint8Array,
  budget = new Budget('model', bytes.byteLength, 'a smaller one'),
): ModelMessage {
  const type = modelType();
  spendFields(protobuf.Reader.create(bytes), bytes.byteLength, type, budget);
  return type.decode(bytes) as unknown as ModelMessage;
}

/** Wire type of texts, bytes, messages and packed numbers. */
const LENGTH_DELIMITED = 2;
/** Budget of a message, in steps; a field takes one. */
const MESSAGE_STEPS = 4;

/** Spends the budget for the fields of a message, before it is decoded. */
function spendFields(reader: protobuf.Reader, end: number, type: protobuf.Type, budget: Budget, depth = 0): void {
  if (depth > protobuf.Reader.recursionLimit) throw new Error('messages nest too deeply');
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = type.fieldsById[tag >>> 3];
    budget.steps();
    if ((tag & 7) !== LENGTH_DELIMITED) {
      reader.skipType(tag & 7);
      continue;
    }
    const length = reader.uint32();
    const after = reader.pos + length;
    if (after > end) throw new RangeError('index out of range');
    if (field?.resolvedType instanceof protobuf.Type) {
      budget.steps(MESSAGE_STEPS);
      spendFields(reader, after, field.resolvedType, budget, depth + 1);
    } else if (field?.packed) {
      // Floats take 8 bytes in memory; 64-bit integers are objects.
      if (field.type === 'float' || field.type === 'double') budget.bytes(2 * length);
      else budget.steps(length);
    }
    reader.pos = after;
  }
}
