import type { PlanRow } from '#table/plan.ts';
import type { EdgeEndpoint } from '#table/service.ts';
import { plainEndpoint, planRow } from './plans.ts';

/** So many Services of one TCP port with so many endpoints each. Their addresses lead nowhere. */
export function manyServices(services: number, endpoints: number): PlanRow[] {
  return Array.from({ length: services }, (_, i) => [
    planRow('endpoints', {
      id: `many/s${i}/tcp/80`,
      endpoints: Array.from({ length: endpoints }, (_, k) => endpoint(i * endpoints + k)),
    }),
    planRow('service', {
      id: `many/s${i}`,
      source: { kind: 'Service', namespace: 'many', name: `s${i}` },
      namespace: 'many',
      name: `s${i}`,
      clusterIps: [`10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`],
      ports: [{ name: 'http', protocol: 'tcp', port: 80, nodePort: null, endpointsId: `many/s${i}/tcp/80` }],
    }),
  ]).flat();
}

/** The endpoints of a Service with one of them replaced, a different one each time. */
export function otherEndpoint(rows: readonly PlanRow[], nth: number): PlanRow {
  const of = rows[2 * ((nth * 7_919) % (rows.length / 2))];
  if (of?.kind !== 'endpoints') throw new Error('rows of manyServices are wanted');
  const endpoints = [...of.row.endpoints];
  endpoints[nth % endpoints.length] = { ...endpoint(0), address: `10.250.${(nth >> 8) & 255}.${nth & 255}` };
  return { kind: 'endpoints', row: { ...of.row, endpoints } };
}

function endpoint(nth: number): EdgeEndpoint {
  const node = `node-${(nth % 50) + 1}`;
  const address = `10.${128 + (nth >> 16)}.${(nth >> 8) & 255}.${nth & 255}`;
  return { ...plainEndpoint, address, port: 8080, node, zone: `zone-${nth % 3}` };
}
