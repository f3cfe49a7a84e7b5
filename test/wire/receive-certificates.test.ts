import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer, type SecureContext } from 'node:tls';
import type { Host, Listener } from '#table/listener.ts';
import type { Row, RowKind, RowOf } from '#table/rows.ts';
import { Certificates } from '../../proxy/listen/certificates.ts';
import { certificateFor } from '../kit/certificate.ts';
import { certificateRow, plainServerTls, row } from '../kit/rows.ts';

const tls = { ...plainServerTls, defaultCertificateId: 'default' } as const;

function byId<K extends RowKind>(rows: readonly Row[]): Map<string, RowOf<K>> {
  return new Map(rows.map((each) => [each.row.id, each.row as RowOf<K>]));
}

function host(hostname: string, certificateIds: string[], fields: Partial<Host> = {}): Row {
  return row('host', { id: hostname, hostname, certificateIds, listenerIds: ['https'], ...fields });
}

/** The name in the certificate that a client of the server gets, or the error of its handshake. */
async function presented(port: number, servername: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect');
    return String(socket.getPeerCertificate().subject['CN']);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error';
  } finally {
    socket.destroy();
  }
}

async function serverOf(certificates: Certificates): Promise<{ port: number; close(): void }> {
  const server = createServer({
    SNICallback: (name, done: (error: Error | null, context?: SecureContext) => void) => {
      done(null, certificates.contextFor('https', name, null));
    },
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

test('the server name chooses: exact host, wildcard host, default; swaps and bad material are survived', async () => {
  const unusable: string[] = [];
  const certificates = new Certificates((id) => unusable.push(id));
  const make = async (id: string, names: string[]) => certificateRow(id, names, await certificateFor([id, ...names]));
  const rows = [
    await make('default', []),
    await make('shop', ['shop.test']),
    await make('wild', ['*.test']),
    await make('deep', ['*.deep.test', 'a.b.deep.test']),
    certificateRow('garbage', ['garbage.test'], { cert: 'x', key: 'x' }),
  ];
  certificates.apply({
    listeners: byId<'listener'>([row('listener', { id: 'https', protocol: 'https', tls } as Listener)]),
    hosts: byId<'host'>([
      host('shop.test', ['wild', 'shop']),
      host('*.test', ['wild']),
      host('*.deep.test', ['deep'], { wildcard: 'many' }),
      host('bare.test', []),
      host('uncovered.test', ['shop']),
      host('garbage.test', ['garbage']),
    ]),
    certificates: byId<'certificate'>(rows),
  });
  const server = await serverOf(certificates);
  try {
    const expected: [string, string][] = [
      ['shop.test', 'wild'],
      ['SHOP.test', 'wild'],
      ['other.test', 'wild'],
      ['x.deep.test', 'deep'],
      ['a.b.deep.test', 'deep'],
      ['two.labels.test', 'default'],
      ['bare.test', 'default'],
      ['uncovered.test', 'default'],
      ['garbage.test', 'default'],
      ['nobody.example', 'default'],
    ];
    for (const [name, id] of expected) assert.equal(await presented(server.port, name), id, name);
    assert.deepEqual(unusable, ['garbage']);

    const none = { listeners: new Map(), hosts: new Map(), certificates: new Map() };
    certificates.apply({ ...none, certificates: byId<'certificate'>([await make('wild', ['*.test'])]) });
    assert.equal(await presented(server.port, 'other.test'), 'wild');
    certificates.apply({ ...none, hosts: new Map([['*.test', null]]) });
    assert.equal(await presented(server.port, 'other.test'), 'default');
    certificates.apply({ ...none, certificates: new Map([['default', null]]) });
    assert.equal(certificates.contextFor('https', 'other.test', null), undefined);
    assert.equal(certificates.contextFor('http', 'shop.test', null), undefined);
  } finally {
    server.close();
  }
});
