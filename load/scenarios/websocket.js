import { check } from 'k6';
import ws from 'k6/ws';

const url = __ENV.SLUICE_URL.replace('http', 'ws');

export const options = { vus: 50, iterations: 100, thresholds: { checks: ['rate==1'] } };

export default function websocket() {
  let echoed = 0;
  const response = ws.connect(`${url}/chat`, (socket) => {
    socket.on('open', () => socket.send('0'));
    socket.on('message', (text) => {
      if (text === String(echoed)) echoed++;
      if (echoed === 50) socket.close();
      else socket.send(String(echoed));
    });
    socket.setTimeout(() => socket.close(), 20000);
  });
  check(response, { 'switched protocols': ({ status }) => status === 101 });
  check(echoed, { 'all 50 messages came back in order': (count) => count === 50 });
}
