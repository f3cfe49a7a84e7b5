import http from 'k6/http';

const url = __ENV.SLUICE_URL;

export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-arrival-rate',
      startRate: 50,
      timeUnit: '1s',
      preAllocatedVUs: 50,
      maxVUs: 200,
      stages: [
        { target: 500, duration: '20s' },
        { target: 1500, duration: '30s' },
        { target: 0, duration: '10s' },
      ],
    },
  },
  thresholds: { http_req_failed: ['rate==0'], http_req_duration: ['p(99)<250'] },
};

export default function ramp() {
  http.get(`${url}/ramp`);
}
