import { markdownTable } from '../annotations/markdown.ts';
import { registry } from '../annotations/registry.ts';
import type { ConfigKey } from './key.ts';
import { configKeys } from './registry.ts';
import { unhonouredKeys } from './unhonoured.ts';

/** The text of docs/configmap.md. */
export function configMapDocument(): string {
  const honoured = Object.entries<ConfigKey<unknown>>(configKeys).sort(byName);
  const others = [...unhonouredKeys].sort(byName);
  return [
    '# ConfigMap',
    '',
    'Generated from the registry in controller/configmap; do not edit.',
    '',
    '`--configmap NS/NAME` names the ConfigMap whose keys hold for all objects, with the names and syntaxes of ingress-nginx; `sluice standalone` looks for it among the manifests. An annotation goes before the ConfigMap, that before a flag, and that before the default. An edit is in force at once; what is settled when a client connects (TLS, who is believed, Strict-Transport-Security), or when a backend is connected to (upstream-keepalive-*), holds for connections that are opened after it. Every value that is not honoured is a problem on the ConfigMap; one that is not even text, as a file may hold it, closes the gateway (503), for what protects may stand beside it. No other ConfigMap is read but those of `--tcp-services-configmap` and `--udp-services-configmap`.',
    '',
    '## Honoured',
    '',
    ...markdownTable([
      ['Key', 'Value', 'Default', 'Goes before', 'Gives way to', 'What it does'],
      ...honoured.map(([name, { syntax, default: usual, flag, help }]) => [
        `\`${name}\``,
        syntax,
        usual,
        flag === null ? '' : `\`${flag}\``,
        Object.hasOwn(registry, name) ? 'the annotation' : '',
        help,
      ]),
    ]),
    '',
    '## Known, not honoured',
    '',
    'Where serving without the key would open what it closes, every request is answered with 503 ("closes the gateway"). Values that ask for what holds anyway are no problem.',
    '',
    ...markdownTable([
      ['Key', 'Without it', 'Advice'],
      ...others.map(([name, { advice, closes }]) => [
        `\`${name}\``,
        closes ? 'closes the gateway' : 'served without',
        advice,
      ]),
    ]),
    '',
    '## On purpose otherwise than ingress-nginx',
    '',
    '- Strict-Transport-Security is sent when a key or `--hsts` asks for it; ingress-nginx sends it without being asked.',
    '- A bad `proxy-real-ip-cidr` means that nobody is believed; ingress-nginx then believes everybody.',
    '- Host reaches backends as the believed peer sends it, beside its X-Forwarded-Host; ingress-nginx writes that into Host, by which whoever is believed could choose another site of a backend than that which the rules chose. What others claim in X-Forwarded-Host is not passed on; ingress-nginx does so as X-Original-Forwarded-Host.',
    '- Without `load-balance` the endpoint with fewer requests in flight of two random ones is taken; ingress-nginx takes turns.',
    '- Where PROXY headers are taken, peers outside `proxy-real-ip-cidr` are refused; ingress-nginx serves them under their own address.',
    '- Without `proxy-stream-responses` a UDP client keeps its endpoint until it falls silent: for 60 seconds, or 10 when it has sent one datagram only. In ingress-nginx its flow ends with the first answer, and waits for 600.',
    '- A port of tcp-services without a Service or endpoint stays open and resets its connections; ingress-nginx closes it.',
    '- What protects and is not honoured yet closes the gateway.',
    '',
  ].join('\n');
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
