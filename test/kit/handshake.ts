import { connect } from 'node:tls';

/** What a TLS client sees of the gateway: SHA-256 fingerprint of the certificate for a server name. */
export async function fingerprintOf(port: number, servername: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false });
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('secureConnect', () => resolve(socket.getPeerCertificate().fingerprint256));
    });
  } finally {
    socket.destroy();
  }
}
