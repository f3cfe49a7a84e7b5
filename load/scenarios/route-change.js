import { check } from 'k6';
import http from 'k6/http';

const url = __ENV.SLUICE_URL;

/** The runner rewrites routes and endpoints ten times a second meanwhile; not one request may notice. */
export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: 500,
      timeUnit: '1s',
      duration: '40s',
      preAllocatedVUs: 50,
      maxVUs: 200,
    },
  },
  thresholds: { http_req_failed: ['rate==0'], checks: ['rate==1'], dropped_iterations: ['count==0'] },
};

export default function routeChange() {
  check(http.get(`${url}/steady`), { 'answered 200': ({ status }) => status === 200 });
}
