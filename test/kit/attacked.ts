import { certificateFor } from './certificate.ts';
import { ingress, ingressClass, type Manifest, service, tlsSecret } from './manifests.ts';
import { answer, answerBytes, Recorder } from './recorder.ts';
import { Standalone } from './sluice.ts';

/** A backend for clients of any kind: 4 MiB for `/large`, else `ok`. */
export function largeBackend(): Promise<Recorder> {
  // The same bytes for all: a thousand copies of them would be the flood that is measured.
  const large = Buffer.from(`HTTP/1.1 200 X\r\nContent-Length: ${4 << 20}\r\n\r\n${'x'.repeat(4 << 20)}`);
  return Recorder.start({
    onRequest: (request) => (request.target === '/large' ? answerBytes(request, large) : answer(request, 'ok')),
  });
}

/**
 * A gateway that is to be attacked, with and without TLS.
 * @param ports of the backends, by the host that they serve
 * @param args more flags
 */
export async function startAttacked(
  ports: Readonly<Record<string, number>>,
  args: readonly string[] = [],
): Promise<Standalone> {
  const hosts = Object.keys(ports);
  const manifests: Manifest[] = [ingressClass(), tlsSecret('cert', await certificateFor(hosts))];
  for (const [nth, host] of hosts.entries()) {
    const name = `backend-${nth}`;
    const annotations = { 'ssl-redirect': 'false' };
    manifests.push(
      ingress({ name, host, paths: { '/': name }, tlsSecret: 'cert', annotations }),
      ...service(name, [ports[host] ?? 0]),
    );
  }
  return Standalone.start({ manifests, args });
}
