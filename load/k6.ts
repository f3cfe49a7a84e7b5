import { findGoProgram } from '../test/kit/goprogram.ts';

/** Path of a k6 program. Building it takes a minute or two, once. */
export function findK6(): string {
  return findGoProgram({ name: 'k6', path: 'go.k6.io/k6', module: 'go.k6.io/k6', version: 'v1.8.1' });
}
