import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CookieAffinity, type CookieScene, cookieValues, serialiseCookie } from '../../proxy/select/cookie.ts';
import { cookieAffinity, endpointRows, openBackend, picked } from './selecting.ts';

function write(fields: Partial<CookieAffinity> = {}, scene: Partial<CookieScene> = {}): string {
  const whole = { routePath: '/', isTls: false, userAgent: '', wallMs: Date.UTC(2030, 0, 1), ...scene };
  return serialiseCookie({ ...cookieAffinity, ...fields }, 'v', whole);
}

describe('reading', () => {
  const cases: [string | undefined, string[]][] = [
    [undefined, []],
    ['', []],
    ['id=1', ['1']],
    ['a=b; id=1', ['1']],
    ['a=b;id=1;c=d', ['1']],
    ['id=1; id=2', ['1', '2']],
    ['xid=1; id2=2; id =3', []],
    ['a=id=1', []],
    ['id="1"', ['1']],
    ['id=', ['']],
    ['id', []],
    ['a=1, id=2, b=3', ['2']],
    ['id=a=b==', ['a=b==']],
    ['idid=1; id=2', ['2']],
  ];
  for (const [field, values] of cases) {
    test(JSON.stringify(field) ?? 'no field', () => assert.deepEqual(cookieValues(field, 'id'), values));
  }

  test('of thousands of one name the first few are looked at', () => {
    assert.deepEqual(cookieValues('id=a.b;'.repeat(4_000), 'id'), Array<string>(8).fill('a.b'));
  });
});

describe('writing', () => {
  test('at the least', () => assert.equal(write(), 'INGRESSCOOKIE=v; Path=/; HttpOnly'));

  test('everything', () => {
    const all = { name: 'sid', path: '/shop', domain: 'example.com', maxAgeSeconds: 60, expiresSeconds: 3600 };
    assert.equal(
      write({ ...all, sameSite: 'Strict', secure: true }),
      'sid=v; Path=/shop; Domain=example.com; Expires=Tue, 01 Jan 2030 01:00:00 GMT; Max-Age=60; HttpOnly; Secure; SameSite=Strict',
    );
  });

  test('the path of the route, without the last slash that would leave out the path itself', () => {
    assert.match(write({}, { routePath: '/shop/' }), /; Path=\/shop;/);
    assert.match(write({ path: '/shop/' }), /; Path=\/shop\/;/);
    assert.match(write({}, { routePath: '' }), /; Path=\/;/);
  });

  test('letters of a path as clients compare them; of one that cannot be written, what is above it', () => {
    const pathOf = (routePath: string) => /; Path=([^;]*);/.exec(write({}, { routePath }))?.[1];
    assert.equal(pathOf('/map/1,2/'), '/map/1,2');
    assert.equal(pathOf('/a b'), '/a%20b');
    assert.equal(pathOf('/shop/cars;color=red/all'), '/shop');
    assert.equal(pathOf('/shop;v=1'), '/');
    assert.equal(pathOf(`${'/;'.repeat(50_000)}`), '/');
  });

  test('Secure: as the connection is, or as the row says', () => {
    const isSecure = (secure: boolean | null, isTls: boolean) => write({ secure }, { isTls }).includes('; Secure');
    assert.deepEqual(
      [isSecure(null, false), isSecure(null, true), isSecure(true, false), isSecure(false, true)],
      [false, true, true, false],
    );
  });

  test('SameSite=None only where browsers keep such a cookie', () => {
    const none = { sameSite: 'None' } as const;
    assert.doesNotMatch(write(none), /SameSite/);
    assert.match(write(none, { isTls: true }), /; Secure; SameSite=None$/);
    assert.match(write({ sameSite: 'Lax' }), /; SameSite=Lax$/);
    const old =
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.78 Safari/537.36';
    assert.match(write(none, { isTls: true, userAgent: old }), /SameSite=None/);
    const conditional = { ...none, conditionalSameSiteNone: true };
    const isLeftOut = (userAgent: string) => !write(conditional, { isTls: true, userAgent }).includes('SameSite');
    const mishandling = [
      old,
      'Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Mobile/15E148 Safari/604.1',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Safari/605.1.15',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko)',
      'Mozilla/5.0 (Linux; U; Android 9; en-US) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 UCBrowser/12.13.0.1207 Mobile Safari/537.36',
    ];
    for (const userAgent of mishandling) assert.ok(isLeftOut(userAgent), userAgent);
    const fine = [
      '',
      'curl/8.5.0',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36',
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.93 Safari/537.36',
      'Mozilla/5.0 (X11; Linux x86_64; rv:124.0) Gecko/20100101 Firefox/124.0',
    ];
    for (const userAgent of fine) assert.ok(!isLeftOut(userAgent), userAgent);
    // Patterns that backtrack see the beginning only, whatever a client sends.
    const [long] = mishandling.map((userAgent) => userAgent.padStart(1_000)) as [string];
    assert.ok(!isLeftOut(long));
  });

  test('no value of a row ends its attribute', () => {
    const path = '/a; Domain=evil.example\r\nSet-Cookie: x=y, z\u0000\u00e9\ud800';
    assert.equal(
      write({ path }),
      'INGRESSCOOKIE=v; Path=/a%3B%20Domain=evil.example%0D%0ASet-Cookie:%20x=y,%20z%00%C3%A9%EF%BF%BD; HttpOnly',
    );
    assert.equal(write({ domain: 'a.example; Path=/x' }), 'INGRESSCOOKIE=v; Path=/; HttpOnly');
    const regexPath = write({}, { routePath: '/shop(/|$)(.*)' });
    assert.equal(regexPath, 'INGRESSCOOKIE=v; Path=/shop(/|$)(.*); HttpOnly');
  });

  test('an Expires beyond the calendar stays a date', () => {
    assert.match(write({ expiresSeconds: Number.MAX_SAFE_INTEGER }), /Expires=Fri, 31 Dec 9999 23:59:59 GMT/);
    assert.match(write({ expiresSeconds: -Number.MAX_SAFE_INTEGER }), /Expires=Thu, 01 Jan 1970 00:00:00 GMT/);
  });

  test('a name that is no cookie name is never issued', () => {
    for (const name of ['', 'a b', 'a;b', 'a=b', 'a\r\nb', 'ä']) {
      const { backend } = openBackend({ affinity: { ...cookieAffinity, name } }, endpointRows(2));
      assert.equal(picked(backend).setCookie, null);
    }
  });
});
