import { check } from 'k6';
import http from 'k6/http';

const url = __ENV.SLUICE_URL;

/** SOAK_DURATION sets the length; mixed reads and writes at a rate that any machine holds. */
export const options = {
  scenarios: {
    soak: {
      executor: 'constant-arrival-rate',
      rate: 300,
      timeUnit: '1s',
      duration: __ENV.SOAK_DURATION || '10m',
      preAllocatedVUs: 30,
      maxVUs: 100,
    },
  },
  thresholds: { http_req_failed: ['rate==0'], checks: ['rate==1'], http_req_duration: ['p(99)<250'] },
};

const body = 'x'.repeat(4096);

export default function soak() {
  const response = __ITER % 10 === 0 ? http.post(`${url}/soak`, body) : http.get(`${url}/soak`);
  check(response, { 'answered 200': ({ status }) => status === 200 });
}
