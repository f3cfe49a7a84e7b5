import { z } from 'zod';

/** One setting of a command: `--name`, `SLUICE_NAME`, or `name:` in the file of --config. */
export interface Flag<S extends z.ZodType = z.ZodType> {
  /** Takes what YAML yields as well as the text of a command line; holds the default. */
  schema: S;
  /** What stands for the value in the help; null: a switch, true when given without a value. */
  placeholder: string | null;
  help: string;
  /** The value may hold a password: messages do not repeat it. */
  isSecret: boolean;
}

export type Flags = Record<string, Flag>;
export type ValuesOf<F extends Flags> = { -readonly [K in keyof F]: z.output<F[K]['schema']> };

export function flag<S extends z.ZodType>(
  schema: S,
  placeholder: string | null,
  help: string,
  { isSecret } = { isSecret: false },
): Flag<S> {
  return { schema, placeholder, help, isSecret };
}

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number) {
  const what = max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`;
  return z.preprocess(
    (value) => (typeof value === 'string' && /^-?\d+$/.test(value.trim()) ? Number(value) : value),
    z
      .int({ error: `must be ${what}` })
      .min(min, `must be ${what}`)
      .max(max, `must be ${what}`),
  );
}

/** 0 lets the kernel choose. */
export const port = integer(0, 65_535);

/** `on`/`off` in the ways people write them. */
export const toggle = z.preprocess(
  (value) => {
    if (typeof value !== 'string') return value;
    if (/^(true|1|yes|on)$/i.test(value)) return true;
    return /^(false|0|no|off)$/i.test(value) ? false : value;
  },
  z.boolean({ error: 'must be true or false' }),
);

/** `250ms`, `30s`, `5m`, `1h` → milliseconds. */
export const duration = z
  .string({ error: 'must be a time like 250ms, 30s, 5m or 1h' })
  .regex(/^\d{1,9}(ms|s|m|h)$/, 'must be a time like 250ms, 30s, 5m or 1h')
  .transform((text) => Number.parseInt(text, 10) * (unitMs[text.replace(/^\d+/, '')] ?? 1))
  // A timer of more than 2³¹ ms ends at once.
  .refine((ms) => ms <= 480 * 3_600_000, 'must be at most 480h');

export const text = z.string({ error: 'must be text' }).min(1, 'must not be empty');

/** Several values: the flag given more than once, or separated by commas, or a YAML list. */
export function list<S extends z.ZodType>(item: S) {
  return z.preprocess(
    (value) =>
      (Array.isArray(value) ? value : [value]).flatMap((part: unknown) =>
        typeof part === 'string'
          ? part
              .split(',')
              .map((piece) => piece.trim())
              .filter((piece) => piece !== '')
          : [part],
      ),
    z.array(item),
  );
}

/** `namespace/name`. */
export const objectName = text.regex(/^[a-z0-9.-]+\/[a-z0-9.-]+$/, 'must be <namespace>/<name>');

export const logLevel = z.enum(['debug', 'info', 'warn', 'error', 'silent'], {
  error: 'must be debug, info, warn, error or silent',
});

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
