import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usableOf } from '../../proxy/edge/usable.ts';
import { plainEndpoint } from '../kit/plans.ts';

/** `name:state`, where state is ready, ending (serving and terminating), failing (terminating) or unready; then `@node`, `~zone`, `^hint`. */
function endpoint(text: string) {
  const [, name = '', state, node, forNode, forZone] =
    /^(\w+):(\w+)(?:@(\w+))?(?:\^n(\w+))?(?:\^z(\w+))?$/.exec(text) ?? [];
  return {
    ...plainEndpoint,
    address: '10.0.0.1',
    port: [...name].reduce((sum, letter) => sum * 256 + letter.charCodeAt(0), 0) % 65_535,
    node: node ?? null,
    ready: state === 'ready',
    serving: state === 'ready' || state === 'ending',
    terminating: state === 'ending' || state === 'failing',
    forNodes: forNode === undefined ? [] : [forNode],
    forZones: forZone === undefined ? [] : [forZone],
    name,
  };
}

const cases: { what: string; endpoints: string; cluster: string; local: string }[] = [
  { what: 'nothing', endpoints: '', cluster: '', local: '' },
  { what: 'ready ones', endpoints: 'a:ready@us b:ready@them c:unready@us', cluster: 'a b', local: 'a' },
  { what: 'not those that end, while one is ready', endpoints: 'a:ending@us b:ready@them', cluster: 'b', local: 'a' },
  {
    what: 'all end: those that serve',
    endpoints: 'a:ending@us b:failing@us c:ending@them',
    cluster: 'a c',
    local: 'a',
  },
  { what: 'an ending one that fails gets nothing', endpoints: 'a:failing@us', cluster: '', local: '' },
  { what: 'an unready one gets nothing', endpoints: 'a:unready@us', cluster: '', local: '' },
  { what: 'zone hints', endpoints: 'a:ready^zhere b:ready^zthere c:ready^zhere', cluster: 'a c', local: '' },
  { what: 'one without a hint: none counts', endpoints: 'a:ready^zhere b:ready', cluster: 'a b', local: '' },
  { what: 'no hint means us: none counts', endpoints: 'a:ready^zthere b:ready^zthere', cluster: 'a b', local: '' },
  { what: 'hints of ending ones do not count', endpoints: 'a:ready^zhere b:ending', cluster: 'a', local: '' },
  { what: 'node hints go before zones', endpoints: 'a:ready^nus^zthere b:ready^nthem^zhere', cluster: 'a', local: '' },
  {
    what: 'node hints for others: zones',
    endpoints: 'a:ready^nthem^zhere b:ready^nthem^zthere',
    cluster: 'a',
    local: '',
  },
  {
    what: 'hints do not narrow the local list',
    endpoints: 'a:ready@us^zthere b:ready@them^zhere',
    cluster: 'b',
    local: 'a',
  },
];

for (const { what, endpoints, cluster, local } of cases) {
  test(`edge endpoints: ${what}`, () => {
    const given = endpoints.split(' ').filter(Boolean).map(endpoint);
    const usable = usableOf(given, { node: 'us', zone: 'here' });
    const names = (list: readonly object[]) => list.map((each) => (each as { name: string }).name).join(' ');
    assert.deepEqual([names(usable.cluster), names(usable.local)], [cluster, local]);
  });
}
