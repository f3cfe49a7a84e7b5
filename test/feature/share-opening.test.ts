import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import pino from 'pino';
import { feedKeyOf } from '../../proxy/share/feed.ts';
import { Share } from '../../proxy/share/share.ts';
import { uptimeMs } from '../../proxy/share/uptime.ts';
import { RedisServer, skipWithoutRedis } from '../kit/redis.ts';
import { eventually } from '../kit/wait.ts';

const skip = skipWithoutRedis();
const redis = skip === false ? await RedisServer.start() : null;
after(() => redis?.stop());

function opening(fleetKey: string): Share {
  const settings = { url: redis?.url ?? '', passwordFile: null, caFile: null };
  const share = new Share({ redis: settings, log: pino({ level: 'silent' }), onEntries: () => undefined });
  share.follow(fleetKey);
  return share;
}

describe('while a proxy is connecting to Redis', { skip }, () => {
  test('it can end', async () => {
    await opening('first').close();
  });

  test('its fleet may get another key: what it remembers is told under that one', async () => {
    const share = opening('first');
    share.follow('second');
    share.put([{ id: 'a'.repeat(22), endpoint: '127.0.0.1:80', expiresMs: Math.round(uptimeMs()) + 60_000 }]);
    await eventually(async () => (share.state().told === 1 ? true : undefined), 'the entry to be told');
    assert.deepEqual(await redis?.command('keys', '*'), [feedKeyOf('second')]);
    await share.close();
  });
});
