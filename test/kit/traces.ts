import { createPrivateKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A secret, in the forms in which it could show up. */
export interface Trace {
  name: string;
  forms: readonly Buffer[];
}

/** Of a password or token: as it is, in base64 at each of the three places that it can begin at, in base64url, in hex. */
export function traceOfText(name: string, text: string): Trace {
  const bytes = Buffer.from(text);
  const shifted = [0, 1, 2].map((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift, 'x'), bytes]).toString('base64');
    // Without the characters that hold bits of what stands before or after.
    return whole.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
  });
  const others = [...shifted, ...shifted.map((each) => each.replaceAll('+', '-').replaceAll('/', '_'))];
  return { name, forms: [bytes, ...[...others, bytes.toString('hex')].map((form) => Buffer.from(form))] };
}

/** Of a private key: each line of its PEM, its DER, and the number that makes it private. */
export function traceOfKey(name: string, pem: string): Trace {
  const key = createPrivateKey(pem);
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const lines = pem.split('\n').filter((line) => line.length >= 40 && !line.startsWith('-'));
  const { d = '' } = key.export({ format: 'jwk' }) as { d?: string };
  const number = Buffer.from(d, 'base64url');
  const forms = [traceOfText('', pem), ...lines.map((line) => traceOfText('', line))].flatMap((each) => each.forms);
  return { name, forms: [...forms, der, number, Buffer.from(d), Buffer.from(number.toString('hex'))] };
}

/** Which of the secrets are in which of the texts or files, each as `secret in place`. */
export function leaks(traces: readonly Trace[], places: ReadonlyMap<string, Buffer>): string[] {
  return [...places].flatMap(([place, bytes]) =>
    traces.filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => `${name} in ${place}`),
  );
}

/** All files below a folder. */
export function filesIn(folder: string): Map<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return new Map(files.map((file) => [file, readFileSync(file)]));
}
