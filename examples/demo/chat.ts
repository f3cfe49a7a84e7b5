import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { announceListening } from './announce.ts';

/** A backend with a small page and the WebSocket that it talks to: `node chat.ts <port>`. Sends back what it is sent. */
const [port = '0'] = process.argv.slice(2);

const page = `<!doctype html>
<meta charset="utf-8">
<title>Sluice demo</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 2em auto } input { width: 70% }</style>
<h1>WebSocket through Sluice</h1>
<p id="state">connecting</p>
<form><input autofocus placeholder="say something"> <button>send</button></form>
<pre id="log"></pre>
<script>
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
  const state = document.querySelector('#state');
  const log = document.querySelector('#log');
  const input = document.querySelector('input');
  socket.onopen = () => { state.textContent = 'connected'; };
  socket.onclose = () => { state.textContent = 'closed'; };
  socket.onmessage = (event) => { log.textContent += event.data + '\\n'; };
  document.querySelector('form').onsubmit = (event) => {
    event.preventDefault();
    socket.send(input.value);
    input.value = '';
  };
</script>
`;

const server = createServer((request, response) => {
  const isPage = request.url === '/';
  response.writeHead(isPage ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' });
  response.end(isPage ? page : 'not here\n');
});
server.keepAliveTimeout = 75_000;
const sockets = new WebSocketServer({ server, path: '/ws' });
sockets.on('connection', (socket) => {
  socket.on('message', (data) => socket.send(`echo: ${data}`));
  socket.on('error', () => socket.terminate());
});
server.listen(Number(port), '127.0.0.1', announceListening);
server.on('error', (error) => {
  console.error(`demo backend chat: ${error.message}`);
  process.exit(1);
});
