import { expect } from 'chai';
import { assertLoads } from '../../src/engines/onnxruntime/loads.js';

describe("ONNX Runtime's native library", () => {
  it('is one line with another engine where it is missing or does not load', () => {
    const failing = (message: string) => () =>
      assertLoads(() => {
        throw new Error(message);
      });
    expect(
      failing("Cannot find module '../bin/napi-v6/darwin/x64/onnxruntime_binding.node'\nRequire stack:\n- /a/b.js"),
    )
      .to.throw()
      .with.property('problems')
      .that.satisfies(
        ([line, more]: string[]) =>
          more === undefined &&
          /does not load on \w+ \w+: no library 'napi-v6\/darwin\/x64\/onnxruntime_binding.node'; .*tfjs-wasm, but gates are trained by ONNX/.test(
            line!,
          ),
      );
    expect(failing('Error loading shared library ld-linux-x86-64.so.2: No such file or directory')).to.throw(
      /ld-linux.*tfjs-wasm, but .* alone; run: npm ci$/,
    );
    expect(() => assertLoads()).not.to.throw();
  });
});
