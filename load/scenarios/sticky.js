import { check } from 'k6';
import http from 'k6/http';

const url = __ENV.SLUICE_URL;

/** Each virtual user is one browser: its cookie jar lives as long as it, and so must its backend. */
export const options = { vus: 50, iterations: 50, thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] } };

export default function sticky() {
  const jar = http.cookieJar();
  const first = http.get(`${url}/sticky`, { jar });
  check(first, { 'got a session cookie': (response) => Object.keys(response.cookies).length === 1 });
  for (let i = 0; i < 100; i++) {
    check(http.get(`${url}/sticky`, { jar }), {
      'same backend': (response) => response.headers['X-Backend'] === first.headers['X-Backend'],
    });
  }
}
