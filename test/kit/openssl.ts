import { spawn, spawnSync } from 'node:child_process';

/** For the `skip` of a test: false where openssl(1) is there, else the reason; with CI set, a failure. */
export function skipWithoutOpenSsl(): string | false {
  if (spawnSync('openssl', ['version']).status === 0) return false;
  const reason = 'needs openssl(1)';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

export interface SClientOptions {
  port: number;
  /** '' sends no server name. */
  servername: string;
  version?: '1.2' | '1.3';
  /** Further arguments: files of certificates, sessions. */
  args?: readonly string[];
  /** What is sent when the handshake is done; the server is to end the connection. */
  request: string;
}

/** `openssl s_client`: unlike node:tls it tells whether it was asked for a certificate, and resumes what it should not. */
export function sClient({ port, servername, version, args = [], request }: SClientOptions): Promise<string> {
  const name = servername === '' ? ['-noservername'] : ['-servername', servername];
  const only = version === undefined ? [] : [version === '1.2' ? '-tls1_2' : '-tls1_3'];
  const child = spawn('openssl', [
    ...['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof'],
    ...[...name, ...only, ...args],
  ]);
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString('latin1');
    });
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString('latin1');
    });
    child.on('error', reject);
    child.on('close', () => resolve(said));
    child.stdin.on('error', () => {});
    child.stdin.write(request);
  });
}
