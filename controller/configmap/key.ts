/** One key of the ConfigMap that is honoured. The registry, its documentation and the migration report are read from these. */
export interface ConfigKey<T> {
  /** Completes "… is not". */
  syntax: string;
  /** What holds without key, flag and annotation, for the documentation. */
  default: string;
  /** The flag that the key goes before; null: there is none. */
  flag: `--${string}` | null;
  help: string;
  /** Pure; undefined: a bad value. */
  parse(value: string): T | undefined;
  /** Set where neither flag nor default holds in the place of a bad value, as where it would open what the key is there to close. */
  whenBad?: { value: T | undefined; effect: string };
}

export type KeyFamily = Readonly<Record<string, ConfigKey<unknown>>>;
