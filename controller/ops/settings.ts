import { readFileSync } from 'node:fs';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import type { Flags, ValuesOf } from './flag.ts';

/** A setting that cannot be. The message is one line for the person who started the command. */
export class SettingError extends Error {}

/** Where the values of one start come from; a former one wins over a later one. Defaults come last. */
export interface SettingSources {
  /** By the keys of the flags; undefined: not given. */
  commandLine: Readonly<Record<string, unknown>>;
  environment: Readonly<Record<string, string | undefined>>;
  /** Path of a YAML file; null: none. */
  configFile: string | null;
}

/**
 * Reads and checks all settings of a command.
 *
 * @throws SettingError Names the setting, where its value came from, and what it should be.
 */
export function readSettings<F extends Flags>(flags: F, sources: SettingSources): ValuesOf<F> {
  const file = sources.configFile === null ? {} : readConfig(sources.configFile, flags);
  const values: Record<string, unknown> = {};
  for (const [key, { schema, isSecret }] of Object.entries(flags)) {
    const [where, given] = firstGiven([
      [`--${dashed(key)}`, sources.commandLine[key]],
      [variableOf(key), ownVariable(sources.environment[variableOf(key)])],
      [`${dashed(key)} in ${sources.configFile}`, file[dashed(key)]],
    ]);
    const parsed = schema.safeParse(given);
    const shown = isSecret && given !== undefined ? 'hidden, it may hold a password' : given;
    if (!parsed.success) throw new SettingError(`${where}: ${reasonOf(shown, parsed.error)}`);
    values[key] = parsed.data;
  }
  requireDistinct(values);
  return values as ValuesOf<F>;
}

/** Ports that one process binds; all others are what somebody else listens on. */
const boundPorts = ['httpPort', 'httpsPort', 'adminPort', 'publishPort', 'webhookPort'];

/** The second listener of a port would fail after the start, with the first one serving as if all were well. */
function requireDistinct(values: Readonly<Record<string, unknown>>): void {
  const keysByPort = Map.groupBy(
    boundPorts.filter((key) => (values[key] ?? 0) !== 0),
    (key) => values[key],
  );
  for (const [port, [first, second]] of keysByPort) {
    if (first === undefined || second === undefined) continue;
    throw new SettingError(`--${dashed(second)}: must differ from --${dashed(first)}, which is ${port}, too`);
  }
}

/** `httpPort` → `http-port`. */
export function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `httpPort` → `SLUICE_HTTP_PORT`. */
export function variableOf(key: string): string {
  return `SLUICE_${dashed(key).replaceAll('-', '_').toUpperCase()}`;
}

const Config = z.record(z.string(), z.unknown());

function readConfig(path: string, flags: Flags): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SettingError(`--config: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  let config: z.infer<typeof Config>;
  try {
    config = Config.parse(parse(text) ?? {});
  } catch (error) {
    const at = error instanceof YAMLParseError ? error.linePos?.[0] : undefined;
    const place = at ? ` at line ${at.line}, column ${at.col}` : '';
    throw new SettingError(`--config: ${path} is not a YAML map of settings${place}`);
  }
  const known = new Set(Object.keys(flags).map(dashed));
  const unknown = Object.keys(config).find((key) => !known.has(key));
  if (unknown !== undefined) throw new SettingError(`--config: ${path} has the unknown setting "${unknown}"`);
  return config;
}

/**
 * Kubernetes gives each pod variables for each Service of its namespace: a Service named `sluice-http` sets
 * `SLUICE_HTTP_PORT=tcp://10.0.0.1:80`. That is not meant for us. A variable of a label that the pod does not have is empty,
 * and says nothing.
 */
function ownVariable(value: string | undefined): string | undefined {
  return value === undefined || value === '' || /^(tcp|udp|sctp):\/\//.test(value) ? undefined : value;
}

function firstGiven(candidates: readonly (readonly [string, unknown])[]): readonly [string, unknown] {
  const given = candidates.find(([, value]) => value !== undefined);
  return given ?? [candidates[0]?.[0] ?? '', undefined];
}

function reasonOf(given: unknown, error: z.ZodError): string {
  const reason = error.issues[0]?.message ?? 'is not valid';
  return given === undefined ? 'is needed' : `${reason}, not ${JSON.stringify(given)?.slice(0, 80)}`;
}
