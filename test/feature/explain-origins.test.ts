import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Source } from '#table/problem.ts';
import { emptyTable } from '#table/rows.ts';
import { originsOf } from '../../controller/explain/origins.ts';
import { changed } from '../../controller/explain/state.ts';
import { defaultTranslateOptions } from '../../controller/translate/options.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { HeldView } from '../../controller/watch/held.ts';
import { readManifests } from '../../controller/watch/manifests.ts';
import { ingress, ingressClass, toYaml } from '../kit/manifests.ts';

class CountingTranslator extends Translator {
  count = 0;

  override apply(...args: Parameters<Translator['apply']>): ReturnType<Translator['apply']> {
    this.count++;
    return super.apply(...args);
  }
}

test('on a host of hundreds of Ingresses what sets a setting is found by few translations, whoever sets it', () => {
  const names = Array.from({ length: 300 }, (_, at) => `i${at}`);
  const manifests = names.map((name) =>
    ingress({
      name,
      host: 'shared.test',
      paths: { [`/${name}`]: 'web' },
      annotations: {
        'proxy-read-timeout': '30',
        'proxy-body-size': '5m',
        ...(name === 'i200' && { 'ssl-ciphers': 'ECDHE-RSA-AES128-GCM-SHA256' }),
      },
    }),
  );
  const view = new HeldView();
  for (const object of readManifests(toYaml([ingressClass(), ...manifests]), 'all.yaml').objects) view.put(object);
  const translator = new CountingTranslator(defaultTranslateOptions);
  const { upserts } = translator.apply(view, [], [], 0);
  const table = changed(emptyTable(), upserts, []);
  const sources = names.map((name): Source => ({ kind: 'Ingress', namespace: 'default', name }));
  const origins = originsOf({ view, translator, table, problems: [] }, null, sources, [
    { kind: 'host', id: 'ingress/shared.test' },
    { kind: 'route', id: 'ingress/default/i0/0/0' },
  ]);
  assert.deepEqual(Object.fromEntries(origins), {
    'host ingress/shared.test ciphers': 'sluice.dev/ssl-ciphers of Ingress default/i200',
    'route ingress/default/i0/0/0 timeouts.readMs': 'sluice.dev/proxy-read-timeout of Ingress default/i0',
    'route ingress/default/i0/0/0 timeouts.tunnelMs': 'sluice.dev/proxy-read-timeout of Ingress default/i0',
    'route ingress/default/i0/0/0 bodyLimit': 'sluice.dev/proxy-body-size of Ingress default/i0',
  });
  assert.ok(translator.count < 60, `${translator.count} translations`);
});
