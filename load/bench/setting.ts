import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What every proxy is set up with, so that all do the same work: routing by host, X-Forwarded-*, a request id, keep-alive upstream. */
export interface Setting {
  readonly folder: string;
  readonly hosts: number;
  /** 1: `/`; else /p0/ … */
  readonly pathsPerHost: number;
  readonly backendPort: number;
  /** The backend speaks gRPC (HTTP/2 in the clear). */
  readonly isGrpc: boolean;
  readonly httpPort: number;
  readonly httpsPort: number;
  /** PEM files of a P-256 certificate. */
  readonly certificate: string;
  readonly key: string;
}

export const pathsOf = ({ pathsPerHost }: Setting) =>
  pathsPerHost === 1 ? ['/'] : Array.from({ length: pathsPerHost }, (_, i) => `/p${i}`);

export const hostsOf = (setting: Setting) => Array.from({ length: setting.hosts }, (_, i) => `h${i}.bench`);

export function writeConfig(setting: Setting, name: string, text: string): string {
  const path = join(setting.folder, name);
  mkdirSync(setting.folder, { recursive: true });
  writeFileSync(path, text);
  return path;
}
