import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Matcher } from '../../proxy/match/matcher.ts';
import type { Host } from '../../proxy/table/listener.ts';
import { PathMatch, type Route, ValueMatch } from '../../proxy/table/route.ts';
import { factsOf, parseRequest } from './facts.ts';
import { hostRow, routeRow } from './rows.ts';

const folder = join(import.meta.dirname, 'match');

const Case = z.strictObject({
  about: z.string(),
  hosts: z.array(
    z.strictObject({
      id: z.string(),
      hostname: z.string().optional(),
      wildcard: z.enum(['one', 'many']).default('one'),
      canFallThrough: z.boolean().default(false),
      listenerIds: z.array(z.string()).default(['http']),
    }),
  ),
  routes: z.array(
    z.strictObject({
      id: z.string(),
      hosts: z.array(z.string()),
      path: PathMatch,
      methods: z.array(z.string()).nullable().default(null),
      headers: z.array(ValueMatch).default([]),
      query: z.array(ValueMatch).default([]),
      priority: z.int().default(0),
      order: z.string().optional(),
    }),
  ),
  requests: z.array(
    z.strictObject({
      send: z.string(),
      headers: z.record(z.string(), z.string()).default({}),
      listener: z.string().default('http'),
      /** Id of the route, or `400`, `404 no host`, `404 no route of <host id>`. */
      expect: z.string().default(''),
    }),
  ),
});

for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  const path = join(folder, file);
  const document = parseDocument(readFileSync(path, 'utf8'));
  const golden = Case.parse(document.toJS());
  test(`${file.replace('.yaml', '')}: ${golden.about}`, () => {
    const matcher = new Matcher();
    matcher.apply({
      hosts: byId(golden.hosts.map((host): Host => hostRow({ ...host, hostname: host.hostname ?? host.id }))),
      routes: byId(
        golden.routes.map(
          (route): Route =>
            routeRow({
              id: route.id,
              hostIds: route.hosts,
              match: { path: route.path, methods: route.methods, headers: route.headers, query: route.query },
              precedence: { priority: route.priority, order: route.order ?? route.id },
            }),
        ),
      ),
    });
    const answers = golden.requests.map((request) => {
      const facts = factsOf(parseRequest(request.send, request.headers));
      if (!facts) return '400';
      const { route, host } = matcher.match(request.listener, facts);
      return route?.row.id ?? (host ? `404 no route of ${host.id}` : '404 no host');
    });
    if (process.env['UPDATE'] === '1') {
      answers.forEach((answer, i) => {
        document.setIn(['requests', i, 'expect'], answer);
      });
      writeFileSync(path, document.toString({ lineWidth: 120, flowCollectionPadding: false }));
      return;
    }
    assert.deepEqual(
      answers.map((answer, i) => `${golden.requests[i]?.send} → ${answer}`),
      golden.requests.map((request) => `${request.send} → ${request.expect}`),
    );
  });
}

const byId = <T extends { id: string }>(rows: readonly T[]) => new Map(rows.map((row) => [row.id, row]));
