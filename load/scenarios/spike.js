import http from 'k6/http';

const url = __ENV.SLUICE_URL;

export const options = {
  scenarios: {
    spike: {
      executor: 'ramping-arrival-rate',
      startRate: 100,
      timeUnit: '1s',
      preAllocatedVUs: 100,
      maxVUs: 500,
      stages: [
        { target: 100, duration: '10s' },
        { target: 2500, duration: '2s' },
        { target: 2500, duration: '10s' },
        { target: 100, duration: '2s' },
        { target: 100, duration: '10s' },
      ],
    },
  },
  thresholds: { http_req_failed: ['rate<0.001'], http_req_duration: ['p(95)<1000'] },
};

export default function spike() {
  http.get(`${url}/spike`);
}
