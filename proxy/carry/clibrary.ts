import type { FunctionSignature, WrappedFunctionFromSignature } from 'node:ffi';

type Found<T extends FunctionSignature> = WrappedFunctionFromSignature<T> | null;

/**
 * A function of the C library that Node has no way to but its FFI, which is experimental: where that is switched off or gone, or the
 * library another one, there is none, and whoever wants it goes on without.
 *
 * @returns asks for it. It is looked for only then: Node warns of its FFI, and a command line that serves nobody is no place for that.
 */
export function ofLibrary<const T extends FunctionSignature>(name: string, signature: T): () => Found<T> {
  let found: Found<T> | undefined;
  return () => {
    if (found === undefined) found = lookUp(name, signature);
    return found;
  };
}

function lookUp<const T extends FunctionSignature>(name: string, signature: T): Found<T> {
  if (process.platform !== 'linux') return null;
  try {
    return process.getBuiltinModule('node:ffi').dlopen(null, { [name]: signature }).functions[name] ?? null;
  } catch {
    return null;
  }
}
