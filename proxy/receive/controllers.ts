import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';

/** One controller at one address. */
export interface Controller {
  /** As it was configured, for logs. */
  url: string;
  /** `https://<address>:<port>`. */
  origin: string;
}

/**
 * All addresses of all URLs, each once. A name that cannot be resolved has none.
 *
 * @throws When no name can be resolved: the reason of the last one.
 */
export async function findControllers(urls: readonly string[]): Promise<Controller[]> {
  const controllersByOrigin = new Map<string, Controller>();
  let failure: unknown = null;
  for (const url of urls) {
    const { hostname, port } = new URL(url);
    try {
      for (const { address, family } of await lookup(hostname.replace(/^\[|\]$/g, ''), { all: true })) {
        const origin = `https://${family === 6 ? `[${address}]` : address}:${port || 443}`;
        controllersByOrigin.set(origin, { url, origin });
      }
    } catch (error) {
      failure = error;
    }
  }
  if (controllersByOrigin.size === 0 && failure !== null) throw failure;
  return [...controllersByOrigin.values()];
}

/**
 * What proves the controller to us and us to the controller. Read each time, because both are replaced while we run.
 *
 * @throws When a file cannot be read or holds nothing of use. TLS would take an empty authority for "whoever the public
 * authorities vouch for".
 */
export async function readCredentials(files: {
  caFile: string;
  tokenFile: string;
}): Promise<{ ca: string; token: string }> {
  const [ca, token] = await Promise.all([readFile(files.caFile, 'utf8'), readFile(files.tokenFile, 'utf8')]);
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) throw new Error(`${files.caFile} holds no certificate in PEM form`);
  if (!/^[ -~]+$/.test(token.trim())) throw new Error(`${files.tokenFile} does not hold one token`);
  return { ca, token: token.trim() };
}
