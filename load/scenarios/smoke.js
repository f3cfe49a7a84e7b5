import { check } from 'k6';
import http from 'k6/http';

const url = __ENV.SLUICE_URL;

export const options = {
  vus: 5,
  duration: '10s',
  thresholds: { http_req_failed: ['rate==0'], http_req_duration: ['p(95)<100'], checks: ['rate==1'] },
};

export default function smoke() {
  check(http.get(`${url}/smoke?x=1`), {
    'answered 200': (response) => response.status === 200,
    'by a backend': (response) => response.headers['X-Backend'] !== undefined,
  });
}
