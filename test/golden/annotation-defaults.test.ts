import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registry } from '../../controller/annotations/registry.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { optionsOf, readObjects, viewOf } from './translating.ts';

/** Rows and problems of one Ingress and its Service. */
function translated(annotations: Readonly<Record<string, string>>) {
  const port = { name: 'http', port: 80 };
  const backend = { service: { name: 'web', port: { number: 80 } } };
  const { objects } = readObjects([
    { kind: 'IngressClass', metadata: { name: 'sluice' }, spec: { controller: 'sluice.dev/ingress-controller' } },
    { kind: 'Service', metadata: { name: 'web', namespace: 'demo' }, spec: { ports: [port] } },
    {
      kind: 'Ingress',
      metadata: { name: 'web', namespace: 'demo', annotations },
      spec: {
        ingressClassName: 'sluice',
        rules: [{ host: 'gw.test', http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
      },
    },
  ]);
  const changes = objects.map(({ kind, metadata }) => ({ kind, key: `${metadata.namespace}/${metadata.name}` }));
  const { upserts, problems } = new Translator(optionsOf({})).apply(viewOf(objects), changes, [], 0);
  return { rows: upserts.filter(({ kind }) => kind === 'route' || kind === 'backend'), problems };
}

test('an annotation with the value that the reference page calls its default changes nothing', () => {
  const usual = translated({});
  const names: string[] = [];
  for (const [name, { default: standard }] of Object.entries(registry)) {
    // A word, and for some a value.
    if (standard === 'none') continue;
    const { rows, problems } = translated({ [`sluice.dev/${name}`]: standard });
    // Some defaults are told in words, and some do nothing for want of another annotation.
    if (problems.length > usual.problems.length) continue;
    names.push(name);
    assert.deepEqual(rows, usual.rows, `${name}: ${standard}`);
  }
  for (const prefix of ['proxy-', 'outlier-', 'max-', 'ssl-']) assert.ok(names.some((name) => name.startsWith(prefix)));
});
