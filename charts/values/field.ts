import { z } from 'zod';

/** What values are made of. Every field has a default, which is what values.yaml shows, and says what it is for. */

/** An object of a fixed set of keys; a key that is not there is a typing error, and said so. */
export function group<S extends z.ZodRawShape>(about: string, shape: S): z.ZodPrefault<z.ZodObject<S, z.core.$strict>> {
  // Every key of the shape has a default, which its type does not say.
  return z
    .strictObject(shape)
    .prefault({} as never)
    .describe(about);
}

export function text(usual: string, about: string): z.ZodDefault<z.ZodString> {
  return z.string().default(usual).describe(about);
}

export function toggle(isUsual: boolean, about: string): z.ZodDefault<z.ZodBoolean> {
  return z.boolean().default(isUsual).describe(about);
}

export function count(usual: number, about: string): z.ZodDefault<z.ZodInt> {
  return z.int().min(0).default(usual).describe(about);
}

/** null: nothing is said, and Kubernetes or the program decides. */
export function optionalCount(usual: number | null, about: string): z.ZodDefault<z.ZodNullable<z.ZodInt>> {
  return z.int().min(0).nullable().default(usual).describe(about);
}

/** A number, or a share like 25%. */
export function amount(usual: number | string | null, about: string) {
  return z
    .union([z.int().min(0), z.string().regex(/^\d+%$/)])
    .nullable()
    .default(usual)
    .describe(about);
}

export function port(usual: number, about: string): z.ZodDefault<z.ZodInt> {
  return z.int().min(1).max(65_535).default(usual).describe(about);
}

export function choice<const T extends readonly [string, ...string[]]>(options: T, usual: T[number], about: string) {
  return z
    .enum(options)
    .default(usual as never)
    .describe(about);
}

export function texts(about: string, usual: string[] = []): z.ZodDefault<z.ZodArray<z.ZodString>> {
  return z.array(z.string()).default(usual).describe(about);
}

/** Names to texts, as labels and annotations are; numbers and switches are taken for what they look like. */
export function textMap(about: string, usual: Record<string, string> = {}) {
  return z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .default(usual)
    .describe(about);
}

/** A part of a Kubernetes object, as its API says it. */
export function part(about: string, usual: Record<string, unknown> = {}) {
  return z.record(z.string(), z.unknown()).default(usual).describe(about);
}

/** A list of such parts. */
export function parts(about: string, usual: Record<string, unknown>[] = []) {
  return z.array(z.record(z.string(), z.unknown())).default(usual).describe(about);
}
